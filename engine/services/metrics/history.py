"""The figures of runs over time: taken from the counts once a minute, kept in ``state.db``, and read back as points.

What was counted since the last minute is in memory. An engine that is stopped writes it; what one that was killed had
counted is counted again at the next start from the records of its runs, and so are the runs of a time when nothing was
counted yet. Waits and turned away requests are on no record: of these a killed engine's last minute is lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from engine.models.metrics import OTHERS, GroupedBy, MetricGroup, MetricGroups, MetricHistory, MetricPoint, UseFigures
from engine.models.runs import Outcome
from engine.pool.pool import Pool
from engine.registry.metrics import METRICS_GROUPS, METRICS_HISTORY
from engine.services.operations import implements
from engine.services.runs.metrics import (
    US,
    Cut,
    GroupKey,
    GroupTally,
    Percentiles,
    RunMetrics,
    Tally,
    bin_of,
    milliseconds,
    percentiles_of,
    script_of,
)
from engine.services.usage import Usage, UsageMeter
from store.errors import StoreError
from store.state.metrics import (
    DAY,
    GROUP_STEPS,
    HOUR,
    KEPT,
    MINUTE,
    TEN_MINUTES,
    EndedRun,
    GroupRow,
    MetricRecords,
    SpanRange,
    SpanRow,
    merged_groups,
    merged_spans,
    packed,
    unpacked,
)

log = logging.getLogger(__name__)

STEPS = (
    MINUTE, 2 * MINUTE, 5 * MINUTE, TEN_MINUTES, 2 * TEN_MINUTES, 3 * TEN_MINUTES, HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR,
    6 * HOUR, 12 * HOUR, DAY,
)  # fmt: skip
"""Lengths of points, in seconds. Longer ones are of whole days."""

MOST_PENDING = 60
"""Minutes that wait in memory while the database cannot be written. With more of them, the two oldest become one."""

LEAD = 0.01
"""Seconds before the end of a minute at which its counts are taken.

Repeated runs of a minute are in the record of the first of them. If that one were counted with the minute before, a
kill would cost all that follow it: what is counted again is chosen by the end of the run that has the record.
"""

AT_ONCE = 5_000
"""Records of runs that are counted again in one go."""

PAUSE = 0.05
"""Seconds between two such goes: others write, too."""

AGAIN = 30.0
"""Seconds until records that could not be counted are tried again."""

PATIENCE = 1.0
"""Seconds that a question waits for that, right after the engine's start."""

MOST_COUNTERS = 200
"""Scripts that have counters of their own since the engine's start. Those that come later are counted together."""


class MinuteListener(Protocol):
    """Hears of every minute that is over, such as an exporter to another system.

    It is called on the event loop and must not block. What it raises is logged.
    """

    def __call__(self, minute: SpanRow, groups: Sequence[GroupRow]) -> None: ...


