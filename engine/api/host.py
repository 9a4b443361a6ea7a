"""What the API needs of the process that serves it, and the operations that are this process's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from engine.api.event_wire import EventWire
from engine.api.sse import EventStream
from engine.models.engine import EngineInfo, StopRequest
from engine.registry.engine import ENGINE_INFO, ENGINE_STOP, EVENTS
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements
from engine.services.recent_log import RecentLog
from engine.services.visibility import sees_event, sees_every_event

if TYPE_CHECKING:
    from engine.library import Engine


class EngineHost(Protocol):
    """The daemon, as the API sees it."""

    @property
    def engine(self) -> Engine: ...

    @property
    def wire(self) -> EventWire: ...

    @property
    def stopping(self) -> asyncio.Event:
        """Set when every stream must end."""

    @property
    def recent_log(self) -> RecentLog: ...

    @property
    def in_flight(self) -> int:
        """Requests of one token that may be under way at a time."""

    def info(self) -> EngineInfo: ...

    def stop(self) -> None:
        """Begin to leave; returns at once."""


class HostOperations:
    """Describe the engine, stop it, and tell what happens in it."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(ENGINE_INFO)
    def info(self, actor: Actor | None = None) -> EngineInfo:
        """Describe the engine. What is wrong with the project can name any script of it."""
        info = self._host.info()
        return replace(info, problems=[]) if actor is not None and actor.scripts else info

    @implements(ENGINE_STOP)
    def stop(self, request: StopRequest, actor: Actor, source: str) -> EngineInfo:
        """Begin to leave.

        Raises:
            ServiceError: ``busy`` while runs go on, unless it is forced.
        """
        engine = self._host.engine
        if request.when_idle and (engine.tasks.running or engine.backup.busy):
            raise ServiceError("busy", "The engine is busy: a task goes on.", hint="Wait until it ends.", status=409)
        going_on = engine.runs.unfinished
        if going_on and not request.force:
            runs = "a run goes on" if going_on == 1 else f"{going_on} runs go on"
            raise ServiceError("busy", f"The engine is busy: {runs}.", hint="Wait, or force it to stop.", status=409)
        engine.audit.tell(actor, source, "stop_asked", force=request.force, runs=going_on)
        self._host.stop()
        return self._host.info()

    @implements(EVENTS)
    def events(self, after: int | None, last_event_id: str, actor: Actor) -> EventStream:
        """Stream the engine's events that the caller may see, resumed where its last stream broke."""
        cursor, restarted = self._host.wire.cursor(last_event_id, after)
        return EventStream(self._encoded(cursor, restarted, actor))

    async def _encoded(self, after: int | None, restarted: bool, actor: Actor) -> AsyncGenerator[bytes, None]:
        all_of_them = sees_every_event(actor)
        bus, wire = self._host.engine.events, self._host.wire
        with bus.subscribe(after) as subscription:
            if restarted:
                yield wire.restarted(bus.last_seq)
            async for batch in subscription:
                if all_of_them:
                    yield wire.encode(batch)
                elif shown := [event for event in batch if sees_event(actor, event)]:
                    yield wire.encode_some(shown)
