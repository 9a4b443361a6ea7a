"""Operations on the bundle's scripts in a project."""

from __future__ import annotations

from typing import Any

from engine.models.defaults import DefaultDiff, DefaultScripts, DefaultsRequest
from engine.registry.operation import Operation
from engine.registry.scripts import ScriptParams

DEFAULTS_LIST = Operation(
    "defaults.list",
    "GET",
    "/defaults",
    DefaultScripts,
    "viewer",
    "List the default scripts, and which have newer texts",
)
DEFAULTS_DIFF = Operation(
    "defaults.diff",
    "GET",
    "/defaults/diff/{path:path}",
    DefaultDiff,
    "viewer",
    "Compare a default script with the bundle's text",
    params=ScriptParams,
)
DEFAULTS_DECIDE = Operation(
    "defaults.decide",
    "POST",
    "/defaults/decide",
    DefaultScripts,
    "author",
    "Change default scripts: take new texts, or keep what there is",
    body=DefaultsRequest,
)
DEFAULTS_RESTORE = Operation(
    "defaults.restore",
    "POST",
    "/defaults/restore",
    DefaultScripts,
    "author",
    "Restore default scripts that the project does not have; nothing is overwritten",
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    DEFAULTS_LIST,
    DEFAULTS_DIFF,
    DEFAULTS_DECIDE,
    DEFAULTS_RESTORE,
)
