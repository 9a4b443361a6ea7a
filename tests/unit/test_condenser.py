"""What a minute counts, and how much room that takes."""

from __future__ import annotations

import json
import random
from typing import cast

from api_support import run_info
from msgspec.structs import replace

from engine.models.runs import Outcome, RunInfo, RunState
from engine.services.runs.condensed import (
    FIRST_INPUTS,
    MOST_DISTINCT,
    MOST_RANGES,
    Condenser,
    Minute,
    Place,
    Repeated,
    condensed_runs,
)
from store.state.database import StateDB

CALL = Repeated("token:t1", "job.py", "c" * 64, ())


def ended(run_id: int, duration: float = 0.01, given: str = "") -> RunInfo:
    return run_info(
        run_id, state=RunState.FINISHED, outcome=Outcome.OK, duration=duration, finished_at=1.0, inputs_sha256=given
    )


def minute_of(ids: list[int]) -> Minute:
    minute = Minute(CALL, 1)
    for run_id in ids:
        minute.add(ended(run_id))
    return minute


def test_numbers_become_ranges_in_whatever_order_runs_end() -> None:
    ids = [*range(10, 40), 50, 60, 61]
    for seed in range(20):
        order = random.Random(seed).sample(ids, len(ids))
        minute = minute_of([1, *order])
        assert minute.ranges == [(10, 39), (50, 50), (60, 61)], seed
        assert all(minute.has(run_id) for run_id in ids)
        assert not any(minute.has(run_id) for run_id in (1, 9, 40, 49, 62))


def test_a_row_stays_small_whatever_comes() -> None:
    minute = Minute(CALL, 1)
    for number in range(6_000):
        minute.add(ended(1 + 2 * number, given=f"{number:064x}"))
    assert len(minute.ranges) == MOST_RANGES
    assert all(minute.has(1 + 2 * number) for number in range(1, 6_000))
    row = minute.row(audited=False)
    assert len(row.ids) + len(row.inputs) < 3_000
    found = condensed_runs(row)
    assert (found.runs, found.inputs_distinct, found.inputs_more) == (6_000, MOST_DISTINCT, True)
    assert len(found.inputs_first) == FIRST_INPUTS


def test_durations_are_counted_over_all() -> None:
    minute = Minute(CALL, 1)
    for run_id, duration in enumerate((0.2, 0.1, 0.6), 1):
        minute.add(ended(run_id, duration))
    found = condensed_runs(minute.row(audited=False))
    assert (found.shortest, round(found.average, 6), found.longest, found.last_run) == (0.1, 0.3, 0.6, 3)


def test_the_digest_is_over_all_inputs_in_their_order() -> None:
    def digest(*given: str) -> str:
        minute = Minute(CALL, 1)
        for run_id, one in enumerate(given, 1):
            minute.add(ended(run_id, given=one))
        found = json.loads(minute.row(audited=False).inputs)
        return str(found["sha256"])

    assert digest("a", "b") == digest("a", "b") != digest("b", "a")
    assert digest("a", "a") != digest("a")


def test_a_cancelled_run_is_neither_success_nor_failure() -> None:
    """As in the figures of the engine."""
    condenser = Condenser(cast(StateDB, None), lambda _: True, lambda _: None)
    first = ended(1)
    assert condenser.ended(CALL, first, on_record=False) is Place.FIRST
    for outcome in (Outcome.CANCELLED, Outcome.SCRIPT_ERROR, Outcome.TIMEOUT, Outcome.CANCELLED):
        assert condenser.ended(CALL, replace(ended(2), outcome=outcome), on_record=False) is Place.OWN
    found = condenser.shown(first).condensed
    assert found is not None
    assert (found.runs, found.failures) == (1, 2)
