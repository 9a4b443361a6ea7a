"""Figures over time on a real database, by a clock that a test sets: through restarts, kills and full disks."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from engine.api.exposition import encoded
from engine.models.metrics import CODE, OTHERS, RENDERS, GroupedBy, MetricGroup, MetricPoint
from engine.models.runs import Outcome, RunKind
from engine.services.metrics.history import LEAD, MOST_PENDING, MetricHistoryService, cover, step_of, until_cut
from engine.services.runs.metrics import MOST_GROUPS, GroupKey, RunMetrics, script_of
from engine.services.usage import Usage, Use
from store.errors import LowDisk
from store.state.condensed import CondensedRow
from store.state.database import StateDB
from store.state.metrics import DAY, GROUP_STEPS, HOUR, KEPT, MINUTE, MOST_NAMES, GroupRow, SpanRange, SpanRow
from store.state.rows import RunRow

NOON = 20_000 * DAY + 12 * HOUR
"""Seconds since the epoch, on the hour."""

USAGE = Usage(
    cores=2, engine=Use(cpu_percent=12.0, memory=100), gateway=Use(cpu_percent=40.0, memory=900), load=1.5,
    memory=4_000, available=2_000,
)  # fmt: skip

numbers = itertools.count(1)


class Counted:
    """An engine's counts on a state."""

    def __init__(self, state: StateDB, now: float = NOON) -> None:
        self.state = state
        self.now = now
        self.passed = 1_000.0
        """By the clock that is never set."""
        self.runs = RunMetrics(lambda: self.passed)
        self.runs.capacity = lambda: self.capacity
        self.capacity = 3
        self.runs.minute()
        pool: Any = SimpleNamespace(size=3)
        meter: Any = SimpleNamespace()
        self.history = MetricHistoryService(self.runs, state.metrics, pool, meter, self.flushed, lambda: self.now)

    async def flushed(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds

    def run(self, script: str = "a.py", outcome: str = Outcome.OK, duration: float = 0.1, caller: str = "anna") -> None:
        number = next(numbers)
        self.runs.started(number)
        self.wait(duration)
        self.runs.ended(number, GroupKey(script, caller, outcome), duration, self.now)

    async def minute(self, usage: Usage | None = USAGE) -> None:
        """Let the minute pass."""
        self.wait(MINUTE - self.now % MINUTE)
        await self.history.keep(usage)

    async def points(self, hours: float = 1.0, points: int = 60) -> list[MetricPoint]:
        return (await self.history.history(hours, points)).points

    async def groups(self, by: GroupedBy = GroupedBy.SCRIPT, hours: float = 1.0, limit: int = 50) -> list[MetricGroup]:
        return (await self.history.groups(by, hours, limit)).groups


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDB]:
    opened = await StateDB.open(tmp_path / "state.db")
    yield opened
    await opened.close()


@pytest.fixture
async def counted(state: StateDB) -> Counted:
    made = Counted(state)
    await made.history.recover()
    return made


def record(run_id: int, at: float, **fields: Any) -> RunRow:
    given: dict[str, Any] = {
        "kind": "script", "name": "a.py", "state": "finished", "mode": "RESTRICTED", "actor": "anna", "source": "cli",
        "outcome": "ok", "duration": 0.25, "started_at": at - 0.25,
    }  # fmt: skip
    return RunRow(id=run_id, queued_at=at - 1, finished_at=at, timeout=30.0, code_sha256="c" * 64, **(given | fields))


async def test_what_ran_is_in_its_minute_before_and_after_that_is_written(counted: Counted) -> None:
    for _ in range(3):
        counted.run()
    counted.run(outcome=Outcome.SCRIPT_ERROR, duration=0.5)
    counted.run(outcome=Outcome.CANCELLED, duration=5.0)

    async def look() -> None:
        points = await counted.points()
        point = next(each for each in points if each.at == NOON)
        assert (point.total, point.successful, point.failed, point.cancelled) == (5, 3, 1, 1)
        assert (point.min_ms, point.max_ms, point.average_ms) == (100.0, 500.0, 200.0)
        assert point.per_minute == 5.0
        assert point.p50_ms == pytest.approx(100.0, rel=0.016)
        assert sum(each.total for each in points) == 5
        assert len(points) == 60

    await look()
    await counted.minute()
    await look()
    assert not counted.runs.pending().groups
    point = (await counted.points())[-2]
    assert point.busy_percent == pytest.approx(100 * 5.8 / 180, rel=0.01)
    assert (point.size, point.load, point.engine.cpu_percent, point.gateway.memory) == (3, 1.5, 12.0, 900)
    assert (await counted.points())[-1].total == 0


