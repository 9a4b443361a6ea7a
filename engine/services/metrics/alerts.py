"""What someone should look at: begun when it is noticed, over when it is gone, and told once in between.

What repeats within a minute of its end goes on, so that a figure that swings around its bound is one alert.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from engine.models.engine import PoolInfo, SlotState
from engine.models.metrics import REFUSED, Alert, AlertList, AlertSeverity, EngineMetrics
from engine.registry.metrics import ALERTS
from engine.services.events import EventBus
from engine.services.metrics.judgement import error_rate
from engine.services.operations import implements

log = logging.getLogger(__name__)

QUIET = 60.0
"""Seconds after its end within which an alert that comes again is the same one."""

SHOWN = 3_600.0
"""Seconds that an alert is shown after its end."""

MOST_OVER = 100
"""Alerts that are over and still shown."""

BUSY, VERY_BUSY = 70.0, 90.0
"""Percent of the last minute in which the slots had runs."""

FAILING = 20.0
"""Percent of the runs of the last minute, if there were more than ``FEW``."""

FEW = 10

SLOW_MS = 5_000.0
"""The duration of the 95th percentile, of ``TIMED`` runs at least."""

TIMED = 3

LONG_WAIT_MS = 5_000.0
"""A wait for a slot."""


@dataclass(frozen=True, slots=True)
class AlertCause:
    """What is wrong now."""

    kind: str
    severity: AlertSeverity
    message: str


class AlertService:
    """Keeps alerts in memory: they are of the engine that goes on. Changes are told as the event ``alert``."""

    def __init__(self, events: EventBus, clock: Callable[[], float] = time.time) -> None:
        self._events = events
        self._clock = clock
        self._lasting: dict[str, Alert] = {}
        """By kind."""
        self._over: deque[Alert] = deque(maxlen=MOST_OVER)
        """Newest last."""
        self._total = self._suppressed = 0

    @implements(ALERTS)
    async def alerts(self) -> AlertList:
        """Return what lasts, and what was over within the last hour."""
        now = self._clock()
        shown = [*self._lasting.values(), *(one for one in self._over if now - (one.until or now) < SHOWN)]
        shown.sort(key=lambda one: -one.at)
        return AlertList(alerts=shown, total=self._total, suppressed=self._suppressed)

    def notice(self, findings: Iterable[AlertCause]) -> None:
        """Take everything that is wrong now: what is not among it is over."""
        found = {finding.kind: finding for finding in findings}
        for finding in found.values():
            self._noticed(finding)
        for kind in self._lasting.keys() - found.keys():
            ended = replace(self._lasting.pop(kind), until=self._clock())
            self._over.append(ended)
            log.info("alert is over: %s", ended.message)
            self._events.publish("alert", ended)

    def _noticed(self, finding: AlertCause) -> None:
        self._total += 1
        before = self._lasting.get(finding.kind)
        again = before or self._just_over(finding.kind)
        if again is None:
            alert = Alert(kind=finding.kind, severity=finding.severity, message=finding.message, at=self._clock())
        else:
            self._suppressed += 1
            begun = again.count + (before is None)
            alert = replace(again, severity=finding.severity, message=finding.message, until=None, count=begun)
        self._lasting[finding.kind] = alert
        if again is None:
            log.warning("alert: %s", alert.message)
        if before is None or before.severity is not alert.severity:
            self._events.publish("alert", alert)

    def _just_over(self, kind: str) -> Alert | None:
        now = self._clock()
        for alert in self._over:
            if alert.kind == kind and now - (alert.until or 0.0) < QUIET:
                self._over.remove(alert)
                return alert
        return None


def findings_of(metrics: EngineMetrics, pool: PoolInfo, troubles: Iterable[AlertCause]) -> Iterator[AlertCause]:
    """Yield what is wrong: by the figures of the last minute, by the state of the pool, and what others found."""
    minute, busy = metrics.last_minute, metrics.busy_percent
    if busy > BUSY:
        severity = AlertSeverity.CRITICAL if busy > VERY_BUSY else AlertSeverity.WARNING
        yield AlertCause(
            "utilisation",
            severity,
            f"The slots were busy for {busy:.0f} % of the last minute: "
            "enlarge the pool, or run long scripts less often.",
        )
    rate = error_rate(minute)
    if rate is not None and rate > FAILING and minute.successful + minute.failed > FEW:
        yield AlertCause(
            "failures",
            AlertSeverity.WARNING,
            f"{rate:.0f} % of the runs of the last minute failed: gatewright stats --by error says how.",
        )
    timed = sum(minute.outcomes.values()) - minute.cancelled
    if minute.p95_ms is not None and minute.p95_ms > SLOW_MS and min(timed, minute.dispatched) >= TIMED:
        yield AlertCause(
            "latency",
            AlertSeverity.WARNING,
            f"{'One run in twenty' if timed >= 20 else f'One of {timed} runs'} took {minute.p95_ms / 1000:.1f} s "
            "or more in the last minute: see gatewright stats --by script for which.",
        )
    if minute.waits_timed_out or (minute.max_wait_ms or 0.0) > LONG_WAIT_MS:
        waited = f"{(minute.max_wait_ms or 0.0) / 1000:.1f} s"
        vain = f", {minute.waits_timed_out} of them in vain" if minute.waits_timed_out else ""
        yield AlertCause(
            "waits",
            AlertSeverity.WARNING,
            f"Runs waited up to {waited} for a slot in the last minute{vain}: "
            "enlarge the pool, or shorten the scripts.",
        )
    if refused := minute.outcomes.get(REFUSED):
        yield AlertCause(
            "refused",
            AlertSeverity.CRITICAL,
            f"{refused} {'run was' if refused == 1 else 'runs were'} turned away in the last minute: "
            "see gatewright doctor, and enlarge the pool if the queue was full.",
        )
    yield from _of_pool(pool)
    yield from troubles


def _of_pool(pool: PoolInfo) -> Iterator[AlertCause]:
    failed = [slot for slot in pool.slots if slot.state is SlotState.FAILED]
    if failed:
        severity = AlertSeverity.CRITICAL if len(failed) == len(pool.slots) else AlertSeverity.WARNING
        why = next((slot.problem for slot in failed if slot.problem), "") or "it cannot start"
        yield AlertCause(
            "slots",
            severity,
            f"{len(failed)} of {len(pool.slots)} slots cannot run anything ({why.rstrip('.')}): "
            "see gatewright doctor, then restart them in the console: F4 and r.",
        )
    if pool.resting:
        slots = "1 slot rests" if pool.resting == 1 else f"{pool.resting} slots rest"
        yield AlertCause(
            "yielding",
            AlertSeverity.WARNING,
            f"{slots} so that the gateway has room: {pool.rest_reason.rstrip('.')}. They come back by themselves.",
        )
