"""The bundle's scripts: listed, compared, taken or kept, restored."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import DefaultDiff, DefaultScripts
from engine.registry import Operation, ScriptParams


async def list_(call: Call) -> DefaultScripts:
    return await call.engine.defaults.list()


async def diff(call: Call) -> DefaultDiff:
    params: ScriptParams = call.params
    return await call.engine.defaults.diff(params.path)


async def decide(call: Call) -> DefaultScripts:
    return await call.engine.defaults.decide(call.body, call.actor)


async def restore(call: Call) -> DefaultScripts:
    return await call.engine.defaults.restore(call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.DEFAULTS_LIST: list_,
    registry.DEFAULTS_DIFF: diff,
    registry.DEFAULTS_DECIDE: decide,
    registry.DEFAULTS_RESTORE: restore,
}
