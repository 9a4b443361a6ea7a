"""What is kept of the past."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import RetentionInfo
from engine.registry import Operation


async def info(call: Call) -> RetentionInfo:
    return await call.engine.retention.info()


HANDLERS: dict[Operation, Handler] = {registry.RETENTION: info}