async def test_points_follow_each_other_without_a_gap_and_the_last_one_goes_on(counted: Counted) -> None:
    counted.wait(25.0)
    for hours, points in ((1.0, 60), (24.0, 100), (720.0, 1440), (720.0, 1), (0.001, 5), (100.0, 7)):
        found = await counted.history.history(hours, points)
        ats = [point.at for point in found.points]
        assert ats == [ats[0] + number * found.step for number in range(len(ats))]
        assert len(ats) <= points
        assert ats[-1] <= counted.now < ats[-1] + found.step
        assert found.points[-1].seconds == pytest.approx(counted.now - ats[-1])
        assert len(ats) == points or counted.now - ats[0] >= (hours * HOUR - found.step)


@given(st.floats(0.001, 720.0), st.integers(1, 1440))
def test_a_step_covers_the_time_in_no_more_points(hours: float, points: int) -> None:
    step = step_of(hours, points)
    assert step * points >= hours * HOUR
    assert step >= MINUTE
    assert DAY % step == 0 or step % DAY == 0


async def test_longer_points_are_sums_of_the_minutes(counted: Counted) -> None:
    for number in range(125):
        counted.run(duration=0.001 * (number + 1))
        await counted.minute()
    points = await counted.points(24.0, 24)
    assert [point.total for point in points[-3:]] == [60, 60, 5]
    assert points[-3].p50_ms == pytest.approx(31.0, rel=0.05)
    assert (points[-3].min_ms, points[-3].max_ms) == (1.0, 60.0)
    assert points[-2].load == 1.5


async def test_runs_are_counted_by_script_caller_and_kind_of_failure(counted: Counted) -> None:
    for _ in range(4):
        counted.run("line1/a.py")
    counted.run("b.py", Outcome.SCRIPT_ERROR, 0.3, caller="ben")
    counted.run("b.py", Outcome.TIMEOUT, 2.0, caller="ben")
    counted.run(CODE, Outcome.CANCELLED, caller="ben")
    counted.runs.refused("b.py", "anna", counted.now)
    for _ in range(2):  # in memory, then written
        scripts = await counted.groups()
        assert [(one.name, one.total, one.successful, one.failed, one.cancelled) for one in scripts] == [
            ("line1/a.py", 4, 4, 0, 0), ("b.py", 3, 0, 3, 0), (CODE, 1, 0, 0, 1),
        ]  # fmt: skip
        assert scripts[1].errors == {"script_error": 1, "timeout": 1, "refused": 1}
        assert scripts[1].max_ms == 2000.0
        assert scripts[2].p50_ms is None
        callers = await counted.groups(GroupedBy.CALLER)
        assert [(one.name, one.total) for one in callers] == [("anna", 5), ("ben", 3)]
        errors = await counted.groups(GroupedBy.ERROR)
        assert {one.name: one.total for one in errors} == {"script_error": 1, "timeout": 1, "refused": 1}
        await counted.minute()
    found = await counted.history.groups(GroupedBy.SCRIPT, 1.0, 1)
    assert ([one.name for one in found.groups], found.others) == (["line1/a.py"], 2)


async def test_a_time_that_was_asked_for_begins_where_the_answer_says(counted: Counted) -> None:
    counted.run("old.py")
    await counted.minute()
    counted.now += 2 * HOUR
    counted.run("new.py")
    await counted.minute()
    assert [one.name for one in await counted.groups(hours=1.0)] == ["new.py"]
    assert {one.name for one in await counted.groups(hours=3.0)} == {"new.py", "old.py"}
    found = await counted.history.groups(GroupedBy.SCRIPT, 1.0, 5)
    assert counted.now - HOUR - 600 < found.since <= counted.now - HOUR


