"""The engine's figures as surfaces see them: runs, processes and host together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from engine.models.metrics import EngineMetrics, HostFigures, Judgement, RunFigures, UseFigures
from engine.pool.pool import Pool
from engine.registry.metrics import METRICS
from engine.services.metrics.alerts import AlertCause, AlertService, findings_of
from engine.services.metrics.judgement import judge
from engine.services.operations import implements
from engine.services.runs.metrics import RunMetrics, RunTotals, milliseconds
from engine.services.usage import EVERY, SOONEST, Usage, UsageMeter, Use

log = logging.getLogger(__name__)


class MetricsService:
    def __init__(
        self,
        pool: Pool,
        runs: RunMetrics,
        meter: UsageMeter,
        alerts: AlertService,
        troubles: Callable[[], Iterable[AlertCause]],
        judged: Callable[[Judgement], None],
    ) -> None:
        """Put the figures together.

        Args:
            pool: Whose slots are used.
            runs: Counts runs.
            meter: Measures the processes.
            alerts: Is told what is wrong.
            troubles: What is wrong that no figure shows.
            judged: Hears of every sample's judgement.
        """
        self._pool = pool
        self._runs = runs
        self._meter = meter
        self._alerts = alerts
        self._troubles = troubles
        self._judged = judged

    async def run(self) -> None:
        """Sample, judge and raise alerts every few seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # a mistake of ours must not end the sampling
                log.exception("the figures could not be judged")
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Sample, judge, and begin and end alerts."""
        metrics = await self.info()
        self._judged(metrics.judgement)
        self._alerts.notice(findings_of(metrics, self._pool.info(), self._troubles()))

    @property
    def active(self) -> int:
        """Runs that go on."""
        return self._runs.active

    @implements(METRICS)
    async def info(self) -> EngineMetrics:
        return self._together(await self._meter.usage(SOONEST))

    async def lately(self) -> EngineMetrics:
        """Like ``info``, with processes and host as they were a few seconds ago: that costs no look at them."""
        return self._together(await self._meter.usage(2 * EVERY))

    def durations(self) -> tuple[Mapping[int, int], float]:
        """Return how many durations of runs are in each bin since the engine's start, and their sum in seconds."""
        return self._runs.durations()

    def _together(self, usage: Usage) -> EngineMetrics:
        pool = self._pool.info()
        totals, minute = self._runs.totals(), self._runs.minute()
        since_start, last_minute = _figures(totals), _figures(minute)
        busy = minute.busy_percent
        engine, gateway = _use(usage.engine), None if usage.gateway == Use() else _use(usage.gateway)
        use = None if gateway is None else gateway.cpu_percent
        reason = pool.rest_reason if pool.resting else ""
        return EngineMetrics(
            uptime=totals.seconds,
            size=pool.size,
            resting=pool.resting,
            active=self._runs.active,
            peak=self._runs.peak,
            waiting=self._runs.waiting,
            busy_percent=busy,
            since_start=since_start,
            last_minute=last_minute,
            engine=engine,
            gateway=gateway,
            host=HostFigures(cores=usage.cores, load=usage.load, memory=usage.memory, available=usage.available),
            judgement=judge(last_minute, since_start, busy, engine.cpu_percent, use, reason),
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
