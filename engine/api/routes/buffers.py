"""Uploads, written into the buffer while they arrive: never held in this process twice."""

from __future__ import annotations

from engine import registry
from engine.api import body
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import BufferInfo
from engine.registry import BufferParams, Operation


async def create(call: Call) -> BufferInfo:
    params: BufferParams = call.params
    writer = call.engine.buffers.create(params.name, call.actor)
    try:
        async for chunk in body.chunks(call.receive):
            writer.write(chunk)
        return writer.finish()
    except BaseException:
        writer.abort()
        raise


HANDLERS: dict[Operation, Handler] = {registry.BUFFERS_CREATE: create}
