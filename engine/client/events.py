"""The engine's events as one stream that outlives broken connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from engine.client.answers import EngineUnreachable, decode
from engine.client.calls import Calls, Retry
from engine.client.transport import Headers
from engine.models.base import Event
from engine.registry.engine import EVENTS, EventsParams


class EventCalls(Calls):
    """Hear what happens in the engine."""

    async def events(self, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Yield everything that happens in the engine, from event ``after`` on or from now.

        A broken connection is resumed where it broke. An event of type ``lagged`` tells that some are missing: this
        reader was too slow, or another engine answers now. Read again what you show.
        """
        resume: Headers = ()
        retry = Retry(self.transport)
        while True:
            try:
                async with aclosing(self.stream(EVENTS, EventsParams(after=after), headers=resume)) as stream:
                    async for event in stream:
                        retry.reset()
                        resume = [("Last-Event-ID", event.id)]
                        yield decode(event.data, Event)
            except EngineUnreachable as error:
                await retry.pause(error)
                self.doubt()
