"""The engine's events as one stream, resumed where it broke."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import msgspec

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.api.sse import EventStream, encode
from engine.models import Event
from engine.registry import EventsParams, Operation
from engine.services.events import EventBus


async def events(call: Call) -> EventStream:
    return EventStream(_encoded(call.engine.events, call.host.epoch, *_cursor(call)))


def _cursor(call: Call) -> tuple[int | None, bool]:
    """The event to go on after (None: from now), and whether the cursor came from an earlier engine."""
    params: EventsParams = call.params
    epoch, _, seq = call.last_event_id.rpartition("-")
    if not seq.isdecimal() or len(seq) > 18:
        return params.after, False
    return (int(seq), False) if epoch == call.host.epoch else (None, True)


async def _encoded(bus: EventBus, epoch: str, after: int | None, restarted: bool) -> AsyncGenerator[bytes, None]:
    with bus.subscribe(after) as subscription:
        if restarted:
            missed = Event(seq=bus.last_seq, type="lagged", at=time.time(), data={"missed": bus.last_seq})
            yield _one(missed, epoch)
        async for batch in subscription:
            yield b"".join(_one(event, epoch) for event in batch)


def _one(event: Event, epoch: str) -> bytes:
    return encode(event.type, msgspec.json.encode(event), f"{epoch}-{event.seq}")


HANDLERS: dict[Operation, Handler] = {registry.EVENTS: events}
