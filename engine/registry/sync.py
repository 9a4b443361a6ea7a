"""Operations on the engine's own tasks."""

from __future__ import annotations

from engine.models import DiffAnswer, DiffReport, DiffRequest, Model, RebuildReport, TaskInfo, TaskList
from engine.registry.operation import Id, Operation


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
    "Make the index of scripts anew from the files",
    params=RebuildParams,
)
SYNC_DIFF = Operation(
    "sync.diff", "POST", "/sync/diff", DiffReport, "viewer", "Compare files and database, and tell what waits"
)
SYNC_APPLY = Operation(
    "sync.apply",
    "POST",
    "/sync/apply",
    DiffAnswer,
    "author",
    "Do what was decided about differences, or tell what it would do",
    request=DiffRequest,
)
TASKS_LIST = Operation("tasks.list", "GET", "/tasks", TaskList, "viewer", "What the engine is at, newest first")
TASKS_CANCEL = Operation(
    "tasks.cancel", "POST", "/tasks/{task_id}/cancel", TaskInfo, "author", "Stop a task", params=TaskParams
)
