"""Figures of runs, counted as they begin, wait and end: since the engine's start, and over the last minute.

A run that ended ``ok`` is a success. A cancelled one is neither success nor failure, since it was stopped by choice.
Each other outcome is a failure, also that of a run which waited in vain and never began. A request that the pool turned
away (queue full, no memory, no sandbox) is a failure of the kind ``REFUSED``: its caller got no run. A request that was
wrong in itself counts nowhere.

Durations are of runs that began and were not cancelled. A queue wait is the time of a run that found no free slot.

Beside that, runs are counted by script, caller and outcome. Who keeps figures over time takes these counts away once a
minute (``RunMetrics.cut``), so they are of one minute and bounded.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, overload

from engine.models.metrics import CODE, OTHERS, REFUSED, RENDERS
from engine.models.runs import Outcome, RunKind

WINDOW = 60
"""Seconds of the sliding minute. The one that has begun is one of them."""

US = 1_000_000

FINE = 6
"""Bits of a duration that its bin keeps: a percentile is within 1.6 % of the duration that it stands for."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Durations in seconds by the nearest rank, of runs as ``RunTotals.timed`` counts them; None where nothing ran."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What happened in ``seconds``: since the engine's start, or in the last minute.

    Attributes:
        outcomes: Runs by how they ended, ``REFUSED`` requests among them.
        dispatched: Runs that a slot had, whatever became of them.
        timed: How many have a duration.
        duration: Sum of these, in seconds.
        shortest: None where nothing ran.
        contended: Runs that had to wait for a slot, counted when they begin to.
        waits: Waits that are over.
        waited: Sum of these, in seconds.
        waits_timed_out: Waits that ended because they had lasted as long as they may.
        busy: Sum over the slots of the seconds in which a run went on there.
        slots: The same of the seconds in which one might have: a slot that rests takes none.
        cpu: Processor time of the processes of runs, in seconds, with the making of the process.
        cpu_runs: How many runs that is of.
    """

    seconds: float
    outcomes: Mapping[str, int]
    dispatched: int
    timed: int
    duration: float
    shortest: float | None
    longest: float | None
    percentiles: Percentiles
    contended: int
    waits: int
    waited: float
    longest_wait: float | None
    waits_timed_out: int
    busy: float
    slots: float
    cpu: float
    cpu_runs: int

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())

    @property
    def successful(self) -> int:
        return self.outcomes.get(Outcome.OK, 0)

    @property
    def cancelled(self) -> int:
        return self.outcomes.get(Outcome.CANCELLED, 0)

    @property
    def failed(self) -> int:
        return self.total - self.successful - self.cancelled

    @property
    def busy_percent(self) -> float:
        """Share of the slots that had runs. While the pool shrinks, runs go on in slots that it no longer counts."""
        return min(100.0, 100 * self.busy / self.slots) if self.slots else 0.0

    @property
    def average(self) -> float | None:
        return self.duration / self.timed if self.timed else None

    @property
    def average_wait(self) -> float | None:
        return self.waited / self.waits if self.waits else None

    @property
    def average_cpu(self) -> float | None:
        return self.cpu / self.cpu_runs if self.cpu_runs else None

    @property
    def error_rate(self) -> float | None:
        """Failures in percent of successes and failures; None where there was neither."""
        counted = self.successful + self.failed
        return 100 * self.failed / counted if counted else None


MOST_GROUPS = 2_000
"""Different scripts, callers and outcomes together in one minute. What is more counts as ``OTHERS``."""


class GroupKey(NamedTuple):
    """What runs are counted by together."""

    script: str
    caller: str
    outcome: str


def script_of(kind: str, name: str) -> str:
    """Return what a run is counted by as its script."""
    return name if kind == RunKind.SCRIPT else RENDERS if kind == RunKind.RENDER else CODE


class GroupTally:
    """Counts of runs of one key; durations in microseconds."""

    __slots__ = ("count", "duration", "durations", "last_at", "longest", "shortest", "timed")

    def __init__(self) -> None:
        self.count = self.timed = self.duration = self.longest = 0
        self.shortest = -1
        """-1: none has a duration."""
        self.durations: dict[int, int] = {}
        """How many there are in each bin."""
        self.last_at = 0.0

    def time(self, us: int, bin_: int, count: int = 1) -> None:
        """Count ``count`` durations."""
        self.timed += count
        self.duration += us * count
        if us > self.longest:
            self.longest = us
        if us < self.shortest or self.shortest < 0:
            self.shortest = us
        self.durations[bin_] = self.durations.get(bin_, 0) + count


@dataclass(frozen=True, slots=True)
class Cut:
    """What was counted since the cut before this one.

    Attributes:
        groups: Every run that has ended, once.
        waits: Counts of queue waits and of the slots' use, up to the last full second.
        through: When the last of these runs ended, in seconds since the epoch; 0 where none has.
    """

    groups: Mapping[GroupKey, GroupTally]
    waits: Tally
    through: float


class Tally:
    """Counts of one second, or of many together; durations and waits in microseconds."""

    __slots__ = (
        "busy", "contended", "cpu", "cpu_runs", "dispatched", "duration", "durations", "longest", "longest_wait",
        "outcomes", "shortest", "slots", "timed", "waited", "waits", "waits_timed_out",
    )  # fmt: skip

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.durations: dict[int, int] = {}
        """How many there are in each bin."""
        self.dispatched = self.timed = self.duration = self.longest = 0
        self.shortest = -1
        """-1: nothing ran."""
        self.contended = self.waits = self.waited = self.longest_wait = self.waits_timed_out = 0
        self.busy = self.slots = self.cpu = 0.0
        self.cpu_runs = 0

    def add(self, other: Tally) -> None:
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        for bin_, count in other.durations.items():
            self.durations[bin_] = self.durations.get(bin_, 0) + count
        if other.shortest >= 0:
            self.shortest = other.shortest if self.shortest < 0 else min(self.shortest, other.shortest)
        self.longest = max(self.longest, other.longest)
        self.longest_wait = max(self.longest_wait, other.longest_wait)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def add_waits(self, other: Tally) -> None:
        """Add only what ``Cut.waits`` is of."""
        self.contended += other.contended
        self.waits += other.waits
        self.waited += other.waited
        self.longest_wait = max(self.longest_wait, other.longest_wait)
        self.waits_timed_out += other.waits_timed_out
        self.busy += other.busy
        self.slots += other.slots

    def totals(self, seconds: float) -> RunTotals:
        ran = self.shortest >= 0
        return RunTotals(
            seconds=seconds,
            outcomes=dict(sorted(self.outcomes.items())),
            dispatched=self.dispatched,
            timed=self.timed,
            duration=self.duration / US,
            shortest=self.shortest / US if ran else None,
            longest=self.longest / US if ran else None,
            percentiles=percentiles_of(self.durations, self.shortest, self.longest),
            contended=self.contended,
            waits=self.waits,
            waited=self.waited / US,
            longest_wait=self.longest_wait / US if self.waits else None,
            waits_timed_out=self.waits_timed_out,
            busy=self.busy,
            slots=self.slots,
            cpu=self.cpu,
            cpu_runs=self.cpu_runs,
        )


_SUMS = (
    "dispatched",
    "timed",
    "duration",
    "contended",
    "waits",
    "waited",
    "waits_timed_out",
    "busy",
    "slots",
    "cpu",
    "cpu_runs",
)


class RunMetrics:
    """Counts by the second. What it holds depends neither on how many runs there were nor on how many a minute has.

    Attributes:
        peak: The most runs that went on at once.
        capacity: Tells how many slots there are that may have runs; it is asked once a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity: Callable[[], int] = int
        self._clock = clock
        self._begun = self._at = clock()
        self._second = int(self._at)
        """The latest second that has its tally."""
        self._seconds = [Tally() for _ in range(WINDOW)]
        """Of the last minute, by the second modulo ``WINDOW``."""
        self._now = self._seconds[self._second % WINDOW]
        self._durations: dict[int, int] = {}
        """The bins of these seconds together: a pool that changes tells its percentiles twenty times a second."""
        self._past = Tally()
        """Of all seconds before those."""
        self._active: dict[int, int] = {}
        """How many slots each run has that goes on: one, or none of its own where others are counted for it."""
        self._slots = 0
        """Slots that have a run."""
        self._offered = 0
        """Slots that may have one."""
        self._waiting: dict[int, float] = {}
        """Since when each run waits for a slot."""
        self._groups: dict[GroupKey, GroupTally] = {}
        self._waits = Tally()
        """Of the seconds since the last cut."""
        self._through = 0.0
        self.peak = 0

    @property
    def active(self) -> int:
        """Runs that go on."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Runs that wait for a slot."""
        return len(self._waiting)

    def queued(self, run_id: int) -> None:
        """Note that a run found no free slot. What it is told of its place later changes nothing."""
        if run_id not in self._waiting:
            self._waiting[run_id] = self._advance()
            self._now.contended += 1

    def started(self, run_id: int, slots: int = 1) -> None:
        """Note that a slot has a run; said again, that changes nothing.

        A batch has 0 ``slots`` of its own: those of its processes are told by ``occupied``.
        """
        now = self._advance()
        if self._waiting:
            self._wait_over(run_id, now)
        if run_id not in self._active:
            self._active[run_id] = slots
            self._slots += slots
        if len(self._active) > self.peak:
            self.peak = len(self._active)

    def ended(self, run_id: int, key: GroupKey, duration: float, at: float) -> None:
        """Count a run.

        Args:
            run_id: Its number.
            key: What it is counted by.
            duration: In seconds; it counts for those that a slot had. One below zero is none: a clock was set back.
            at: What its record has for its end, in seconds since the epoch.
        """
        now = self._advance()
        tally, outcome = self._now, key.outcome
        tally.outcomes[outcome] = tally.outcomes.get(outcome, 0) + 1
        group = self._groups.get(key) or self._group(key)
        group.count += 1
        group.last_at = self._through = at
        if run_id not in self._active:
            if self._wait_over(run_id, now) and outcome == Outcome.TIMEOUT:
                tally.waits_timed_out += 1
            return
        self._slots -= self._active.pop(run_id)
        tally.dispatched += 1
        if outcome == Outcome.CANCELLED:
            return
        us = max(0, int(duration * US))
        tally.timed += 1
        tally.duration += us
        if us > tally.longest:
            tally.longest = us
        if us < tally.shortest or tally.shortest < 0:
            tally.shortest = us
        bin_ = bin_of(us)
        tally.durations[bin_] = tally.durations.get(bin_, 0) + 1
        self._durations[bin_] = self._durations.get(bin_, 0) + 1
        group.time(us, bin_)

    def occupied(self, slots: int) -> None:
        """Note that the processes of batches have more slots than before, or fewer."""
        self._advance()
        self._slots += slots

    def refused(self, script: str, caller: str, at: float) -> None:
        """Count a request that the pool turned away."""
        self._advance()
        self._now.outcomes[REFUSED] = self._now.outcomes.get(REFUSED, 0) + 1
        group = self._group(GroupKey(script, caller, REFUSED))
        group.count += 1
        group.last_at = at

    def used(self, cpu: float) -> None:
        """Count the processor time of a run's process, in seconds, when that is known: after the run's end."""
        self._advance()
        self._now.cpu += cpu
        self._now.cpu_runs += 1

    def totals(self) -> RunTotals:
        """Return what happened since the engine's start."""
        now = self._advance()
        return self._sum(self._past).totals(now - self._begun)

    def minute(self) -> RunTotals:
        """Return what happened in the last minute. Before its start an engine did nothing: that counts as idle."""
        now = self._advance()
        found = self._sum()
        self._offered = self.capacity()
        found.slots += self._offered * max(0.0, WINDOW - (now - max(self._begun, self._second - WINDOW + 1)))
        return found.totals(WINDOW)

    def runs_last_minute(self) -> int:
        """Return how many runs that a slot had ended in the last minute."""
        self._advance()
        return sum(tally.dispatched for tally in self._seconds)

    def percentiles(self) -> Percentiles:
        """Return percentiles of the last minute, in a tenth of the time that all its figures take."""
        self._advance()
        least = min((tally.shortest for tally in self._seconds if tally.shortest >= 0), default=-1)
        return percentiles_of(self._durations, least, max(tally.longest for tally in self._seconds))

    def cut(self) -> Cut:
        """Take away what was counted since the last cut."""
        found = self.pending()
        self._groups, self._waits = {}, Tally()
        return found

    def pending(self) -> Cut:
        """Return what the next cut would take."""
        self._advance()
        return Cut(self._groups, self._waits, self._through)

    def durations(self) -> tuple[Mapping[int, int], float]:
        """Return how many durations are in each bin since the engine's start, and their sum in seconds."""
        self._advance()
        everything = self._sum(self._past)
        return everything.durations, everything.duration / US

    def _group(self, key: GroupKey) -> GroupTally:
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:
                key = GroupKey(OTHERS, OTHERS, key.outcome)
            group = self._groups.setdefault(key, GroupTally())
        return group

    def _sum(self, *more: Tally) -> Tally:
        together = Tally()
        for tally in (*more, *self._seconds):
            together.add(tally)
        return together

    def _wait_over(self, run_id: int, now: float) -> bool:
        since = self._waiting.pop(run_id, None)
        if since is None:
            return False
        waited = int((now - since) * US)
        self._now.waits += 1
        self._now.waited += waited
        self._now.longest_wait = max(self._now.longest_wait, waited)
        return True

    def _advance(self) -> float:
        """Bring the tallies up to now, and return it. Until now as many runs went on as at the last call."""
        now = self._clock()
        if int(now) != self._second:
            self._turn(int(now))
        passed = now - self._at
        self._now.busy += self._slots * passed
        self._now.slots += self._offered * passed
        self._at = now
        return now

    def _turn(self, second: int) -> None:
        """Begin the tallies of the seconds up to ``second``, in the places of those that left the minute."""
        self._offered = self.capacity()
        for begun in range(max(self._second, second - WINDOW) + 1, second + 1):
            passed = begun - self._at
            self._now.busy += self._slots * passed
            self._now.slots += self._offered * passed
            self._at = float(begun)
            self._waits.add_waits(self._now)
            self._leave(self._seconds[begun % WINDOW])
            self._now = self._seconds[begun % WINDOW] = Tally()
        self._second = second

    def _leave(self, tally: Tally) -> None:
        """Count what left the last minute among all that came before it."""
        self._past.add(tally)
        for bin_, count in tally.durations.items():
            self._durations[bin_] -= count
            if not self._durations[bin_]:
                del self._durations[bin_]


