"""The one table of operations: the API mounts it as routes, the client makes requests, OpenAPI describes it."""

from __future__ import annotations

from typing import Any

from engine.registry import (
    access,
    assistant,
    defaults,
    documents,
    engine,
    evidence,
    git,
    macros,
    metrics,
    packages,
    runs,
    scripts,
    secrets,
    state,
    sync,
)
from engine.registry.operation import Operation

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    *runs.OPERATIONS,
    *engine.OPERATIONS,
    *metrics.OPERATIONS,
    *evidence.OPERATIONS,
    *scripts.OPERATIONS,
    *defaults.OPERATIONS,
    *git.OPERATIONS,
    *sync.OPERATIONS,
    *access.OPERATIONS,
    *documents.OPERATIONS,
    *macros.OPERATIONS,
    *state.OPERATIONS,
    *secrets.OPERATIONS,
    *assistant.OPERATIONS,
    *packages.OPERATIONS,
)
"""In the order in which the API matches them: the hot ones first."""
