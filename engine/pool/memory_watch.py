"""What a run holds in memory together with all it started, looked at now and then.

For ADMIN runs, which no resource limit binds: RLIMIT_AS counts what a process maps, not what it uses, and each process
for itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from engine.worker.descendants import below

EVERY = 0.5
"""Seconds between two looks."""

PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Calls back once when the resident memory of a process and its descendants exceeds a limit.

    Attributes:
        held: Bytes at the last look.
    """

    def __init__(self, pid: int, limit: int, exceeded: Callable[[int], None]) -> None:
        self.held = 0
        self._pid = pid
        self._limit = limit
        self._exceeded = exceeded
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(EVERY, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self.held = sum(map(resident, (self._pid, *below(self._pid))))
        if self.held > self._limit:
            self._exceeded(self.held)
        else:
            self._timer = self._loop.call_later(EVERY, self._look)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds, 0 when it has ended (proc(5), statm)."""
    return _statm(pid)[1] * PAGE


def private(pid: int) -> int:
    """The same without what it shares: files, and memory that is mapped as shared."""
    _, held, shared = _statm(pid)
    return (held - shared) * PAGE


def _statm(pid: int) -> tuple[int, int, int]:
    """Pages mapped, resident, and resident of files and shared memory."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            mapped, held, shared, *_ = map(int, statm.read().split())
    except OSError:
        return 0, 0, 0
    return mapped, held, shared
