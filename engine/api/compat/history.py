"""Figures over time, alerts and gauges for collectors, under the names that the module's clients read.

These clients expect a number everywhere: durations of what has run nothing are zero.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from engine.api.exposition import Text, encoded, modules_names
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.metrics import GroupedBy, MetricGroup, MetricPoint
from engine.registry.metrics import MAX_HOURS, METRICS
from engine.registry.operation import Operation
from engine.services.access import Actor
from engine.services.operations import implements

MOST_SCRIPTS = 50
MOST_POINTS = 100
"""Points of a minute each."""

MOST_FOUND = 500
"""Scripts that are looked through for a token that may see some only."""

EXPIRES = 300.0
"""Seconds that an alert is listed after its end."""


class ScriptFigures(Model, frozen=True, kw_only=True):
    script_identifier: str
    total_executions: int
    successful_executions: int
    failed_executions: int
    success_rate: float
    """Percent of successes and failures; 100 where there was neither."""
    average_execution_time_ms: float
    min_execution_time_ms: float
    max_execution_time_ms: float
    error_counts: str
    """Failures by their kind, as Java writes a map."""


class ScriptMetrics(Model, frozen=True, kw_only=True):
    success: bool
    script_metrics: list[ScriptFigures]
    count: int


class HistoricalPoint(Model, frozen=True, kw_only=True):
    timestamp: int
    """When its minute began, in milliseconds since the epoch."""
    total_executions: int
    successful_executions: int
    failed_executions: int
    average_execution_time_ms: float
    active_executions: int
    """Of the minute that goes on the runs that go on; else how many did so on average."""
    pool_size: int
    pool_utilization: float


class Historical(Model, frozen=True, kw_only=True):
    success: bool
    historical_metrics: list[HistoricalPoint]
    count: int


class AlertLine(Model, frozen=True, kw_only=True):
    timestamp: int
    alert_id: str
    message: str
    severity: str


class AlertLines(Model, frozen=True, kw_only=True):
    success: bool
    alerts: list[AlertLine]
    count: int


class AlertCounts(Model, frozen=True, kw_only=True, rename="camel"):
    success: bool
    total_alerts: int
    suppressed_alerts: int
    alert_summary: str


class CircuitBreaker(Model, frozen=True, kw_only=True, rename="camel"):
    """Nothing here opens: a script that fails keeps no other one from running."""

    success: bool
    state: str
    failure_count: int
    total_opens: int
    total_closes: int
    total_rejections: int
    time_since_state_change_ms: int
    """Since the engine's start."""


def _row(name: str, path: str, answer: type[Any], summary: str, **more: Any) -> Operation[Any, Any, Any]:  # noqa: ANN401 - an Operation's
    return Operation(f"compat.{name}", "GET", f"/api/v1/{path}", answer, METRICS.role, summary, scoped=True, **more)


SCRIPT_METRICS = _row(
    "metrics.scripts", "metrics/script-metrics", ScriptMetrics, "See the totals of each script, of the last thirty days"
)
HISTORICAL = _row("metrics.historical", "metrics/historical", Historical, "See figures of the past, minute by minute")
ALERTS = _row("metrics.alerts", "metrics/alerts", AlertLines, "See alerts")
MONITORING_ALERTS = _row("monitoring.alerts", "monitoring/alerts", AlertCounts, "See how many alerts there were")
CIRCUIT_BREAKER = _row(
    "monitoring.circuit_breaker",
    "monitoring/circuit-breaker",
    CircuitBreaker,
    "See whether runs are refused after failures",
)
PROMETHEUS = _row(
    "monitoring.prometheus",
    "monitoring/prometheus",
    str,
    "Read figures in the format of Prometheus",
    texts=("text/plain",),
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    SCRIPT_METRICS,
    HISTORICAL,
    ALERTS,
    MONITORING_ALERTS,
    CIRCUIT_BREAKER,
    PROMETHEUS,
)


