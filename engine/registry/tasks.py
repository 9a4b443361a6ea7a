"""Operations on the engine's own tasks."""

from __future__ import annotations

from engine.models import Model, RebuildReport, TaskInfo, TaskList
from engine.registry.operation import Id, Operation


class TaskParams(Model, frozen=True):
    task_id: Id


SYNC_REBUILD = Operation(
    "sync.rebuild", "POST", "/sync/rebuild", RebuildReport, "author", "Make the index of scripts anew from the files"
)
TASKS_LIST = Operation("tasks.list", "GET", "/tasks", TaskList, "viewer", "What the engine is at, newest first")
TASKS_CANCEL = Operation(
    "tasks.cancel", "POST", "/tasks/{task_id}/cancel", TaskInfo, "author", "Stop a task", params=TaskParams
)
