"""Who runs next: priorities with ageing, first come first served within one, and the reason why each waits."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from engine.models.runs import Priority

AGEING = 30.0
"""Seconds of waiting that outweigh one step of priority."""

WAITING_FOR_SLOT = "waiting for a free slot"

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class QueuedRun(Generic[T]):
    """One waiting run. ``told`` is what its sink was told last."""

    item: T
    run_id: int
    priority: Priority
    queued_at: float
    """By the loop's clock."""
    longest: float | None = None
    """Seconds that it may wait; None: as long as any."""
    wall_clock: float = field(default_factory=time.time)
    told: tuple[int, str] | None = None

    @property
    def rank(self) -> float:
        """Waiting grows everybody's age alike, so the order of two entries never changes and the queue stays sorted."""
        return self.queued_at + AGEING * self.priority

    def may_wait(self, longest: float) -> float:
        """Seconds that it may wait where no run may wait longer than ``longest``."""
        return longest if self.longest is None else min(self.longest, longest)


class RunQueue(Generic[T]):
    """Kept in order of ``QueuedRun.rank``; equal ranks stay in order of arrival."""

    def __init__(self) -> None:
        self._entries: list[QueuedRun[T]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueuedRun[T]]:
        return iter(self._entries)

    def add(self, entry: QueuedRun[T]) -> None:
        bisect.insort_right(self._entries, entry, key=lambda e: e.rank)

    def remove(self, run_id: int) -> QueuedRun[T] | None:
        """Take the entry of ``run_id`` out, if it waits."""
        for index, entry in enumerate(self._entries):
            if entry.run_id == run_id:
                return self._entries.pop(index)
        return None

    def first(self, blocked_reason: Callable[[T], str | None]) -> QueuedRun[T] | None:
        """The first entry that nothing stands in the way of.

        Args:
            blocked_reason: Says what keeps a run from starting although a slot is free, or None.
        """
        return next((entry for entry in self._entries if blocked_reason(entry.item) is None), None)

    def take(self, blocked_reason: Callable[[T], str | None]) -> QueuedRun[T] | None:
        """Take that first entry out."""
        entry = self.first(blocked_reason)
        if entry is not None:
            self._entries.remove(entry)
        return entry

    def expired(self, now: float, longest: float) -> list[QueuedRun[T]]:
        """Take out what has waited longer than ``longest``, or than it may itself."""
        late = [entry for entry in self._entries if now - entry.queued_at >= entry.may_wait(longest)]
        for entry in late:
            self._entries.remove(entry)
        return late

    def standings(self, blocked_reason: Callable[[T], str | None]) -> Iterator[tuple[QueuedRun[T], int, str]]:
        """Each entry with its position, 1 for the next, and its reason to wait."""
        for position, entry in enumerate(self._entries, 1):
            yield entry, position, blocked_reason(entry.item) or WAITING_FOR_SLOT
