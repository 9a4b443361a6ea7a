"""Processor time and memory of the engine's processes, of Ignition's JVM and of this host, as proc(5) shows them.

What cannot be read is None, never zero. Memory is what is resident: pages that a child still shares with its zygote
count once for each of them, so the sum is the most that the processes hold.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

WINDOW = 60.0
"""Seconds that the use of the processor is measured over."""

EVERY = 10.0
"""Seconds between two samples that the engine itself asks for: the oldest one is then about a minute old."""

SOONEST = 1.0
"""A sample that is younger is used again."""

SEARCH_EVERY = 60.0
"""Seconds between two searches for a JVM where there is none."""

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

LONGEST_COMMAND = 64 << 10


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """Of one process (proc(5), /proc/pid/stat): seconds of processor time, bytes that are resident."""

    own: float
    reaped: float
    """Of its children that have ended."""
    began: float
    """Seconds after the host's start."""
    resident: int


@dataclass(frozen=True, slots=True)
class Held:
    """Of one process or several: seconds of processor time so far, bytes that are resident now."""

    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    ours: Held | None
    gateway: Held | None
    gateway_id: tuple[int, float] | None
    """Its pid, and when it began: a pid alone may be another process's later."""


@dataclass(frozen=True, slots=True)
class Use:
    """Percent of all processors that this process may use, over the last minute; bytes that are resident."""

    cpu_percent: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used, and of what. ``load`` is the host's average of a minute, ``memory`` all that it has."""

    cores: int
    engine: Use
    gateway: Use
    load: float | None
    memory: int | None
    available: int | None


