"""The engine's events as one stream, resumed where it broke."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from engine import registry
from engine.api.endpoint import Handler
from engine.api.event_wire import EventWire
from engine.api.host import Call
from engine.api.sse import EventStream
from engine.registry import EventsParams, Operation
from engine.services.events import EventBus


async def events(call: Call) -> EventStream:
    params: EventsParams = call.params
    cursor, restarted = call.host.wire.cursor(call.last_event_id, params.after)
    return EventStream(_encoded(call.engine.events, call.host.wire, cursor, restarted))


async def _encoded(bus: EventBus, wire: EventWire, after: int | None, restarted: bool) -> AsyncGenerator[bytes, None]:
    with bus.subscribe(after) as subscription:
        if restarted:
            yield wire.restarted(bus.last_seq)
        async for batch in subscription:
            yield wire.encode(batch)


HANDLERS: dict[Operation, Handler] = {registry.EVENTS: events}