@given(st.floats(0, 3 * DAY), st.floats(0.01, 720.0))
def test_a_time_is_covered_by_spans_that_are_kept_and_meet_each_other(past_noon: float, hours: float) -> None:
    now = NOON + past_noon
    asked = int((now - hours * HOUR) // 600) * 600
    parts, since = cover(asked, now)
    assert asked - HOUR < since <= asked
    assert parts[0].since == since
    for one, other in itertools.pairwise(parts):
        assert one.until == other.since
    assert parts[-1].until > now
    for part in parts:
        assert part.since % part.step == 0
        assert now - part.since <= GROUP_STEPS[part.step] + part.step


async def test_an_engine_that_was_stopped_goes_on_in_the_same_minute(state: StateDB, counted: Counted) -> None:
    counted.run()
    await counted.history.close()
    counted.wait(5.0)
    after = Counted(state, counted.now)
    await after.history.recover()
    after.run(outcome=Outcome.MEMORY)
    assert [(one.total, one.failed) for one in await after.groups()] == [(2, 1)]
    await after.history.close()
    points = await after.points()
    assert (points[-1].total, points[-1].failed) == (2, 1)


async def test_what_a_killed_engine_did_not_write_comes_from_the_records(state: StateDB, counted: Counted) -> None:
    counted.run(duration=0.1)
    await state.apply([], [], [record(1, counted.now, duration=0.1)])
    await counted.minute()
    counted.run(outcome=Outcome.SCRIPT_ERROR, duration=0.25)  # never written: the engine is killed
    failed = record(2, counted.now, outcome="script_error", duration=0.25)
    shown = record(3, counted.now + 1, outcome="cancelled", kind="exec", name="a.py", actor="ben")
    condensed = CondensedRow(
        run_id=4, runs=10, failures=0, shortest=0.1, total=1.0, longest=0.1, first_at=1.0, last_at=2.0, last_id=13,
        inputs="{}", ids="[[5, 13]]",
    )  # fmt: skip
    await state.apply([], [], [failed, shown, record(4, counted.now + 2, duration=0.1)])
    await state.note_condensed([condensed], [])
    for _ in range(2):  # the second one finds nothing left to count
        after = Counted(state, counted.now + 120)
        await after.history.recover()
        points = [point for point in await after.points() if point.total]
        assert [(each.total, each.successful, each.failed, each.cancelled) for each in points] == [
            (1, 1, 0, 0), (12, 10, 1, 1),
        ]  # fmt: skip
        assert {one.name: one.total for one in await after.groups()} == {"a.py": 12, CODE: 1}
        assert points[1].p50_ms == pytest.approx(100.0, rel=0.016)
        await after.history.close()


async def test_a_run_that_ended_with_its_engine_is_a_failure_without_a_duration(
    state: StateDB, counted: Counted
) -> None:
    lost = record(1, counted.now, outcome="interrupted", duration=None)
    await state.apply([], [], [lost, record(2, counted.now, duration=4.0)])
    after = Counted(state, counted.now + 60)
    await after.history.recover()
    [group] = await after.groups()
    assert (group.total, group.successful, group.failed, group.min_ms, group.total_ms) == (2, 1, 1, 4000.0, 4000.0)
    [failures] = await after.groups(GroupedBy.ERROR)
    assert (failures.name, failures.total, failures.p50_ms, failures.average_ms) == ("interrupted", 1, None, None)


@given(st.floats(NOON, NOON + HOUR))
def test_counts_are_taken_shortly_before_a_minute_ends(now: float) -> None:
    seconds = until_cut(now)
    assert 0 < seconds <= MINUTE
    assert MINUTE - 2 * LEAD < (now + seconds) % MINUTE < MINUTE


async def test_repeated_runs_of_a_minute_are_counted_again_with_their_first_one(
    state: StateDB, counted: Counted
) -> None:
    counted.wait(10.0)
    for _ in range(3):
        counted.wait(until_cut(counted.now))
        await counted.history.keep(None)
        counted.wait(0.011)  # the first one of the next minute ends at once
        counted.run(duration=0.001)
    at = counted.now
    await state.apply([], [], [record(1, at, duration=0.001)])
    repeated = CondensedRow(
        run_id=1, runs=500, failures=0, shortest=0.001, total=0.5, longest=0.001, first_at=at, last_at=at + 40,
        last_id=500, inputs="{}", ids="[[2, 500]]",
    )  # fmt: skip
    await state.note_condensed([repeated], [])
    after = Counted(state, at + 50.0)  # the one before was killed
    await after.history.recover()
    found = [(point.at - NOON, point.total) for point in await after.points() if point.total]
    assert found == [(60, 1), (120, 1), (180, 500)]


async def test_records_of_before_the_figures_are_counted_page_by_page(
    state: StateDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.services.metrics.history.AT_ONCE", 7)
    monkeypatch.setattr("engine.services.metrics.history.PAUSE", 0.0)
    old = [record(1, NOON - KEPT - DAY)]
    # Many end at one moment, as those of an engine that was killed do.
    recent = [record(number, NOON - 100 * (number // 10 + 1)) for number in range(2, 52)]
    await state.apply([], [], [*old, *recent])
    after = Counted(state)
    await after.history.recover()
    assert sum(point.total for point in await after.points(720.0, 30)) == 50
    assert [one.total for one in await after.groups(hours=720.0)] == [50]


class Killed(BaseException):
    """Stands for the end of a process between two statements."""


class Mortal:
    """Engines on one state, one after the other, each of which may end at any moment."""

    def __init__(self, state: StateDB, chance: random.Random) -> None:
        self.state = state
        self.recorded = 0
        self._chance = chance
        self._add = state.metrics.add

    async def add(self, *given: Any) -> None:
        """Add figures in place of ``MetricRecords.add``; at times the process ends before it, or after."""
        for act in (None, self._add, None):
            if act is not None:
                await act(*given)
            elif self._chance.random() < 0.1:
                raise Killed

    async def begun(self, now: float) -> Counted:
        while True:
            engine = Counted(self.state, now)
            try:
                await engine.history.recover()
            except Killed:
                now += 0.5
            else:
                return engine

    async def record(self, at: float, outcome: str = "ok") -> None:
        self.recorded += 1
        await self.state.apply([], [], [record(self.recorded, at, outcome=outcome, duration=0.1)])

    async def step(self, engine: Counted) -> Counted:
        """Let something happen; return the engine that is there then."""
        what = self._chance.random()
        if what < 0.7:
            engine.wait(self._chance.random() * 9)
            outcome = self._chance.choice([Outcome.OK, Outcome.SCRIPT_ERROR, Outcome.CANCELLED])
            engine.run(outcome=outcome)
            await self.record(engine.now, outcome)
            return engine
        try:
            if what < 0.9:
                await engine.minute()
                return engine
            if what < 0.95:
                await engine.history.close()
        except Killed:
            pass
        return await self.begun(engine.now + 1.0)


@pytest.mark.parametrize("seed", range(8))
async def test_figures_are_those_of_the_records_whenever_an_engine_is_killed(
    state: StateDB, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("engine.services.metrics.history.AT_ONCE", 3)
    monkeypatch.setattr("engine.services.metrics.history.PAUSE", 0.0)
    mortal = Mortal(state, random.Random(seed))
    monkeypatch.setattr(state.metrics, "add", mortal.add)
    for number in range(20):  # what was there before figures were kept
        await mortal.record(NOON - 5_000 + number * 70)
    engine = await mortal.begun(NOON)
    for _ in range(60):
        engine = await mortal.step(engine)
    assert [one.total for one in await engine.groups(hours=24.0)] == [mortal.recorded]
    assert [one.total for one in await engine.groups(GroupedBy.CALLER, 24.0)] == [mortal.recorded]
    assert sum(point.total for point in await engine.points(24.0, 100)) == mortal.recorded


async def test_records_that_cannot_be_counted_yet_are_counted_later_and_minutes_wait(
    state: StateDB, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("engine.services.metrics.history.AGAIN", 0.01)
    await state.apply([], [], [record(number, NOON - 30.0) for number in range(1, 4)])
    after, add, refused = Counted(state), state.metrics.add, []

    async def full(*given: object) -> None:
        refused.append(given)
        raise LowDisk("The disk is full.")

    monkeypatch.setattr(state.metrics, "add", full)
    recovery = asyncio.create_task(after.history.recover())
    async with asyncio.timeout(20):
        while len(refused) < 3:  # noqa: ASYNC110 - each of them is a try
            await asyncio.sleep(0.01)
    assert not recovery.done()
    after.run()
    await after.minute()
    assert [one.total for one in await after.groups()] == [1]
    monkeypatch.setattr(state.metrics, "add", add)
    async with asyncio.timeout(20):
        await recovery
    assert [one.total for one in await after.groups()] == [4]
    await after.minute()
    assert after.history._minutes == []
    assert caplog.text.count("not in the figures yet") == 1


async def test_a_record_that_cannot_be_counted_does_not_end_the_figures(
    state: StateDB, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await state.apply([], [], [record(1, NOON - 30.0, duration=float("inf"))])
    after = Counted(state)
    await after.history.recover()
    assert "are not in the figures" in caplog.text
    after.run()
    await after.minute()
    assert [one.total for one in await after.groups()] == [1]


@pytest.mark.parametrize("hours", [-3.0, 3.0])
async def test_nothing_is_lost_or_counted_twice_when_the_clock_is_set(
    state: StateDB, counted: Counted, hours: float
) -> None:
    await counted.minute()
    counted.run()
    counted.wait(20.0)
    counted.now += hours * HOUR
    counted.run(duration=2.0)
    assert sum(point.total for point in await counted.points(5.0)) == 2
    await counted.minute()
    for _ in range(3):
        counted.run()
        await counted.minute()
    found = [point for point in await counted.points(5.0, 300) if point.total]
    assert sum(point.total for point in found) == 5
    assert all(0 < point.busy_percent <= 100 for point in found)
    counted.run()
    counted.now -= hours * HOUR
    await counted.history.close()
    after = Counted(state, counted.now + 4 * HOUR)
    await after.history.recover()
    assert sum(point.total for point in await after.points(12.0, 100)) == 6
    assert [one.total for one in await after.groups(hours=12.0)] == [6]


async def test_slots_that_rest_are_not_counted_as_idle(counted: Counted) -> None:
    await counted.minute()
    counted.capacity = 1
    counted.run(duration=30.0)
    await counted.minute()
    point = (await counted.points())[-2]
    assert point.busy_percent == pytest.approx(50.0, rel=0.03)
    assert (point.size, point.active) == (3, pytest.approx(0.5, rel=0.03))


async def test_minutes_wait_in_memory_while_the_disk_is_full(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add = counted.state.metrics.add

    async def full(*given: object) -> None:
        raise LowDisk("The disk is full.")

    monkeypatch.setattr(counted.state.metrics, "add", full)
    for _ in range(MOST_PENDING + 20):
        counted.run()
        await counted.minute()
    assert len(counted.history._minutes) == MOST_PENDING
    assert [one.total for one in await counted.groups(hours=3.0)] == [MOST_PENDING + 20]
    assert sum(point.total for point in await counted.points(3.0, 180)) == MOST_PENDING + 20
    assert caplog.text.count("cannot be written") == 1
    monkeypatch.setattr(counted.state.metrics, "add", add)
    await counted.minute()
    assert counted.history._minutes == []
    assert [one.total for one in await counted.groups(hours=3.0)] == [MOST_PENDING + 20]


async def test_a_minute_has_a_bounded_number_of_groups(counted: Counted) -> None:
    for number in range(MOST_GROUPS + 10):
        counted.run(f"{number}.py", duration=0.0)
    assert len(counted.runs.pending().groups) == MOST_GROUPS + 1
    found = {one.name: one.total for one in await counted.groups(limit=MOST_GROUPS + 5)}
    assert found[OTHERS] == 10
    assert sum(found.values()) == MOST_GROUPS + 10


async def test_a_span_has_a_bounded_number_of_groups(state: StateDB) -> None:
    for first in (0, MOST_NAMES - 5):
        rows = [
            GroupRow(kind="script", step=60, at=NOON, name=f"{first + number}.py", total=1, last_at=1.0)
            for number in range(MOST_NAMES - 5 if not first else 20)
        ]
        await state.metrics.add([], rows, 1.0, NOON)
    found = await state.metrics.sums("script", [SpanRange(HOUR, NOON, NOON + HOUR)])
    assert len(found) == MOST_NAMES + 1
    assert found[OTHERS].total == 15


async def test_figures_older_than_thirty_days_go(counted: Counted) -> None:
    counted.run("old.py")
    await counted.minute()
    counted.now += KEPT - 2 * HOUR
    await counted.minute()
    assert {one.name for one in await counted.groups(hours=720.0)} == {"old.py"}
    assert sum(point.total for point in await counted.points(720.0, 100)) == 1
    counted.now += 4 * DAY
    await counted.minute()
    for step in (MINUTE, 600, HOUR):
        assert not [row for row in await counted.state.metrics.spans(SpanRange(step, 0, NOON + 600)) if row.total]
    assert await counted.state.metrics.sums("script", [SpanRange(step, 0, NOON + DAY) for step in GROUP_STEPS]) == {}


async def test_listeners_hear_of_each_minute_and_cost_nothing_when_they_fail(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[SpanRow, list[str]]] = []

    def fails(minute: SpanRow, groups: object) -> None:
        raise RuntimeError("gone")

    counted.history.listeners += [fails, lambda minute, groups: heard.append((minute, [row.name for row in groups]))]
    counted.run()
    await counted.minute()
    assert [(minute.at, minute.total, sorted(names)) for minute, names in heard] == [(NOON, 1, ["a.py", "anna"])]
    assert "a listener to the figures failed" in caplog.text


@pytest.mark.parametrize(
    ("kind", "name", "counted_by"),
    [
        (RunKind.SCRIPT, "line1/a.py", "line1/a.py"),
        (RunKind.EXEC, "line1/a.py", CODE),
        (RunKind.CALL, "math", CODE),
        (RunKind.RENDER, "report.md", RENDERS),
    ],
)
def test_only_scripts_are_counted_by_their_names(kind: RunKind, name: str, counted_by: str) -> None:
    assert script_of(kind, name) == counted_by


async def test_counters_of_scripts_grow_only_and_are_bounded(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.services.metrics.history.MOST_COUNTERS", 2)
    seen: Callable[[], dict[str, int]] = lambda: {  # noqa: E731
        name: sum(outcomes.values()) for name, outcomes in counted.history.script_counters().items()
    }
    counted.run("a.py")
    assert seen() == {"a.py": 1}
    await counted.minute()
    for name in ("a.py", "b.py", "c.py", "d.py"):
        counted.run(name)
    assert seen() == {"a.py": 2, "b.py": 1, OTHERS: 2}
    await counted.minute()
    counted.run("c.py")
    assert seen() == {"a.py": 2, "b.py": 1, OTHERS: 3}


async def test_any_name_is_counted_kept_and_exposed(counted: Counted) -> None:
    names = ["\udc80.py", 'quote".py', "line\nbreak.py", "back\\slash.py", "Zoë.py", "nul\x00.py"]
    for name in names:
        counted.run(name, caller=name)
    await counted.minute()
    kept = [name.replace("\udc80", "\\udc80") for name in names]
    assert sorted(one.name for one in await counted.groups()) == sorted(kept)
    metrics = [CounterMetricFamily("x", "y", labels=("script",))]
    for name in counted.history.script_counters():
        metrics[0].add_metric([name], 1)
    for accept, parse in (("", text_string_to_metric_families), ("application/openmetrics-text", openmetrics)):
        found = list(parse(encoded(metrics, accept).data.decode()))
        assert [sample.labels["script"] for sample in found[0].samples] == kept


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=9.9.9", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=x", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=9.9.9,application/openmetrics-text;version=1.0.0", "application/openm"),
        ("application/openmetrics-text;version=", "text/plain; version=0.0.4"),
        (";;;q=,,=", "text/plain; version=0.0.4"),
        ("text/plain;version=1.0.0;escaping=junk;q=x", "text/plain; version=1.0.0"),
        ("a" * 100_000, "text/plain; version=0.0.4"),
    ],
)
def test_whatever_a_collector_asks_for_it_gets_a_format_that_there_is(accept: str, media_type: str) -> None:
    found = encoded([CounterMetricFamily("a", "Some.", 1)], accept)
    assert found.media_type.startswith(media_type)
    assert b"a_total 1.0" in found.data


@given(
    st.text("aplicton/xmersv=0.;q,* \"'", max_size=60).map(lambda text: f"application/openmetrics-text;version{text}")
)
def test_no_question_of_a_collector_ends_the_answer(accept: str) -> None:
    assert b"a_total 1.0" in encoded([CounterMetricFamily("a", "Some.", 1)], accept).data
