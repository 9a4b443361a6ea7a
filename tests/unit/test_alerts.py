"""Alerts begin, last and end by a clock that a test sets, and each figure past its bound is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from engine.models.engine import PoolInfo, SlotInfo, SlotState
from engine.models.metrics import AlertSeverity, EngineMetrics, HostFigures, RunFigures, UseFigures
from engine.services.events import EventBus
from engine.services.metrics.alerts import QUIET, SHOWN, AlertCause, AlertService, findings_of
from engine.services.metrics.judgement import judge

RUNS = RunFigures(
    seconds=60.0, total=100, successful=100, failed=0, cancelled=0, outcomes={"ok": 100}, dispatched=100,
    total_ms=100.0, average_ms=1.0, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0, contended=0, waits=0, waits_timed_out=0,
)  # fmt: skip
METRICS = EngineMetrics(
    uptime=100.0, size=3, active=0, peak=1, waiting=0, busy_percent=10.0, since_start=RUNS, last_minute=RUNS,
    engine=UseFigures(cpu_percent=1.0), host=HostFigures(cores=2), judgement=judge(RUNS, RUNS, 10.0, 1.0),
)  # fmt: skip
SLOTS = [SlotInfo(slot=number, state=SlotState.READY, since=1.0) for number in (1, 2, 3)]
POOL = PoolInfo(size=3, slots=SLOTS)
FAILED = [replace(SLOTS[0], state=SlotState.FAILED, problem="it ended."), *SLOTS[1:]]


def with_minute(**changes: Any) -> EngineMetrics:
    return replace(METRICS, last_minute=replace(RUNS, **changes))


def failing(failed: int, sound: int) -> EngineMetrics:
    return with_minute(successful=sound, failed=failed, outcomes={"ok": sound, "script_error": failed})


WARNING, CRITICAL = AlertSeverity.WARNING, AlertSeverity.CRITICAL


@pytest.mark.parametrize(
    ("metrics", "pool", "expected"),
    [
        (METRICS, POOL, {}),
        (replace(METRICS, busy_percent=70.0), POOL, {}),
        (replace(METRICS, busy_percent=70.1), POOL, {"utilisation": WARNING}),
        (replace(METRICS, busy_percent=90.1), POOL, {"utilisation": CRITICAL}),
        (failing(3, 7), POOL, {}),  # ten are too few
        (failing(3, 8), POOL, {"failures": WARNING}),
        (failing(2, 9), POOL, {}),
        (with_minute(p95_ms=5_000.0), POOL, {}),
        (with_minute(p95_ms=5_001.0), POOL, {"latency": WARNING}),
        (with_minute(p95_ms=9_000.0, dispatched=2), POOL, {}),
        (with_minute(max_wait_ms=5_001.0, waits=1, contended=1), POOL, {"waits": WARNING}),
        (with_minute(waits_timed_out=1), POOL, {"waits": WARNING}),
        (with_minute(outcomes={"ok": 100, "refused": 1}), POOL, {"refused": CRITICAL}),
        (METRICS, replace(POOL, slots=FAILED), {"slots": WARNING}),
        (METRICS, replace(POOL, slots=FAILED[:1]), {"slots": CRITICAL}),
        (METRICS, replace(POOL, resting=2, rest_reason="The host is busy."), {"yielding": WARNING}),
    ],
)
def test_each_figure_past_its_bound_is_an_alert(
    metrics: EngineMetrics, pool: PoolInfo, expected: dict[str, AlertSeverity]
) -> None:
    found = list(findings_of(metrics, pool, ()))
    assert {finding.kind: finding.severity for finding in found} == expected
    for finding in found:
        assert finding.message.endswith(".")
        assert ".." not in finding.message
        assert ". :" not in finding.message


@pytest.mark.parametrize(
    ("runs", "words"), [(3, "One of 3 runs took 6.0 s"), (19, "One of 19 runs"), (20, "One run in twenty")]
)
def test_few_slow_runs_are_not_said_to_be_one_in_twenty(runs: int, words: str) -> None:
    metrics = with_minute(p95_ms=6_000.0, dispatched=runs, outcomes={"ok": runs}, cancelled=0)
    [finding] = findings_of(metrics, POOL, ())
    assert (finding.kind, finding.message.startswith(words)) == ("latency", True), finding.message


class Told:
    """Alerts with a clock, and the events of them."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.events = EventBus()
        self.alerts = AlertService(self.events, lambda: self.now)

    def notice(self, *kinds: str, severity: AlertSeverity = WARNING) -> None:
        self.alerts.notice([AlertCause(kind, severity, f"{kind} is wrong.") for kind in kinds])

    @property
    def told(self) -> list[tuple[str, bool]]:
        """Kind, and whether it was over, of each event."""
        return [(event.data.kind, event.data.until is not None) for event in self.events.since(0)[0]]


@pytest.fixture
def told() -> Told:
    return Told()


async def test_an_alert_that_lasts_is_one_alert_and_told_once(told: Told) -> None:
    for _ in range(5):
        told.notice("disk")
        told.now += 10.0
    listed = await told.alerts.alerts()
    assert [(one.kind, one.at, one.until, one.count) for one in listed.alerts] == [("disk", 1_000.0, None, 1)]
    assert (listed.total, listed.suppressed) == (5, 4)
    assert told.told == [("disk", False)]


async def test_an_alert_is_over_when_it_is_gone_and_shown_for_a_while(told: Told) -> None:
    told.notice("disk", "audit")
    told.now += 10.0
    told.notice("audit")
    listed = (await told.alerts.alerts()).alerts
    assert {one.kind: one.until for one in listed} == {"disk": 1_010.0, "audit": None}
    assert told.told[-1] == ("disk", True)
    told.now += SHOWN
    assert [one.kind for one in (await told.alerts.alerts()).alerts] == ["audit"]


@pytest.mark.parametrize(("pause", "alerts"), [(QUIET - 1.0, 1), (QUIET + 1.0, 2)])
async def test_what_swings_around_its_bound_is_one_alert(told: Told, pause: float, alerts: int) -> None:
    told.notice("utilisation")
    told.now += 10.0
    told.notice()
    told.now += pause
    told.notice("utilisation")
    listed = await told.alerts.alerts()
    assert len(listed.alerts) == alerts
    assert listed.alerts[0].until is None
    assert listed.alerts[0].count == 3 - alerts, "how often it began"
    assert (listed.total, listed.suppressed) == (2, 2 - alerts)


async def test_what_grows_worse_is_told_again(told: Told) -> None:
    told.notice("utilisation")
    told.notice("utilisation", severity=CRITICAL)
    told.notice("utilisation", severity=CRITICAL)
    (alert,) = (await told.alerts.alerts()).alerts
    assert alert.severity is CRITICAL
    assert len(told.told) == 2


def test_troubles_of_others_are_alerts_too() -> None:
    made: Callable[[], list[AlertCause]] = lambda: [AlertCause("disk", CRITICAL, "The disk is full.")]  # noqa: E731
    assert [finding.kind for finding in findings_of(METRICS, POOL, made())] == ["disk"]