class MetricHistoryService:
    """Implemented on ``store.state.metrics``.

    Attributes:
        listeners: Hear of every minute that is over.
    """

    def __init__(
        self,
        runs: RunMetrics,
        records: MetricRecords,
        pool: Pool,
        meter: UsageMeter,
        flushed: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing counted.

        Args:
            runs: Counts runs.
            records: Where the figures are kept.
            pool: Whose slots are used.
            meter: Measures the processes.
            flushed: Writes the records of the runs that have ended so far.
            clock: Seconds since the epoch.
        """
        self.listeners: list[MinuteListener] = []
        self._runs = runs
        self._records = records
        self._pool = pool
        self._meter = meter
        self._flushed = flushed
        self._clock = clock
        self._began = self._cut_at = clock()
        """When what is counted now was begun to be."""
        self._minutes: list[tuple[SpanRow, list[GroupRow]]] = []
        """Those that are over and not written."""
        self._through = 0.0
        self._pruned_at = 0.0
        self._counters: dict[str, dict[str, int]] = {}
        self._recovered = asyncio.Event()
        self._patient = True
        self._writing = asyncio.Lock()
        self._problem = False

    async def run(self) -> None:
        """Count what was left uncounted, then keep every minute, until cancelled."""
        recovery = asyncio.create_task(self.recover(), name="figures of before")
        try:
            while True:
                await asyncio.sleep(until_cut(self._clock()))
                try:
                    await self.keep(await self._meter.usage())
                except Exception:  # a mistake of ours must not end the counting
                    log.exception("the figures of the last minute could not be kept")
        finally:
            recovery.cancel()
            with suppress(asyncio.CancelledError):
                await recovery

    async def close(self) -> None:
        """Write what was counted, with the minute that has begun. All runs have ended before this."""
        self._take(None)  # whatever the clock says: it may have been set back
        await self._write()

    async def keep(self, usage: Usage | None) -> None:
        """Take the counts of the time since the last cut, and write them; what cannot be written waits."""
        self._take(usage)
        await self._write()
        now = self._clock()
        if self._recovered.is_set() and abs(now - self._pruned_at) >= HOUR:
            self._pruned_at = now
            with suppress(StoreError):  # the next hour tries again
                while await self._records.prune(now):  # noqa: ASYNC110 - others write in between
                    await asyncio.sleep(PAUSE)

    def script_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return runs since the engine's start by script and outcome; of the scripts that came last, together."""
        counters = {name: dict(outcomes) for name, outcomes in self._counters.items()}
        _count_scripts(counters, self._runs.pending().groups)
        return counters

    @implements(METRICS_HISTORY)
    async def history(self, hours: float = 1.0, points: int = 60) -> MetricHistory:
        """Return the figures of the past up to now, in points of one length."""
        await self._counted()
        now = self._clock()
        step = step_of(hours, points)
        count = max(1, min(points, -int(-hours * HOUR // step)))
        last = int(now // step) * step
        first = last - (count - 1) * step
        level = max(one for one in (MINUTE, TEN_MINUTES, HOUR) if step % one == 0)
        async with self._writing:
            rows = await self._records.spans(SpanRange(level, first, last + step))
            rows += [minute for minute, _ in self._pending(now) if minute.at >= first]
        found: dict[int, list[SpanRow]] = {}
        for row in rows:
            found.setdefault(row.at - row.at % step, []).append(row)
        made = await asyncio.to_thread(
            lambda: [_point(at, step, found.get(at, ())) for at in range(first, last + step, step)]
        )
        seconds = max(0.001, round(now - last, 3))
        made[-1] = replace(made[-1], seconds=seconds, active=made[-1].active * step / seconds)
        return MetricHistory(step=step, points=made)

    @implements(METRICS_GROUPS)
    async def groups(self, by: GroupedBy = GroupedBy.SCRIPT, hours: float = 24.0, limit: int = 50) -> MetricGroups:
        """Return what was counted by one thing, those with the most runs first."""
        await self._counted()
        now = self._clock()
        since = int((now - hours * HOUR) // TEN_MINUTES) * TEN_MINUTES
        parts, since = cover(since, now)
        async with self._writing:
            totals = {name: row.total for name, row in (await self._records.sums(by, parts)).items()}
            pending: dict[str, list[GroupRow]] = {}
            for _, groups in self._pending(now):
                for row in groups:
                    if row.kind == by.value and row.at >= since:
                        pending.setdefault(row.name, []).append(row)
                        totals[row.name] = totals.get(row.name, 0) + row.total
            chosen = sorted(totals, key=lambda name: (-totals[name], name))[:limit]
            written = await self._records.groups(by, parts, chosen)

        def together() -> list[MetricGroup]:
            rows = {name: [*([written[name]] if name in written else ()), *pending.get(name, ())] for name in chosen}
            return [_group(merged_groups(some)) for some in rows.values()]

        made = await asyncio.to_thread(together)
        return MetricGroups(by=by, since=since, groups=made, others=len(totals) - len(chosen))

    async def _counted(self) -> None:
        """Wait for what was left uncounted, as a killed engine leaves it.

        A month of records is not waited for, nor a disk without room.
        """
        if self._patient:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._recovered.wait()

    def _take(self, usage: Usage | None) -> None:
        """Make a minute of what was counted since the last cut."""
        now = self._clock()
        cut = self._runs.cut()
        _count_scripts(self._counters, cut.groups)
        made = self._minute(cut, now, usage)
        self._cut_at = now
        self._through = max(self._through, cut.through)
        for listener in self.listeners:
            try:
                listener(*made)
            except Exception:  # a listener must not cost the figures
                log.exception("a listener to the figures failed")
        self._minutes.append(made)
        if len(self._minutes) > MOST_PENDING:
            (one, some), (other, more) = self._minutes[:2]
            self._minutes[:2] = [(merged_spans((one, other)), _merged([*some, *more], one.at))]

    def _minute(self, cut: Cut, now: float, usage: Usage | None) -> tuple[SpanRow, list[GroupRow]]:
        # Of the minute that has most of it: a host that was suspended begins when it is at work again, and by a clock
        # that was set back it began no later than now.
        begun = min(max(self._cut_at, now - MINUTE), now)
        at = int((begun + now) / 2 // MINUTE) * MINUTE  # each is taken shortly before a minute ends, or after
        span, groups = rows_of(at, cut.groups, cut.waits)
        slots = cut.waits.slots
        span = replace(span, busy=min(slots, cut.waits.busy), slots=slots, size=self._pool.size)
        return (span if usage is None else _with_usage(span, usage)), groups

    def _pending(self, now: float) -> list[tuple[SpanRow, list[GroupRow]]]:
        """Return the minutes that are not written, with the one that goes on."""
        return [*self._minutes, self._minute(self._runs.pending(), now, None)]

    async def _write(self) -> None:
        """Write the minutes that are over; not before what was left uncounted is counted, for the two have one mark."""
        if not self._recovered.is_set() or not self._minutes:
            return
        count, through = len(self._minutes), self._through
        await self._flushed()
        async with self._writing:
            minutes = self._minutes[:count]
            spans, groups = [span for span, _ in minutes], [row for _, rows in minutes for row in rows]
            try:
                await self._records.add(spans, groups, through or self._began, self._clock())
            except StoreError as error:
                self._failed(error)
                return
            self._problem = False
            del self._minutes[:count]

    def _failed(self, error: StoreError) -> None:
        if not self._problem:
            log.error("the figures of runs cannot be written: %s", error)
        self._problem = True

    async def recover(self) -> None:
        """Count from the records of runs what an engine before this one did not write.

        What is counted is kept page by page: this may end at any moment, and the next start goes on there. Until it is
        done, minutes wait in memory.
        """
        while not self._recovered.is_set():
            try:
                await self._count_again()
                self._recovered.set()
            except StoreError as error:
                if self._patient:
                    log.warning("runs of before this engine's start are not in the figures yet: %s", error)
                self._patient = False
                await asyncio.sleep(AGAIN)
            except Exception:  # a record that is like none of ours must not keep all that follows from being kept
                log.exception("runs of before this engine's start are not in the figures")
                self._recovered.set()

    async def _count_again(self) -> None:
        through = await self._records.through()
        oldest = self._began - KEPT
        after = oldest if through is None else max(through, oldest)
        while ended := await self._records.ended(after, self._began, AT_ONCE):
            size = self._pool.size
            minutes, groups = await asyncio.to_thread(_counted_again, ended, size)
            after = ended[-1].finished_at
            await self._records.add(minutes, groups, after, self._began)
            await asyncio.sleep(PAUSE)
        self._through = max(self._through, after)


def until_cut(now: float) -> float:
    """Return after how many seconds the counts are taken next."""
    return (MINUTE - LEAD - now) % MINUTE or MINUTE


def step_of(hours: float, points: int) -> int:
    """Return the length of points, in seconds, of which at most ``points`` cover ``hours``.

    It is such that no more than some fifteen hundred spans are read: of minutes for a day, of ten for ten days.
    """
    least = max(hours * HOUR / points, TEN_MINUTES if hours > 24 else 0, HOUR if hours > 240 else 0)
    fitting = next((step for step in STEPS if step >= least), None)
    return fitting or -int(-least // DAY) * DAY


def cover(since: int, until: float) -> tuple[list[SpanRange], int]:
    """Return the longest spans that cover a time, without what is not kept, and when they begin.

    Spans of ten minutes are kept for two days only: what began earlier begins with an hour.
    """
    end = int(until // TEN_MINUTES + 1) * TEN_MINUTES
    if since < until - (GROUP_STEPS[TEN_MINUTES] - HOUR):
        since -= since % HOUR
    begin, parts = since, []
    for step, longer in ((TEN_MINUTES, HOUR), (HOUR, DAY)):
        edge = min(end, -(-begin // longer) * longer)
        if begin < edge:
            parts.append(SpanRange(step, begin, edge))
            begin = edge
    # The spans that go on hold all that there is of them.
    if begin < end:
        parts.append(SpanRange(DAY, begin, -(-end // DAY) * DAY))
    return parts, since


def rows_of(at: int, groups: Mapping[GroupKey, GroupTally], waits: Tally) -> tuple[SpanRow, list[GroupRow]]:
    """Return one minute and its groups as they are kept."""
    members: dict[tuple[str, str], list[GroupRow]] = {}
    found = []
    for key, tally in groups.items():
        row = _row_of(at, key.outcome, tally)
        found.append(row)
        failed = row.total - row.successful - row.cancelled
        kinds = [("script", key.script), ("caller", key.caller), *([("error", key.outcome)] if failed else [])]
        for kind, name in kinds:
            text = _utf8(name)
            members.setdefault((kind, text), []).append(replace(row, kind=kind, name=text))
    return _span_of(at, found, waits), [merged_groups(rows) for rows in members.values()]


def _span_of(at: int, rows: Sequence[GroupRow], waits: Tally) -> SpanRow:
    """Return what some groups, of which each run is in one, are together."""
    together = merged_groups(rows) if rows else GroupRow(kind="", step=0, at=at, name="")
    return SpanRow(
        step=MINUTE,
        at=at,
        total=together.total,
        successful=together.successful,
        cancelled=together.cancelled,
        timed=together.timed,
        duration=together.duration,
        shortest=together.shortest,
        longest=together.longest,
        durations=together.durations,
        contended=waits.contended,
        waits=waits.waits,
        waited=waits.waited,
        longest_wait=waits.longest_wait if waits.waits else None,
        waits_timed_out=waits.waits_timed_out,
    )


def _row_of(at: int, outcome: str, tally: GroupTally) -> GroupRow:
    ok, cancelled = outcome == Outcome.OK, outcome == Outcome.CANCELLED
    return GroupRow(
        kind="",
        step=MINUTE,
        at=at,
        name="",
        total=tally.count,
        successful=tally.count if ok else 0,
        cancelled=tally.count if cancelled else 0,
        errors="{}" if ok or cancelled else json.dumps({outcome: tally.count}),
        timed=tally.timed,
        duration=tally.duration,
        shortest=tally.shortest if tally.timed else None,
        longest=tally.longest if tally.timed else None,
        durations=packed(tally.durations),
        last_at=tally.last_at,
    )


def _merged(rows: Iterable[GroupRow], at: int) -> list[GroupRow]:
    members: dict[tuple[str, str], list[GroupRow]] = {}
    for row in rows:
        members.setdefault((row.kind, row.name), []).append(replace(row, at=at))
    return [merged_groups(some) for some in members.values()]


def _with_usage(span: SpanRow, usage: Usage) -> SpanRow:
    return replace(
        span,
        samples=1,
        engine_cpu=usage.engine.cpu_percent,
        engine_memory=usage.engine.memory,
        gateway_cpu=usage.gateway.cpu_percent,
        gateway_memory=usage.gateway.memory,
        load=usage.load,
    )


def _counted_again(ended: Sequence[EndedRun], size: int) -> tuple[list[SpanRow], list[GroupRow]]:
    """Return minutes and groups of runs of which only the records are left.

    How many slots there were then is not on record: it is supposed that there were as many as now.
    """
    minutes: dict[int, dict[str, GroupTally]] = {}
    # No group is kept by the minute: that spares most of the work.
    grouped: dict[int, dict[GroupKey, GroupTally]] = {}
    for run in ended:
        at, outcome = int(run.finished_at // MINUTE) * MINUTE, run.outcome
        minute, spans = minutes.setdefault(at, {}), grouped.setdefault(at - at % TEN_MINUTES, {})
        key = GroupKey(script_of(run.kind, run.name), run.actor, outcome)
        for tally in (
            minute.get(outcome) or minute.setdefault(outcome, GroupTally()),
            spans.get(key) or spans.setdefault(key, GroupTally()),
        ):
            tally.count += 1 + run.repeated
            tally.last_at = run.finished_at
            if outcome == Outcome.CANCELLED or not run.started:
                continue
            if run.duration is not None:
                us = max(0, int(run.duration * US))
                tally.time(us, bin_of(us))
            if run.repeated:
                us = max(0, int(run.repeated_total / run.repeated * US))
                tally.time(us, bin_of(us), run.repeated)
    made = []
    slots = float(MINUTE * size)
    for at, counted in minutes.items():
        span = _span_of(at, [_row_of(at, outcome, tally) for outcome, tally in counted.items()], Tally())
        made.append(replace(span, busy=min(slots, span.duration / US), slots=slots, size=size))
    return made, [row for at, found in grouped.items() for row in rows_of(at, found, Tally())[1]]


def _count_scripts(counters: dict[str, dict[str, int]], groups: Mapping[GroupKey, GroupTally]) -> None:
    for key, tally in groups.items():
        script = _utf8(key.script)
        known = script in counters or len(counters) < MOST_COUNTERS
        outcomes = counters.setdefault(script if known else OTHERS, {})
        outcomes[key.outcome] = outcomes.get(key.outcome, 0) + tally.count


def _utf8(name: str) -> str:
    """Return a name as its run's record has it: what UTF-8 cannot carry is escaped (``StateDB``)."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _percentiles(row: SpanRow | GroupRow) -> Percentiles:
    if not row.timed or row.shortest is None or row.longest is None:
        return Percentiles(None, None, None)
    return percentiles_of(unpacked(row.durations), row.shortest, row.longest)


def _ms(us: int | None) -> float | None:
    return milliseconds(None if us is None else us / US)


def _point(at: int, step: int, rows: Sequence[SpanRow]) -> MetricPoint:
    row = merged_spans(rows) if rows else SpanRow(step=step, at=at)
    found = _percentiles(row)
    return MetricPoint(
        at=at,
        seconds=step,
        total=row.total,
        successful=row.successful,
        failed=row.total - row.successful - row.cancelled,
        cancelled=row.cancelled,
        average_ms=milliseconds(row.duration / row.timed / US) if row.timed else None,
        min_ms=_ms(row.shortest),
        max_ms=_ms(row.longest),
        p50_ms=milliseconds(found.p50),
        p95_ms=milliseconds(found.p95),
        p99_ms=milliseconds(found.p99),
        contended=row.contended,
        average_wait_ms=milliseconds(row.waited / row.waits / US) if row.waits else None,
        max_wait_ms=_ms(row.longest_wait),
        busy_percent=round(100 * row.busy / row.slots, 3) if row.slots else 0.0,
        active=row.busy / step,
        size=row.size,
        engine=UseFigures(cpu_percent=_rounded(row.engine_cpu), memory=row.engine_memory),
        gateway=UseFigures(cpu_percent=_rounded(row.gateway_cpu), memory=row.gateway_memory),
        load=_rounded(row.load),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _group(row: GroupRow) -> MetricGroup:
    found = _percentiles(row)
    return MetricGroup(
        name=row.name,
        total=row.total,
        successful=row.successful,
        failed=row.total - row.successful - row.cancelled,
        cancelled=row.cancelled,
        errors=json.loads(row.errors),
        total_ms=round(row.duration / 1000, 3),
        average_ms=milliseconds(row.duration / row.timed / US) if row.timed else None,
        min_ms=_ms(row.shortest),
        max_ms=_ms(row.longest),
        p50_ms=milliseconds(found.p50),
        p95_ms=milliseconds(found.p95),
        p99_ms=milliseconds(found.p99),
        last_at=row.last_at or None,
    )
