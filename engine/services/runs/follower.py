"""Somebody who follows a run as it goes on: what of its output waits for him, and how long the run waits.

He has a queue of his own, since what is kept of the output may be less than what he has not read yet. When the queue is
full, the run is read later and waits in its own write, as for the reader of a pipe. Who takes nothing for a while holds
it no longer: his queue goes, and he gets what is kept, with one line in the place of what is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from engine.models.runs import OutputChunk
from engine.pool.output import byte_count

MOST_WAITING = 1 << 20
"""Bytes that may wait for a follower before the run does. One read more can come on top: a frame at most."""

CHUNK = 256
"""Bytes that a chunk takes beside its text."""

BATCH = 32 << 10
"""Bytes that a follower is given at once, or one chunk: each time he takes some, he shows that he reads."""

PATIENCE = 10.0
"""Seconds for which a run waits for a follower who takes nothing: a stopped terminal, a line that hangs."""

LONGEST_LOOK = 0.1
"""Seconds between two looks that count at most: while the engine or the host stands still, nobody can read."""


class Follower:
    """What waits for one follower.

    Attributes:
        live: He gets everything as it comes, and the run waits for him; else what is kept, when he asks.
    """

    __slots__ = ("__weakref__", "_after", "_kept", "_looked", "_size", "_waited", "_waiting", "live")

    def __init__(self, after: int, kept: Callable[[int], list[OutputChunk]], *, live: bool) -> None:
        """``kept`` has what is kept of the output from a number on; ``after`` is the number of the first chunk."""
        self._after = after
        self._kept = kept
        self._waiting: deque[OutputChunk] = deque()
        self._size = 0
        self._waited = 0.0
        self._looked = 0.0
        self.live = live
        if live:
            self.put(kept(after))

    def put(self, chunks: list[OutputChunk]) -> None:
        """Have the newest chunks wait for him, if he keeps up."""
        if self.live:
            self._waiting.extend(chunks)
            self._size += sum(map(_size, chunks))

    def take(self) -> list[OutputChunk]:
        """The next chunks for him; none when there is nothing more now."""
        if not self.live and not self._waiting:
            self._waiting.extend(self._kept(self._after))
        batch: list[OutputChunk] = []
        size = 0
        while self._waiting and size < BATCH:
            batch.append(self._waiting.popleft())
            size += _size(batch[-1])
        if batch:
            self._after = batch[-1].seq + 1
        if self.live:
            self._size -= size
        self._waited = 0.0
        return batch

    def holds(self, now: float) -> bool:
        """Whether the run is to wait for him. When he has taken nothing for too long, he falls behind for good."""
        if not self.live or self._size < MOST_WAITING:
            return False
        self._waited += min(now - self._looked, LONGEST_LOOK)
        self._looked = now
        if self._waited < PATIENCE:
            return True
        self.live = False
        self._waiting.clear()
        self._size = 0
        return False


def _size(chunk: OutputChunk) -> int:
    return byte_count(chunk.text) + CHUNK
