"""The index of scripts against the files, and what of the engine's own work takes a while."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import DiffAnswer, DiffReport, RebuildReport, TaskInfo, TaskList
from engine.registry import Operation, RebuildParams, TaskParams


async def rebuild(call: Call) -> RebuildReport:
    params: RebuildParams = call.params
    return await call.engine.sync.rebuild(call.actor, everything=params.everything)


async def diff(call: Call) -> DiffReport:
    return await call.engine.diff.scan(call.actor)


async def apply(call: Call) -> DiffAnswer:
    return await call.engine.diff.apply(call.body, call.actor)


async def tasks(call: Call) -> TaskList:
    return TaskList(tasks=call.engine.tasks.list())


async def cancel(call: Call) -> TaskInfo:
    params: TaskParams = call.params
    return await call.engine.tasks.cancel(params.task_id, call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.SYNC_REBUILD: rebuild,
    registry.SYNC_DIFF: diff,
    registry.SYNC_APPLY: apply,
    registry.TASKS_LIST: tasks,
    registry.TASKS_CANCEL: cancel,
}
