"""The engine's figures as surfaces see them: runs, processes and host together."""

from __future__ import annotations

from engine.models.metrics import (
    AlertList,
    EngineMetrics,
    GroupedBy,
    HostFigures,
    MetricGroups,
    MetricHistory,
    RunFigures,
    UseFigures,
)
from engine.pool.pool import Pool
from engine.registry.metrics import ALERTS, METRICS, METRICS_GROUPS, METRICS_HISTORY
from engine.services.access import ServiceError
from engine.services.metrics.judgement import judge
from engine.services.operations import implements
from engine.services.runs.metrics import RunMetrics, RunTotals, milliseconds
from engine.services.usage import Usage, UsageMeter, Use


class MetricsService:
    def __init__(self, pool: Pool, runs: RunMetrics, meter: UsageMeter) -> None:
        self._pool = pool
        self._runs = runs
        self._meter = meter

    @implements(METRICS)
    async def info(self) -> EngineMetrics:
        usage = await self._meter.usage()
        return self._together(usage)

    @implements(METRICS_HISTORY)
    async def history(self, hours: float = 1.0, points: int = 60) -> MetricHistory:  # noqa: ARG002
        raise ServiceError("not_available", "Figures of the past are not kept.", status=501)

    @implements(METRICS_GROUPS)
    async def groups(self, by: GroupedBy = GroupedBy.SCRIPT, hours: float = 24.0, limit: int = 50) -> MetricGroups:  # noqa: ARG002
        raise ServiceError("not_available", "Figures of single scripts are not kept.", status=501)

    @implements(ALERTS)
    async def alerts(self) -> AlertList:
        raise ServiceError("not_available", "There are no alerts.", status=501)

    def _together(self, usage: Usage) -> EngineMetrics:
        size = self._pool.size
        totals, minute = self._runs.totals(), self._runs.minute()
        since_start, last_minute = _figures(totals), _figures(minute)
        # While the pool shrinks, runs go on in slots that it no longer counts.
        busy = min(100.0, 100 * minute.busy / (minute.seconds * size))
        engine = _use(usage.engine)
        return EngineMetrics(
            uptime=totals.seconds,
            size=size,
            active=self._runs.active,
            peak=self._runs.peak,
            waiting=self._runs.waiting,
            busy_percent=busy,
            since_start=since_start,
            last_minute=last_minute,
            engine=engine,
            gateway=None if usage.gateway == Use() else _use(usage.gateway),
            host=HostFigures(cores=usage.cores, load=usage.load, memory=usage.memory, available=usage.available),
            judgement=judge(last_minute, since_start, busy, engine.cpu_percent),
        )


def _figures(totals: RunTotals) -> RunFigures:
    return RunFigures(
        seconds=totals.seconds,
        total=totals.total,
        successful=totals.successful,
        failed=totals.failed,
        cancelled=totals.cancelled,
        outcomes=dict(totals.outcomes),
        dispatched=totals.dispatched,
        total_ms=milliseconds(totals.duration),
        average_ms=milliseconds(totals.average),
        min_ms=milliseconds(totals.shortest),
        max_ms=milliseconds(totals.longest),
        p50_ms=milliseconds(totals.percentiles.p50),
        p95_ms=milliseconds(totals.percentiles.p95),
        p99_ms=milliseconds(totals.percentiles.p99),
        average_cpu_ms=milliseconds(totals.average_cpu),
        contended=totals.contended,
        waits=totals.waits,
        average_wait_ms=milliseconds(totals.average_wait),
        max_wait_ms=milliseconds(totals.longest_wait),
        waits_timed_out=totals.waits_timed_out,
    )


def _use(use: Use) -> UseFigures:
    percent = None if use.cpu_percent is None else round(use.cpu_percent, 3)
    return UseFigures(cpu_percent=percent, memory=use.memory)
