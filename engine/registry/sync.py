"""Operations on the engine's own tasks."""

from __future__ import annotations

from typing import Any

from engine.models.base import Model
from engine.models.sync import DiffAnswer, DiffReport, DiffRequest, RebuildReport, TaskInfo, TaskList
from engine.registry.operation import TRANSFER_TIMEOUT, Id, Operation


class TaskParams(Model, frozen=True):
    task_id: Id


class RebuildParams(Model, frozen=True):
    everything: bool = False
    """Look through history and approvals too."""


SYNC_REBUILD = Operation(
    "sync.rebuild",
    "POST",
    "/sync/rebuild",
    RebuildReport,
    "author",
    "Rebuild the index from the files",
    params=RebuildParams,
    patience=TRANSFER_TIMEOUT,
)
SYNC_DIFF = Operation(
    "sync.diff",
    "POST",
    "/sync/diff",
    DiffReport,
    "viewer",
    "Compare files and database, and tell what waits",
    patience=TRANSFER_TIMEOUT,
)
SYNC_APPLY = Operation(
    "sync.apply",
    "POST",
    "/sync/apply",
    DiffAnswer,
    "author",
    "Decide about differences, or preview what that would do",
    body=DiffRequest,
    patience=TRANSFER_TIMEOUT,
)
TASKS_LIST = Operation("tasks.list", "GET", "/tasks", TaskList, "viewer", "List the engine's tasks, newest first")
TASKS_CANCEL = Operation(
    "tasks.cancel", "POST", "/tasks/{task_id}/cancel", TaskInfo, "author", "Stop tasks", params=TaskParams
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    SYNC_REBUILD,
    SYNC_DIFF,
    SYNC_APPLY,
    TASKS_LIST,
    TASKS_CANCEL,
)
