"""The index of scripts against the files, and what of the engine's own work takes a while."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import RebuildReport, TaskInfo, TaskList
from engine.registry import Operation, TaskParams


async def rebuild(call: Call) -> RebuildReport:
    return await call.engine.sync.rebuild(call.actor)


async def tasks(call: Call) -> TaskList:
    return TaskList(tasks=call.engine.tasks.list())


async def cancel(call: Call) -> TaskInfo:
    params: TaskParams = call.params
    return await call.engine.tasks.cancel(params.task_id, call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.SYNC_REBUILD: rebuild,
    registry.TASKS_LIST: tasks,
    registry.TASKS_CANCEL: cancel,
}
