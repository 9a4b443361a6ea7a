"""One ring of events and a cursor per listener: a slow listener costs nothing and blocks nobody."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice

from engine.models.base import Event
from engine.models.scripts import OutsideChange
from store.index.external_changes import ExternalChanges

RING = 4096
"""Events kept for listeners that lag or resume; at the usual few events a second that is many minutes."""

COALESCE = 0.02
"""Seconds a listener collects events before it wakes: a wake-up per event saturated a core at 5,000 a second."""


MAX_PATHS = 20
"""Paths that an event names."""


class EventBus:
    """Publish from the event loop; subscribe as often as you like."""

    def __init__(self, ring: int = RING) -> None:
        self._ring: deque[Event] = deque(maxlen=ring)
        self._next = 1
        self._waiters: set[asyncio.Event] = set()
        self._closed = False

    @property
    def last_seq(self) -> int:
        return self._next - 1

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def listening(self) -> bool:
        """Whether anybody would hear of an event now."""
        return bool(self._waiters)

    def publish(self, type_: str, data: object = None) -> None:
        self._ring.append(Event(seq=self._next, type=type_, at=time.time(), data=data))
        self._next += 1
        self._wake()

    def close(self) -> None:
        """End every subscription once it has handed out what is in the ring."""
        self._closed = True
        self._wake()

    def subscribe(self, after: int | None = None) -> Subscription:
        """Listen from now, or from the event after ``after`` (what a reconnecting client saw last)."""
        return Subscription(self, self.last_seq if after is None or after > self.last_seq else after)

    def since(self, seq: int) -> tuple[list[Event], int]:
        """Events after ``seq`` and how many of them the ring no longer holds."""
        new = self.last_seq - seq
        # From its end: a deque is walked, and most listeners are nearly there.
        events = list(islice(reversed(self._ring), new))
        events.reverse()
        return events, new - len(events)

    def add_waiter(self, waiter: asyncio.Event) -> None:
        self._waiters.add(waiter)

    def remove_waiter(self, waiter: asyncio.Event) -> None:
        self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.set()


class Subscription:
    """An async iterator of lists of events. Use it as a context manager, so that the bus forgets it."""

    def __init__(self, bus: EventBus, cursor: int) -> None:
        self._bus = bus
        self._cursor = cursor
        self._wake = asyncio.Event()

    def __enter__(self) -> Subscription:
        self._bus.add_waiter(self._wake)
        return self

    def __exit__(self, *exc: object) -> None:
        self._bus.remove_waiter(self._wake)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> list[Event]:
        while self._cursor >= self._bus.last_seq:
            if self._bus.closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
            if not self._bus.closed:
                await asyncio.sleep(COALESCE)
        events, missed = self._bus.since(self._cursor)
        if missed:
            lagged = Event(seq=self._cursor, type="lagged", at=time.time(), data={"missed": missed})
            events = [lagged, *events]
        self._cursor = self._bus.last_seq
        return events


def outside_change(found: ExternalChanges, problem: str | None = None) -> OutsideChange:
    """Return what an event tells of changes that others made."""
    paths = [*found.created, *found.updated, *(new for _, new in found.renamed), *found.removed]
    return OutsideChange(
        change="outside",
        created=len(found.created),
        updated=len(found.updated),
        removed=len(found.removed),
        renamed=len(found.renamed),
        paths=paths[:MAX_PATHS],
        problem=problem,
    )
