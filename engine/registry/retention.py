"""The operation on what is kept of the past."""

from __future__ import annotations

from engine.models.engine import RetentionInfo
from engine.registry.operation import Operation

RETENTION = Operation(
    "retention", "GET", "/retention", RetentionInfo, "viewer", "What is kept of the past, and when old records went"
)
