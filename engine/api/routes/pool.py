"""The pool's slots and size."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import PoolInfo, ResizeRequest
from engine.registry import Operation, SlotParams


async def info(call: Call) -> PoolInfo:
    return call.engine.pool_service.info()


async def resize(call: Call) -> PoolInfo:
    request: ResizeRequest = call.body
    return call.engine.pool_service.resize(request.size, call.actor)


async def restart(call: Call) -> PoolInfo:
    params: SlotParams = call.params
    return call.engine.pool_service.restart_slot(params.slot, call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.POOL_INFO: info,
    registry.POOL_RESIZE: resize,
    registry.POOL_RESTART: restart,
}
