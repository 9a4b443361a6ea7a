"""How the engine's events go over the wire: encoded once for all listeners, numbered so that streams can be resumed."""

from __future__ import annotations

import time
from collections import OrderedDict

import msgspec

from engine.api.sse import encode
from engine.models.base import Event

RECENT = 1024
"""Encoded events kept for the listeners that come next; those that lag behind get theirs encoded anew."""

BATCHES = 8


class EventWire:
    """Of one engine.

    Args:
        epoch: Differs from engine to engine, so that a cursor of an earlier one is not taken for one of this.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._batches: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def encode(self, events: list[Event]) -> bytes:
        """The events, one after the other; a ``lagged`` one comes first."""
        if events[0].type == "lagged":  # one listener's own, and it shares its number with another event
            return self._encode(events[0]) + self._shared(events[1:])
        return self._shared(events)

    def encode_some(self, events: list[Event]) -> bytes:
        """Some of a batch, one after the other, for a listener that may not see the others."""
        return b"".join(self._encode(event) if event.type == "lagged" else self._one(event) for event in events)

    def restarted(self, last_seq: int) -> bytes:
        """What a listener of an earlier engine is told first: all that happened in this one, it has missed."""
        return self._encode(Event(seq=last_seq, type="lagged", at=time.time(), data={"missed": last_seq}))

    def cursor(self, last_event_id: str, after: int | None) -> tuple[int | None, bool]:
        """Where a listener goes on.

        Args:
            last_event_id: The id it saw last, if it resumes a stream.
            after: What it asks for otherwise.

        Returns:
            The event to go on after (None: from now), and whether the id is an earlier engine's.
        """
        epoch, _, seq = last_event_id.rpartition("-")
        if not seq.isdecimal() or len(seq) > 18:
            return after, False
        return (int(seq), False) if epoch == self._epoch else (None, True)

    def _shared(self, events: list[Event]) -> bytes:
        """The same bytes for all listeners that wake together: making them for each is what would cost."""
        if not events:
            return b""
        key = events[0].seq, events[-1].seq
        data = self._batches.get(key)
        if data is None:
            data = self._batches[key] = b"".join(self._one(event) for event in events)
            if len(self._batches) > BATCHES:
                self._batches.popitem(last=False)
        return data

    def _one(self, event: Event) -> bytes:
        data = self._recent.get(event.seq)
        if data is None:
            data = self._recent[event.seq] = self._encode(event)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return data

    def _encode(self, event: Event) -> bytes:
        return encode(event.type, msgspec.json.encode(event), f"{self._epoch}-{event.seq}")