class UsageMeter:
    """Samples in a thread: ten small files are read for the engine, hundreds in search of a JVM.

    Args:
        proc: Another folder in tests.
        clock: Seconds since the host's start, the clock of proc(5).
    """

    def __init__(
        self,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._proc = proc
        self._clock = clock
        self._samples: deque[Sample] = deque()
        """The oldest is a minute old, if there is one of that age; the newest is last."""
        self._gateway: int | None = None
        self._searched = float("-inf")
        self._sampling = asyncio.Lock()

    async def usage(self, oldest: float = SOONEST) -> Usage:
        """Return the use of the last minute, by samples of which the newest is ``oldest`` seconds old at most.

        Who asks is the only one to have samples taken: every ``EVERY`` seconds at least, for a minute to be told of.
        """
        samples = await self._sampled(oldest)
        newest = samples[-1]
        load, meminfo = await asyncio.to_thread(lambda: (_load(self._proc), _meminfo(self._proc)))
        return Usage(
            cores=cores(),
            engine=Use(_share(_ours(samples), WINDOW), None if newest.ours is None else newest.ours.memory),
            gateway=Use(_share(_gateways(samples), 0.0), None if newest.gateway is None else newest.gateway.memory),
            load=load,
            memory=meminfo.get("MemTotal"),
            available=meminfo.get("MemAvailable"),
        )

    async def _sampled(self, oldest: float) -> list[Sample]:
        async with self._sampling:
            if not self._samples or self._clock() - self._samples[-1].at >= max(oldest, SOONEST):
                first = not self._samples
                sample, began = await asyncio.to_thread(self._sample)
                if first and began is not None and sample.at - began < WINDOW:
                    # Until it began it had used nothing.
                    self._samples.append(Sample(began, Held(0.0, 0), None, None))
                self._samples.append(sample)
                while len(self._samples) > 1 and sample.at - self._samples[1].at >= WINDOW:
                    self._samples.popleft()
            return list(self._samples)

    def _sample(self) -> tuple[Sample, float | None]:
        """Take a sample; say when this process began."""
        now, me = self._clock(), os.getpid()
        own = process_times(self._proc, me)
        ours = None if own is None else held_with_all_below(self._proc, me, own)
        pid, gateway = self._gateway_times(now)
        sample = Sample(
            now,
            ours,
            None if gateway is None else Held(gateway.own, gateway.resident),
            None if gateway is None or pid is None else (pid, gateway.began),
        )
        return sample, None if own is None else own.began

    def _gateway_times(self, now: float) -> tuple[int | None, ProcessTimes | None]:
        if self._gateway is not None and _is_gateway(self._proc, self._gateway):
            return self._gateway, process_times(self._proc, self._gateway)
        self._gateway = None
        if now - self._searched >= SEARCH_EVERY:
            self._searched = now
            self._gateway = _find_gateway(self._proc)
        return self._gateway, None if self._gateway is None else process_times(self._proc, self._gateway)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _share(ends: tuple[tuple[float, float], tuple[float, float]] | None, least: float) -> float | None:
    """Percent of the processors between two moments, each with the processor time so far.

    ``least``: the seconds that it counts over at least.
    """
    if ends is None:
        return None
    (since, before), (until, after) = ends
    # What a zygote used that was killed is lost with it: a sum can fall, use cannot.
    return 100 * max(0.0, after - before) / (max(least, until - since) * cores())


def _ours(samples: list[Sample]) -> tuple[tuple[float, float], tuple[float, float]] | None:
    first, last = samples[0], samples[-1]
    if first is last or first.ours is None or last.ours is None:
        return None
    return (first.at, first.ours.cpu), (last.at, last.ours.cpu)


def _gateways(samples: list[Sample]) -> tuple[tuple[float, float], tuple[float, float]] | None:
    last = samples[-1]
    first = next((each for each in samples if each.gateway is not None and each.gateway_id == last.gateway_id), None)
    if last.gateway is None or first is None or first.gateway is None or last.at - first.at < SOONEST:
        return None
    return (first.at, first.gateway.cpu), (last.at, last.gateway.cpu)


def held_with_all_below(proc: Path, pid: int, own: ProcessTimes) -> Held | None:
    """Of a process and all that are below it; None where one of these is not shown (proc(5), hidepid)."""
    try:
        read = {each: process_times(proc, each) for each in _below(proc, pid)}
        unread = {each for each, times in read.items() if times is None}
        if unread and unread & set(_below(proc, pid)):  # those that have just ended are no longer listed
            return None
    except OSError:
        return None
    everything = [own, *(times for times in read.values() if times is not None)]
    return Held(sum(times.own + times.reaped for times in everything), sum(times.resident for times in everything))


def _below(proc: Path, pid: int) -> Iterator[int]:
    """Descendants, nearest first.

    Raises:
        OSError: The children of ``pid`` itself are not shown.
    """
    level = _children(proc, pid)
    while level:
        yield from level
        below = []
        for parent in level:
            with suppress(OSError):  # it has ended
                below += _children(proc, parent)
        level = below


def _children(proc: Path, pid: int) -> list[int]:
    """Of every thread (proc(5), /proc/pid/task/tid/children)."""
    threads = proc / str(pid) / "task"
    return [int(child) for thread in os.listdir(threads) for child in _listed(threads / thread / "children")]


def _listed(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        if file.parent.exists():
            raise
        return []  # the thread has ended meanwhile


def process_times(proc: Path, pid: int) -> ProcessTimes | None:
    """Read a process's stat; None where it has ended or does not show it. Its name may hold anything, ``)`` too."""
    try:
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        user, system, reaped_user, reaped_system = map(int, fields[11:15])
        return ProcessTimes(
            own=(user + system) / TICKS,
            reaped=(reaped_user + reaped_system) / TICKS,
            began=int(fields[19]) / TICKS,
            resident=int(fields[21]) * PAGE,
        )
    except (OSError, ValueError, IndexError):
        return None


def _pids(proc: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return []


def _find_gateway(proc: Path) -> int | None:
    """Return the JVM of Ignition; of several the largest, since a Designer beside it and a tool are smaller."""
    found = {
        pid: times for pid in _pids(proc) if _is_gateway(proc, pid) and (times := process_times(proc, pid)) is not None
    }
    return max(found, key=lambda pid: found[pid].resident, default=None)


def _is_gateway(proc: Path, pid: int) -> bool:
    """Whether a process is a Java one whose command line speaks of Ignition."""
    try:
        with (proc / str(pid) / "cmdline").open("rb") as file:
            command = file.read(LONGEST_COMMAND)
    except OSError:
        return False
    return command.partition(b"\0")[0].rpartition(b"/")[2] == b"java" and b"ignition" in command.lower()


def _load(proc: Path) -> float | None:
    try:
        return float((proc / "loadavg").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _meminfo(proc: Path) -> dict[str, int]:
    """Bytes by their names (proc(5), /proc/meminfo); empty where it cannot be read."""
    found = {}
    with suppress(OSError, ValueError, IndexError):
        for line in (proc / "meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                found[name] = int(value.split()[0]) << 10
    return found