@overload
def milliseconds(seconds: float) -> float: ...
@overload
def milliseconds(seconds: None) -> None: ...
def milliseconds(seconds: float | None) -> float | None:
    """Return ``seconds`` in milliseconds, to the microsecond that they were counted in."""
    return None if seconds is None else round(seconds * 1000, 3)


def bin_of(us: int) -> int:
    """Return the bin of a duration in microseconds: as wide as one, then twice as wide with each power of two."""
    shift = us.bit_length() - FINE
    return us if shift <= 0 else (shift << (FINE - 1)) + (us >> shift)


def middle(bin_: int) -> float:
    """Return the microseconds in the middle of a bin."""
    if bin_ < 1 << FINE:
        return bin_
    shift = (bin_ >> (FINE - 1)) - 1
    return ((bin_ - (shift << (FINE - 1))) << shift) + ((1 << shift) - 1) / 2


def percentiles_of(bins: Mapping[int, int], least: int, most: int) -> Percentiles:
    """Return percentiles of durations in bins, of which the extremes are known, in microseconds."""
    if not bins:
        return Percentiles(None, None, None)
    ordered = sorted(bins)
    below = list(accumulate(map(bins.__getitem__, ordered)))
    ranks = (-(-below[-1] * percent // 100) for percent in (50, 95, 99))  # in whole numbers: 0.99 is not 99/100
    found = (middle(ordered[bisect_left(below, rank)]) for rank in ranks)
    return Percentiles(*(min(most, max(least, one)) / US for one in found))
