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
    """Calls back once when the resident memory of a process and its descendants exceeds a limit."""

    def __init__(self, pid: int, limit: int, exceeded: Callable[[int], None]) -> None:
        self._pid = pid
        self._limit = limit
        self._exceeded = exceeded
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(EVERY, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        held = sum(map(resident, (self._pid, *below(self._pid))))
        if held > self._limit:
            self._exceeded(held)
        else:
            self._timer = self._loop.call_later(EVERY, self._look)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds, 0 when it has ended (proc(5), statm)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * PAGE
    except OSError:
        return 0
