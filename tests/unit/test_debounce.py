"""When a burst of changes is over, by a clock that the test moves."""

from __future__ import annotations

from engine.services.sync.debounce import LIMIT, LOCKED_LIMIT, LOCKED_LOOK, QUIET, Debounce

LOCK = (1, 1, 0, 7)


def test_one_change_is_over_after_a_short_silence() -> None:
    burst = Debounce(100.0)
    assert abs(burst.rest(100.0, None) - QUIET) < 1e-9
    assert 0 < burst.rest(100.0 + QUIET / 2, None) < QUIET
    assert burst.rest(100.0 + QUIET, None) == 0


def test_another_change_begins_the_silence_anew() -> None:
    burst = Debounce(100.0)
    burst.notified(100.1)
    assert burst.rest(100.0 + QUIET, None) > 0
    assert burst.rest(100.1 + QUIET, None) == 0


def test_who_writes_all_the_time_is_not_waited_for() -> None:
    burst, now = Debounce(0.0), 0.0
    while burst.rest(now, None) > 0:
        now += QUIET / 2
        burst.notified(now)
    assert LIMIT <= now < LIMIT + QUIET


def test_a_git_at_work_is_waited_for_and_then_a_silence() -> None:
    burst = Debounce(0.0)
    for now in (0.0, 1.0, 2.0, 5.0):
        assert burst.rest(now, LOCK) == LOCKED_LOOK
    burst.notified(5.1)
    assert 0 < burst.rest(5.1, None) < 2 * QUIET
    assert burst.rest(5.1 + QUIET, None) == 0


def test_a_lock_that_stays_is_waited_for_once() -> None:
    burst = Debounce(0.0)
    assert burst.rest(LOCKED_LIMIT - 0.1, LOCK) > 0
    assert burst.rest(LOCKED_LIMIT + LIMIT, LOCK) == 0
    again = Debounce(50.0, burst.ignored)
    assert again.rest(50.0 + QUIET, LOCK) == 0
    other = (2, 2, 0, 8)
    assert again.rest(50.0 + QUIET, other) == LOCKED_LOOK
