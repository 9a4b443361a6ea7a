"""The engine itself: who it is, and its end."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import EngineInfo, StopRequest
from engine.registry import Operation
from engine.services.access import ServiceError


async def info(call: Call) -> EngineInfo:
    return call.host.info()


async def stop(call: Call) -> EngineInfo:
    request: StopRequest = call.body
    going_on = call.engine.runs.unfinished
    if going_on and not request.force:
        runs = "a run goes on" if going_on == 1 else f"{going_on} runs go on"
        raise ServiceError("busy", f"The engine is busy: {runs}.", hint="Wait, or force it to stop.", status=409)
    call.host.stop()
    return call.host.info()


HANDLERS: dict[Operation, Handler] = {registry.ENGINE_INFO: info, registry.ENGINE_STOP: stop}
