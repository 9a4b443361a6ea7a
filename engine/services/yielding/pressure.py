"""Whether the host, or the gateway on it, needs what scripts would use: figures of the moment against their limits.

A figure at its limit presses. One that is not yet well below it keeps the pool as it is, so that it does not go to and
fro. Load and waiting for a processor count only where other programs than scripts use a part of the processors: scripts
that have the host to themselves hold up no other program.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config import YieldSection
from engine.services.usage import Usage, cores
from store.sizes import describe_size

OTHERS = 25.0
"""Percent of the processors that other programs must use for load to press."""

EASE = 0.8
"""A figure below this share of its limit is well below it."""

WINDOW = 60.0
"""Seconds that the use of the processors is measured over."""

STALLED_MEMORY = 20.0
"""Percent of the time for which something waits for memory at which that presses (psi(8), "some", ten seconds)."""

LONGEST_FILE = 64 << 10


@dataclass(frozen=True, slots=True)
class HostTimes:
    """Of all processors together, since the host's start (proc(5), /proc/stat): ticks, and how many there are."""

    busy: int
    total: int
    processors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureFigures:
    """What presses, or does not. What cannot be read is None."""

    processors: int
    """Of the host: load counts against them."""
    load: float | None = None
    others: float | None = None
    """Percent of the processors that everything but the engine and its scripts used in the last minute."""
    stalled: float | None = None
    """Percent of the last ten seconds in which something waited for a processor."""
    stalled_memory: float | None = None
    """The same for memory."""
    memory: int | None = None
    available: int | None = None
    """Bytes."""
    gateway: float | None = None
    """Percent of the processors that the gateway's JVM used in the last minute."""
    drift: float = 0.0
    """Seconds by which its clock has drifted lately, by its log."""
    collections: float = 0.0
    """Seconds for which garbage collections have held it up lately, by its log."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What follows from figures.

    Attributes:
        reasons: A clause for each figure at its limit.
        calm: Every figure is well below its limit.
    """

    reasons: tuple[str, ...]
    calm: bool

    @property
    def sentence(self) -> str:
        whole = "; ".join(self.reasons)
        return f"{whole[:1].upper()}{whole[1:]}." if whole else ""


def judge(figures: PressureFigures, limits: YieldSection) -> Pressure:
    """Hold figures against their limits."""
    pressed, calm = [], True
    for share, clause in _shares(figures, limits):
        if share >= 1:
            pressed.append(clause)
        calm = calm and share < EASE
    return Pressure(tuple(pressed), calm)


def _shares(figures: PressureFigures, limits: YieldSection) -> Iterator[tuple[float, str]]:
    """Yield each figure as a share of its limit, with what is to be said of it."""
    if figures.others is None or figures.others >= OTHERS:
        if figures.load is not None:
            clause = f"the load is {figures.load:.1f} on {_processors(figures.processors)}"
            yield figures.load / figures.processors / limits.load, clause
        if figures.stalled is not None:
            clause = f"something waits for a processor {figures.stalled:.0f} % of the time"
            yield figures.stalled / limits.stalled, clause
    if figures.memory and figures.available is not None and limits.memory:
        percent = 100 * figures.available / figures.memory
        clause = f"only {describe_size(figures.available)} of memory are available"
        yield limits.memory / max(percent, 1e-9), clause
    if figures.stalled_memory is not None:
        clause = f"programs wait for memory {figures.stalled_memory:.0f} % of the time"
        yield figures.stalled_memory / STALLED_MEMORY, clause
    if figures.gateway is not None:
        yield figures.gateway / limits.gateway, f"the gateway uses {figures.gateway:.0f} % of the processors"
    yield figures.drift / limits.held_up, f"the gateway's clock drifted by {figures.drift:.1f} s"
    yield (
        figures.collections / limits.held_up,
        f"garbage collection held the gateway up for {figures.collections:.1f} s",
    )


def _processors(count: int) -> str:
    return "1 processor" if count == 1 else f"{count} processors"


class HostReader:
    """Reads what of ``/proc`` no process owns. Blocks, for as long as four small files take.

    Args:
        proc: Another folder in tests.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._times: deque[tuple[float, HostTimes]] = deque()

    def figures(self, now: float, usage: Usage, drift: float, collections: float) -> PressureFigures:
        """Return the figures of this moment.

        Args:
            now: Seconds, by a clock that never goes back.
            usage: Of the engine, the gateway and the host, over the last minute.
            drift: Seconds by which the gateway's clock has drifted lately.
            collections: Seconds for which garbage collections have held it up lately.
        """
        times = _host_times(_text(self._proc / "stat"))
        share = None if times is None else self._busy(now, times)
        processors = cores() if times is None else times.processors
        ours = usage.engine.cpu_percent
        others = None
        if share is not None and ours is not None:
            others = max(0.0, share - ours * usage.cores / processors)
        return PressureFigures(
            processors=processors,
            load=usage.load,
            others=others,
            stalled=_stalled(_text(self._proc / "pressure/cpu")),
            stalled_memory=_stalled(_text(self._proc / "pressure/memory")),
            memory=usage.memory,
            available=usage.available,
            gateway=usage.gateway.cpu_percent,
            drift=drift,
            collections=collections,
        )

    def _busy(self, now: float, times: HostTimes) -> float | None:
        """Return how many percent of the processors were in use in the last minute, or since the first look."""
        self._times.append((now, times))
        while len(self._times) > 1 and now - self._times[1][0] >= WINDOW:
            self._times.popleft()
        first = self._times[0][1]
        passed = times.total - first.total
        return 100 * max(0, times.busy - first.busy) / passed if passed > 0 else None


def _host_times(stat: str) -> HostTimes | None:
    """Read the sum of all processors: user nice system idle iowait irq softirq steal, then guests, counted before."""
    lines = stat.splitlines()
    try:
        ticks = [int(field) for field in lines[0].split()[1:9]]
    except (IndexError, ValueError):
        return None
    processors = sum(line.startswith("cpu") and line[3:4].isdigit() for line in lines)
    if len(ticks) < 5 or not processors:
        return None
    total = sum(ticks)
    return HostTimes(total - ticks[3] - ticks[4], total, processors)


def _stalled(text: str) -> float | None:
    """Return ``avg10`` of the line ``some`` (Documentation/accounting/psi.rst); None where the kernel keeps none."""
    for line in text.splitlines():
        kind, *fields = line.split()
        if kind == "some":
            values = dict(field.partition("=")[::2] for field in fields)
            try:
                return float(values["avg10"])
            except (KeyError, ValueError):
                return None
    return None


def _text(file: Path) -> str:
    try:
        with file.open("rb", buffering=0) as opened:
            return os.read(opened.fileno(), LONGEST_FILE).decode("ascii", "replace")
    except OSError:
        return ""
