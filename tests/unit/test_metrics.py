"""The figures of runs, by a clock that a test sets."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.metrics import REFUSED
from engine.models.runs import Outcome
from engine.services.runs.metrics import WINDOW, GroupKey, RunMetrics, Tally


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(clock: Clock) -> RunMetrics:
    return RunMetrics(clock)


def by(outcome: str) -> GroupKey:
    return GroupKey("a.py", "anna", outcome)


numbers: Iterator[int] = count(1)


def run(runs: RunMetrics, duration: float, outcome: str = Outcome.OK) -> None:
    """One that takes no time of the clock."""
    number = next(numbers)
    runs.started(number)
    runs.ended(number, by(outcome), duration, 0.0)


def test_nothing_has_run(runs: RunMetrics) -> None:
    for totals in (runs.totals(), runs.minute()):
        assert (totals.total, totals.successful, totals.failed, totals.cancelled) == (0, 0, 0, 0)
        assert (totals.average, totals.shortest, totals.longest, totals.error_rate) == (None, None, None, None)
    assert runs.percentiles().p50 is runs.percentiles().p99 is None


def test_percentiles_are_of_all_runs_of_the_minute_and_nearly_exact(runs: RunMetrics) -> None:
    durations = [number / 100_000 for number in range(1, 20_001)]
    random.Random(1).shuffle(durations)
    for duration in durations:
        run(runs, duration)
    found = runs.percentiles()
    assert found == runs.minute().percentiles == runs.totals().percentiles
    assert found.p50 == pytest.approx(0.1, rel=0.016)
    assert found.p95 == pytest.approx(0.19, rel=0.016)
    assert found.p99 == pytest.approx(0.198, rel=0.016)


def test_percentiles_of_few_runs_are_among_their_durations(runs: RunMetrics) -> None:
    run(runs, 0.123_457)
    assert runs.percentiles().p50 == runs.percentiles().p99 == 0.123_457
    run(runs, 0.000_001)
    assert (runs.percentiles().p50, runs.percentiles().p99) == (0.000_001, pytest.approx(0.123_457, rel=0.016))


@pytest.mark.parametrize(
    ("count", "ranks"), [(1, (1, 1, 1)), (2, (1, 2, 2)), (10, (5, 10, 10)), (20, (10, 19, 20)), (100, (50, 95, 99))]
)
def test_a_percentile_is_the_nearest_rank(runs: RunMetrics, count: int, ranks: tuple[int, int, int]) -> None:
    for number in range(1, count + 1):
        run(runs, number / 1_000_000)  # up to 63 microseconds each has a bin of its own, as 95 and 99 nearly have
    found = runs.percentiles()
    whole = [round((each or 0.0) * 1_000_000) for each in (found.p50, found.p95, found.p99)]
    assert whole == pytest.approx(ranks, abs=0 if count <= 63 else 1)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=60))
def test_a_percentile_is_within_its_bin_whatever_the_durations(durations: list[float]) -> None:
    runs = RunMetrics(Clock())
    for duration in durations:
        run(runs, duration)
    ordered = sorted(durations)
    found = runs.percentiles()
    for percent, one in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert one == pytest.approx(ordered[-(-len(ordered) * percent // 100) - 1], rel=0.016, abs=1.1e-6)
    totals = runs.totals()
    assert totals.shortest == pytest.approx(ordered[0], abs=1.1e-6)
    assert totals.longest == pytest.approx(ordered[-1], abs=1.1e-6)
    assert totals.duration == pytest.approx(sum(ordered), abs=1.1e-6 * len(ordered))


def test_every_outcome_is_a_success_a_failure_or_neither(runs: RunMetrics) -> None:
    for outcome in Outcome:
        run(runs, 0.1, outcome)
    runs.refused("a.py", "anna", 0.0)
    totals = runs.totals()
    assert (totals.successful, totals.cancelled, totals.failed) == (1, 1, len(Outcome) - 2 + 1)
    assert totals.outcomes == dict.fromkeys([*sorted(Outcome), REFUSED], 1) | {REFUSED: 1}
    assert totals.error_rate == pytest.approx(100 * (len(Outcome) - 1) / len(Outcome))


def test_a_cancelled_run_says_nothing_about_speed_but_used_a_slot(runs: RunMetrics) -> None:
    run(runs, 0.2)
    run(runs, 500.0, Outcome.CANCELLED)
    totals = runs.totals()
    assert (totals.dispatched, totals.timed, totals.average, totals.longest) == (2, 1, 0.2, 0.2)


def test_a_run_leaves_the_minute_and_stays_in_the_totals(runs: RunMetrics, clock: Clock) -> None:
    run(runs, 0.5, Outcome.TIMEOUT)
    clock.now += 59.0
    assert (runs.minute().failed, runs.runs_last_minute(), runs.percentiles().p50) == (1, 1, 0.5)
    clock.now += 2.0
    assert (runs.minute().failed, runs.runs_last_minute(), runs.percentiles().p50) == (0, 0, None)
    totals = runs.totals()
    assert (totals.failed, totals.longest, totals.percentiles.p99, totals.seconds) == (1, 0.5, 0.5, 61.0)
    assert runs.minute().percentiles == runs.percentiles()


def test_figures_are_right_after_any_pause(runs: RunMetrics, clock: Clock) -> None:
    for pause in (0.0, 0.4, 0.7, 3.0, 30.0):
        clock.now += pause
        run(runs, pause)
    assert runs.minute().total == 5
    clock.now += 31.0
    assert runs.minute().total == 1
    clock.now += 500.0
    run(runs, 0.1)
    assert (runs.minute().total, runs.percentiles().p50) == (1, 0.1)
    assert (runs.totals().total, runs.totals().duration) == (6, pytest.approx(34.2))


def test_a_wait_for_a_slot_is_counted_once_and_measured(runs: RunMetrics, clock: Clock) -> None:
    runs.queued(1)
    runs.queued(1)  # its place has changed
    assert (runs.waiting, runs.minute().contended, runs.minute().waits) == (1, 1, 0)
    clock.now += 0.25
    runs.started(1)
    runs.started(1)  # something else of it has changed
    assert (runs.waiting, runs.active) == (0, 1)
    runs.ended(1, by(Outcome.OK), 0.1, 0.0)
    runs.queued(2)
    clock.now += 0.75
    runs.ended(2, by(Outcome.CANCELLED), 0.0, 0.0)
    totals = runs.totals()
    assert (totals.contended, totals.waits, totals.average_wait, totals.longest_wait) == (2, 2, 0.5, 0.75)
    assert (totals.waits_timed_out, totals.dispatched, totals.cancelled) == (0, 1, 1)


def test_a_run_that_waits_in_vain_is_a_failure_without_a_duration(runs: RunMetrics, clock: Clock) -> None:
    runs.queued(1)
    clock.now += 30.0
    runs.ended(1, by(Outcome.TIMEOUT), 0.0, 0.0)
    totals = runs.totals()
    assert (totals.failed, totals.waits_timed_out, totals.timed, totals.average) == (1, 1, 0, None)


def test_a_batch_is_one_run_and_has_the_slots_of_its_processes(runs: RunMetrics, clock: Clock) -> None:
    runs.started(1, slots=0)
    clock.now += 10.0  # its processes wait for slots
    runs.occupied(1)
    runs.occupied(1)
    clock.now += 5.0
    runs.occupied(-1)
    clock.now += 1.0
    assert (runs.active, runs.minute().busy) == (1, pytest.approx(11.0))
    runs.ended(1, by(Outcome.OK), 16.0, 0.0)
    runs.occupied(-1)  # a process leaves after the batch has its record
    clock.now += 5.0
    totals = runs.totals()
    assert (totals.total, totals.dispatched, totals.busy) == (1, 1, pytest.approx(11.0))


def test_slots_are_busy_for_as_long_as_runs_go_on_in_them(runs: RunMetrics, clock: Clock) -> None:
    clock.now += 0.5
    runs.started(1)
    runs.started(2)
    clock.now += 10.25
    runs.ended(1, by(Outcome.OK), 10.25, 0.0)
    assert (runs.minute().busy, runs.peak) == (pytest.approx(20.5), 2)
    clock.now += 50.0
    runs.ended(2, by(Outcome.OK), 60.25, 0.0)
    # The second that has begun and the 59 before it: from 1001.0 on.
    assert runs.minute().busy == pytest.approx(9.75 + 59.75)
    clock.now += 1000.0
    runs.started(3)
    clock.now += 1000.0
    assert runs.minute().busy == pytest.approx(59.75)
    assert runs.totals().busy == pytest.approx(10.25 + 60.25 + 1000.0)
    assert (runs.active, runs.peak) == (1, 2)


def test_slots_that_rest_do_not_count_as_idle(runs: RunMetrics, clock: Clock) -> None:
    there = 4
    runs.capacity = lambda: there
    clock.now += 1.0
    runs.started(1)
    for _ in range(60):
        clock.now += 1.0
        runs.minute()
    assert runs.minute().busy_percent == pytest.approx(25.0, rel=0.02)
    there = 1  # three of them rest
    for _ in range(30):
        clock.now += 1.0
        runs.minute()
    assert runs.minute().busy_percent == pytest.approx(100 * 60 / (30 * 4 + 30), rel=0.03)
    for _ in range(31):
        clock.now += 1.0
        runs.minute()
    assert runs.minute().busy_percent == pytest.approx(100.0, rel=0.02)


def test_a_young_engine_counts_as_idle_before(runs: RunMetrics, clock: Clock) -> None:
    runs.capacity = lambda: 2
    runs.started(1)
    clock.now += 6.0
    assert runs.minute().busy_percent == pytest.approx(100 * 6 / 120, rel=0.02)


def test_a_duration_below_zero_is_none_of_the_figures_end(runs: RunMetrics) -> None:
    run(runs, -3600.0)  # the clock was set back while a batch went on
    run(runs, 0.1)
    totals = runs.totals()
    assert (totals.timed, totals.shortest, totals.duration) == (2, 0.0, 0.1)


def test_processor_time_is_averaged_over_the_runs_that_have_it(runs: RunMetrics) -> None:
    run(runs, 1.0)
    runs.used(0.25)
    run(runs, 1.0)
    runs.used(0.75)
    run(runs, 1.0)  # its process was killed with its zygote
    assert runs.totals().average_cpu == 0.5


moves = st.lists(
    st.tuples(st.sampled_from(["queue", "start", "end", "refuse", "wait"]), st.integers(1, 4), st.floats(0, 90)),
    max_size=60,
)


@settings(max_examples=40)
@given(moves, st.sampled_from(list(Outcome)))
def test_totals_are_successes_failures_and_neither_at_any_moment(
    moves: list[tuple[str, int, float]], outcome: Outcome
) -> None:
    clock = Clock()
    runs = RunMetrics(clock)
    for total, (move, number, pause) in enumerate(moves):
        match move:
            case "queue":
                runs.queued(number)
            case "start":
                runs.started(number)
            case "end":
                runs.ended(number, by(outcome if number % 2 else Outcome.OK), pause, 0.0)
            case "refuse":
                runs.refused("a.py", "anna", 0.0)
            case "wait":
                clock.now += pause
        for totals in (runs.totals(), runs.minute()):
            assert totals.total == totals.successful + totals.failed + totals.cancelled == sum(totals.outcomes.values())
            assert totals.timed <= totals.dispatched <= totals.total
            assert totals.waits_timed_out <= totals.waits <= runs.totals().contended
            assert min(totals.successful, totals.failed, totals.cancelled) >= 0
        assert runs.totals().total == sum(move in ("end", "refuse") for move, _, _ in moves[: total + 1])
        assert 0 <= runs.minute().busy <= WINDOW * 4


def test_what_it_holds_does_not_depend_on_the_number_of_runs(runs: RunMetrics, clock: Clock) -> None:
    sizes = []
    for second in range(130):
        for number in range(300):
            run(runs, (number % 97 + 1) / 1000)
            runs.used(0.001)
        clock.now += 1.0
        if second in (70, 129):
            sizes.append(_held(runs))
    assert runs.minute().total == 59 * 300  # the second that has begun is one of the sixty
    assert runs.totals().total == 130 * 300
    assert sizes[0] == sizes[1] < 500_000


def _held(runs: RunMetrics) -> int:
    """Bytes of the containers that it keeps."""
    tallies = [value for value in vars(runs).values() if isinstance(value, Tally)] + runs._seconds
    inside = [tally.durations for tally in tallies] + [tally.outcomes for tally in tallies]
    return sum(map(sys.getsizeof, [*tallies, *inside, runs._active, runs._waiting, runs._durations]))
