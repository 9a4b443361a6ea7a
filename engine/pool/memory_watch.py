"""What a run holds in memory together with all it started, looked at now and then.

For ADMIN runs, which no resource limit binds: RLIMIT_AS counts what a process maps, not what it uses, and each process
for itself. Pages that only a descriptor holds (memfd_create(2)) or System V shared memory that nobody has attached are
seen nowhere in /proc: only a cgroup counts these.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from engine.sandbox import cgroup
from engine.worker.descendants import below
from engine.worker.shared_memory import SharedMemory

EVERY = 0.5
"""Seconds between two looks."""

AT_ONCE = 0.003
"""Seconds that a look keeps the loop. A fork bomb has thousands of processes: looked at in one go, beside a busy host,
they would hold up the timer that ends it."""

PAUSE = 4
"""The least pause after a look, in times of what it took."""

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class MemoryPlaces:
    """Where to look for what no process is seen to hold.

    Attributes:
        shm: The ``/dev/shm`` of the run's own, as the engine reaches it; None if it has none.
        cgroup: The cgroup of the run and of nothing else but its zygote; None without one.
    """

    shm: str | None = None
    cgroup: Path | None = None


NOWHERE = MemoryPlaces()


class MemoryWatch:
    """Calls back once when what a process and its descendants hold in memory exceeds a limit.

    Args:
        pid: The process.
        limit: Bytes.
        exceeded: Gets the bytes that were found.
        places: Where else to look.

    Attributes:
        held: Bytes at the last look.
    """

    def __init__(self, pid: int, limit: int, exceeded: Callable[[int], None], places: MemoryPlaces = NOWHERE) -> None:
        self.held = 0
        self._pid = pid
        self._limit = limit
        self._exceeded = exceeded
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._counts: Iterator[int] = iter(())
        self._began = 0.0
        self._next: asyncio.Handle = self._loop.call_later(EVERY, self._look)

    def stop(self) -> None:
        self._next.cancel()

    def _look(self) -> None:
        self._began = self._loop.time()
        counted = None if self._places.cgroup is None else cgroup.held(self._places.cgroup)
        self._counts = self._seen() if counted is None else iter((counted,))
        self._go_on()

    def _go_on(self) -> None:
        """Count on until it is more than the limit, and let others have the loop from time to time."""
        held, until = 0, self._loop.time() + AT_ONCE
        for held in self._counts:
            if held > self._limit:
                self.held = held
                self._exceeded(held)
                return
            if self._loop.time() > until:
                self._next = self._loop.call_soon(self._go_on)
                return
        self.held = held
        pause = max(EVERY, PAUSE * (self._loop.time() - self._began))
        self._next = self._loop.call_later(pause, self._look)

    def _seen(self) -> Iterator[int]:
        """Count the bytes that /proc and the own ``/dev/shm`` show, process by process. Less than all, see above."""
        stored = 0 if self._places.shm is None else _stored(self._places.shm)
        held = mapped = 0
        for pid in chain((self._pid,), below(self._pid)):
            held += resident(pid)
            mapped += _shared(pid) if stored else 0
            yield held
        # What is mapped is resident in one of them already.
        yield held + max(0, stored - mapped)


def private_shm(pid: int) -> str | None:
    """Where the ``/dev/shm`` of a process's own can be looked at; None when it is the host's, or out of reach."""
    path = f"/proc/{pid}/root{SharedMemory.PLACE}"
    with contextlib.suppress(OSError):
        return path if os.stat(path).st_dev != os.stat(SharedMemory.PLACE).st_dev else None
    return None


def resident(pid: int) -> int:
    """Bytes of memory that a process holds, 0 when it has ended (proc(5), statm)."""
    return _statm(pid)[1] * PAGE


def private(pid: int) -> int:
    """The same without what it shares: files, and memory that is mapped as shared."""
    _, held, shared = _statm(pid)
    return (held - shared) * PAGE


def _shared(pid: int) -> int:
    """Bytes of shared memory that a process has mapped and touched (proc(5), status)."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as status:
        for line in status:
            if line.startswith(b"RssShmem:"):
                return int(line.split()[1]) << 10
    return 0


def _stored(folder: str) -> int:
    """Bytes that the files of a tmpfs take (statvfs(3))."""
    with contextlib.suppress(OSError):
        space = os.statvfs(folder)
        return (space.f_blocks - space.f_bfree) * space.f_frsize
    return 0


def _statm(pid: int) -> tuple[int, int, int]:
    """Pages mapped, resident, and resident of files and shared memory."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            mapped, held, shared, *_ = map(int, statm.read().split())
    except OSError:
        return 0, 0, 0
    return mapped, held, shared