class History:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(SCRIPT_METRICS)
    async def scripts(self, actor: Actor) -> ScriptMetrics:
        """Return the scripts with the most runs, of those that the caller may see."""
        limit = MOST_FOUND if actor.scripts else MOST_SCRIPTS
        found = await self._host.engine.metric_history.groups(GroupedBy.SCRIPT, MAX_HOURS, limit)
        seen = [_script(group) for group in found.groups if actor.sees(group.name)][:MOST_SCRIPTS]
        return ScriptMetrics(success=True, script_metrics=seen, count=len(seen))

    @implements(HISTORICAL)
    async def historical(self) -> Historical:
        engine = self._host.engine
        points = (await engine.metric_history.history(MOST_POINTS / 60, MOST_POINTS)).points
        begun = next((at for at, point in enumerate(points) if point.size or point.total), len(points) - 1)
        active = engine.metrics.active
        made = [_historical(point, None if at < len(points) - 1 else active) for at, point in enumerate(points)][begun:]
        return Historical(success=True, historical_metrics=made, count=len(made))

    @implements(ALERTS)
    async def alerts(self) -> AlertLines:
        now = time.time()
        found = (await self._host.engine.alerts.alerts()).alerts
        lines = [
            AlertLine(
                timestamp=int(alert.at * 1000),
                alert_id=f"{alert.kind}-{int(alert.at * 1000)}",
                message=alert.message,
                severity=alert.severity.value,
            )
            for alert in found
            if alert.until is None or now - alert.until < EXPIRES
        ]
        return AlertLines(success=True, alerts=lines, count=len(lines))

    @implements(MONITORING_ALERTS)
    async def alert_counts(self) -> AlertCounts:
        found = await self._host.engine.alerts.alerts()
        lasting = [alert.message for alert in found.alerts if alert.until is None]
        return AlertCounts(
            success=True,
            total_alerts=found.total,
            suppressed_alerts=found.suppressed,
            alert_summary=" ".join(lasting) or "Nothing to look at.",
        )

    @implements(CIRCUIT_BREAKER)
    async def circuit_breaker(self) -> CircuitBreaker:
        return CircuitBreaker(
            success=True,
            state="CLOSED",
            failure_count=0,
            total_opens=0,
            total_closes=0,
            total_rejections=0,
            time_since_state_change_ms=int((await self._host.engine.metrics.lately()).uptime * 1000),
        )

    @implements(PROMETHEUS)
    async def prometheus(self) -> Text:
        engine = self._host.engine
        metrics = await engine.metrics.lately()
        recent = metrics.last_minute if metrics.last_minute.p50_ms is not None else metrics.since_start
        percentiles = recent.p50_ms or 0.0, recent.p95_ms or 0.0, recent.p99_ms or 0.0
        pool = engine.pool_service.info()
        return await asyncio.to_thread(lambda: encoded(list(modules_names(metrics, pool, percentiles))))


def _script(group: MetricGroup) -> ScriptFigures:
    counted = group.successful + group.failed
    return ScriptFigures(
        script_identifier=group.name,
        total_executions=group.total,
        successful_executions=group.successful,
        failed_executions=group.failed,
        success_rate=100 * group.successful / counted if counted else 100.0,
        average_execution_time_ms=group.average_ms or 0.0,
        min_execution_time_ms=group.min_ms or 0.0,
        max_execution_time_ms=group.max_ms or 0.0,
        error_counts=f"{{{', '.join(f'{kind}={count}' for kind, count in group.errors.items())}}}",
    )


def _historical(point: MetricPoint, active: int | None) -> HistoricalPoint:
    return HistoricalPoint(
        timestamp=int(point.at * 1000),
        total_executions=point.total,
        successful_executions=point.successful,
        failed_executions=point.failed,
        average_execution_time_ms=point.average_ms or 0.0,
        active_executions=round(point.active) if active is None else active,
        pool_size=point.size,
        pool_utilization=point.busy_percent,
    )
