"""What the processes of each slot use now, and how much of the host's processors and disk is in use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.models.engine import PoolUse, SlotUse
from engine.pool.pool import Pool
from engine.registry.engine import POOL_USE
from engine.services.operations import implements
from engine.services.usage import Held, held_with_all_below, process_times

SOONEST = 0.8
"""Seconds after which another look is taken; until then several screens get the same answer."""

LONGEST = 30.0
"""Seconds after which the look before is too old to be compared with."""


@dataclass(frozen=True, slots=True)
class Look:
    """Held by the child of each slot and all below it, by slot and pid; ticks of the host's processors."""

    at: float
    held: Mapping[tuple[int, int], Held]
    idle: int
    total: int


class PoolUseService:
    """Looks when asked, and compares with the look before: who does not ask costs nothing.

    Args:
        pool: Whose slots.
        home: A folder of the file system that the project's records are on.
        proc: Another folder in tests.
        clock: Seconds.
    """

    def __init__(
        self, pool: Pool, home: Path, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._home = home
        self._proc = proc
        self._clock = clock
        self._last: Look | None = None
        self._answer: PoolUse | None = None
        self._looking = asyncio.Lock()

    @implements(POOL_USE)
    async def use(self) -> PoolUse:
        async with self._looking:
            if self._answer is None or self._last is None or self._clock() - self._last.at >= SOONEST:
                pids = [(slot.slot, slot.pid) for slot in self._pool.info().slots if slot.pid is not None]
                look, disk = await asyncio.to_thread(lambda: (self._look(pids), _disk(self._home)))
                self._answer = _compared(self._last, look, disk)
                self._last = look
            return self._answer

    def _look(self, pids: list[tuple[int, int]]) -> Look:
        held = {}
        for slot, pid in pids:
            own = process_times(self._proc, pid)
            found = None if own is None else held_with_all_below(self._proc, pid, own)
            if found is not None:
                held[slot, pid] = found
        return Look(self._clock(), held, *_processors(self._proc))


def _compared(before: Look | None, now: Look, disk: tuple[int, int] | None) -> PoolUse:
    """Return what was used between two looks; what a process has used before the first one of it is not known."""
    if before is not None and now.at - before.at > LONGEST:
        before = None
    slots = []
    for (slot, pid), held in now.held.items():
        earlier = None if before is None else before.held.get((slot, pid))
        percent = None
        if before is not None and earlier is not None and now.at > before.at:
            percent = max(0.0, 100 * (held.cpu - earlier.cpu) / (now.at - before.at))
        slots.append(SlotUse(slot=slot, cpu_percent=percent, memory=held.memory))
    ticks = 0 if before is None else now.total - before.total
    busy = None if before is None or ticks <= 0 else 100 * (1 - (now.idle - before.idle) / ticks)
    size, free = (None, None) if disk is None else disk
    return PoolUse(
        slots=slots, cpu_percent=None if busy is None else min(100.0, max(0.0, busy)), disk=size, disk_free=free
    )


def _processors(proc: Path) -> tuple[int, int]:
    """Return ticks without work and all ticks of the host's processors (proc(5), /proc/stat); zeros if not shown.

    The time of guests is in that of users already.
    """
    with suppress(OSError, ValueError, IndexError):
        with (proc / "stat").open() as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)
    return 0, 0


def _disk(home: Path) -> tuple[int, int] | None:
    """Return the size of a file system and what is free for an ordinary account, in bytes (statvfs(3))."""
    try:
        found = os.statvfs(home)
    except OSError:
        return None
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
