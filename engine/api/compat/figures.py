"""What the module's clients ask about the pool and its runs, by the figures of the engine.

Totals, averages, extremes and rates are of all runs since the engine's start: a rate stands beside its totals, and a
reader divides them. The rate of the last minute is in ``/gateway-impact``, and the health score of both is one number.
Percentiles are of the last minute; when nothing ended in it, of all since the start. These clients expect a number
everywhere: durations of an engine that has run nothing are zero.
"""

from __future__ import annotations

import platform
from typing import Any

import msgspec

from engine.api.compat.endpoint import both_spellings, now_ms
from engine.api.compat.script_python import ScriptPython
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.engine import PoolInfo, ResizeRequest, SlotState
from engine.models.metrics import EngineMetrics
from engine.registry.engine import POOL_INFO, POOL_RESIZE
from engine.registry.metrics import METRICS
from engine.registry.operation import Operation
from engine.services.access import Actor
from engine.services.metrics.judgement import error_rate
from engine.services.operations import implements


class PoolStats(Model, frozen=True, kw_only=True, rename="camel"):
    """One number under each name that a client reads. A slot between two runs is neither available nor in use."""

    total_size: int
    pool_size: int
    available: int
    available_executors: int
    in_use: int
    active_executors: int
    borrowed: int
    borrowed_count: int
    """Runs that a slot had since the engine's start."""
    total_borrowed: int
    healthy: int
    """Slots that have not failed."""
    health_check_status: str
    """``Healthy`` or ``Down``."""
    waiting: int
    error: str | None = None
    """Why no slot can run anything."""


class PoolSize(Model, frozen=True, kw_only=True, rename="camel"):
    success: bool
    pool_size: int
    message: str


class Health(Model, frozen=True, kw_only=True, rename="camel"):
    healthy: bool
    available: bool
    status: str
    """``HEALTHY`` or ``DOWN``."""
    python_version: str
    pool_size: int
    message: str
    timestamp: int


class Diagnostics(Model, frozen=True, kw_only=True, rename="camel"):
    available: bool
    total_executions: int
    successful_executions: int
    failed_executions: int
    average_execution_time: float
    """Milliseconds."""
    pool_stats: PoolStats
    version_info: dict[str, Any]
    distribution_info: dict[str, Any]
    timestamp: int


class Metrics(Model, frozen=True, kw_only=True):
    """Each field is sent under its name and, as newer clients read it, in camelCase."""

    total_executions: int
    successful_executions: int
    failed_executions: int
    cancelled_executions: int
    success_rate: float
    """Percent."""
    error_rate: float
    total_execution_time_ms: float
    average_execution_time_ms: float
    average_latency_ms: float
    min_execution_time_ms: float
    max_execution_time_ms: float
    max_latency_ms: float
    pool_size: int
    active_executions: int
    pool_utilization: float
    """Percent of the slots that have a run now."""
    pool_wait_count: int
    average_pool_wait_ms: float
    error_counts: str
    """Failures by their kind, as Java writes a map: ``{script_error=3, timeout=1}``."""
    uptime_ms: int
    uptime_hours: float
    health_score: int
    timestamp: int


class Monitoring(Model, frozen=True, kw_only=True, rename="camel"):
    success: bool
    total_borrows: int
    total_returns: int
    total_executions: int
    successful_executions: int
    failed_executions: int
    timeout_waits: int
    error_rate_percent: str
    avg_queue_wait_ms: float
    max_queue_wait_ms: float
    p50_response_time_ms: float
    p95_response_time_ms: float
    p99_response_time_ms: float
    timestamp: int


POOL_STATS = Operation(
    "compat.pool_stats", "GET", "/api/v1/pool-stats", PoolStats, POOL_INFO.role, "See the pool's slots", scoped=True
)
POOL_SIZE = Operation(
    "compat.pool_size",
    "POST",
    "/api/v1/pool-size",
    PoolSize,
    POOL_RESIZE.role,
    "Resize the pool",
    body=ResizeRequest,
)
HEALTH = Operation(
    "compat.health", "GET", "/api/v1/health", Health, POOL_INFO.role, "See whether runs can begin", scoped=True
)
DIAGNOSTICS = Operation(
    "compat.diagnostics",
    "GET",
    "/api/v1/diagnostics",
    Diagnostics,
    METRICS.role,
    "See the engine's state in one answer",
    scoped=True,
)
METRICS_TOTALS = Operation(
    "compat.metrics",
    "GET",
    "/api/v1/metrics",
    Metrics,
    METRICS.role,
    "See the totals of runs since the start",
    scoped=True,
)
MONITORING = Operation(
    "compat.monitoring.metrics",
    "GET",
    "/api/v1/monitoring/metrics",
    Monitoring,
    METRICS.role,
    "See the totals of runs with their percentiles",
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    POOL_STATS,
    POOL_SIZE,
    HEALTH,
    DIAGNOSTICS,
    METRICS_TOTALS,
    MONITORING,
)


class Figures:
    def __init__(self, host: EngineHost, pythons: ScriptPython) -> None:
        self._host = host
        self._pythons = pythons

    @implements(POOL_STATS)
    async def pool_stats(self) -> PoolStats:
        return _pool_stats(self._pool(), await self._metrics())

    @implements(POOL_SIZE)
    def resize(self, size: int, actor: Actor) -> PoolSize:
        """Change the number of slots, within the limits of our own pool: 3 to 20.

        Raises:
            ServiceError: ``bad_size``, also for 1 and 2, which old clients offer.
        """
        info = self._host.engine.pool_service.resize(size, actor)
        return PoolSize(success=True, pool_size=info.size, message=f"The pool has {info.size} slots now.")

    @implements(HEALTH)
    async def health(self) -> Health:
        pool = self._pool()
        up = _sound(pool) > 0
        return Health(
            healthy=up,
            available=up,
            status="HEALTHY" if up else "DOWN",
            python_version=await self._pythons.full_version(),
            pool_size=pool.size,
            message=_state(pool),
            timestamp=now_ms(),
        )

    @implements(DIAGNOSTICS)
    async def diagnostics(self) -> Diagnostics:
        pool, metrics = self._pool(), await self._metrics()
        totals, python = metrics.since_start, await self._pythons.full_version()
        up = _sound(pool) > 0
        return Diagnostics(
            available=up,
            total_executions=totals.total,
            successful_executions=totals.successful,
            failed_executions=totals.failed,
            average_execution_time=totals.average_ms or 0.0,
            pool_stats=_pool_stats(pool, metrics),
            version_info={
                "version": await self._pythons.build(),
                "pythonVersion": python,
                "moduleVersion": self._host.info().version,
                "available": up,
            },
            distribution_info={
                "available": up,
                "os": f"{platform.system()} {platform.machine()}".lower(),
                "pythonPath": self._pythons.path,
                "embeddedInstalled": False,
                "autoDownload": False,
                "installedVersions": [python],
                "availableVersions": [python],
                "usingVenv": True,
            },
            timestamp=now_ms(),
        )

    @implements(METRICS_TOTALS)
    async def metrics(self) -> msgspec.Raw:
        return both_spellings(_metrics(await self._metrics()))

    @implements(MONITORING)
    async def monitoring(self) -> Monitoring:
        metrics = await self._metrics()
        totals = metrics.since_start
        recent = metrics.last_minute if metrics.last_minute.p50_ms is not None else totals
        return Monitoring(
            success=True,
            total_borrows=totals.dispatched + metrics.active,
            total_returns=totals.dispatched,
            total_executions=totals.total,
            successful_executions=totals.successful,
            failed_executions=totals.failed,
            timeout_waits=totals.waits_timed_out,
            error_rate_percent=f"{error_rate(totals) or 0.0:.2f}",
            avg_queue_wait_ms=totals.average_wait_ms or 0.0,
            max_queue_wait_ms=totals.max_wait_ms or 0.0,
            p50_response_time_ms=recent.p50_ms or 0.0,
            p95_response_time_ms=recent.p95_ms or 0.0,
            p99_response_time_ms=recent.p99_ms or 0.0,
            timestamp=now_ms(),
        )

    def _pool(self) -> PoolInfo:
        return self._host.engine.pool_service.info()

    async def _metrics(self) -> EngineMetrics:
        return await self._host.engine.metrics.info()


def _sound(pool: PoolInfo) -> int:
    return sum(slot.state is not SlotState.FAILED for slot in pool.slots)


def _state(pool: PoolInfo) -> str:
    """Say how the pool is, with the first problem of a slot that has failed."""
    sound = _sound(pool)
    problem = next((slot.problem for slot in pool.slots if slot.state is SlotState.FAILED and slot.problem), "")
    if not sound:
        return f"No slot can run anything: {problem or 'the engine stops'}"
    if sound < len(pool.slots):
        return f"{sound} of {len(pool.slots)} slots can run scripts. One cannot: {problem}"
    return f"All {sound} slots can run scripts."


def _pool_stats(pool: PoolInfo, metrics: EngineMetrics) -> PoolStats:
    sound = _sound(pool)
    borrowed = metrics.since_start.dispatched + metrics.active
    return PoolStats(
        total_size=pool.size,
        pool_size=pool.size,
        available=pool.ready,
        available_executors=pool.ready,
        in_use=pool.running,
        active_executors=pool.running,
        borrowed=pool.running,
        borrowed_count=borrowed,
        total_borrowed=borrowed,
        healthy=sound,
        health_check_status="Healthy" if sound else "Down",
        waiting=len(pool.queue),
        error=None if sound else _state(pool),
    )


def _metrics(metrics: EngineMetrics) -> Metrics:
    totals, errors = metrics.since_start, error_rate(metrics.since_start) or 0.0
    busy = min(100.0, 100 * metrics.active / max(1, metrics.size - metrics.resting))
    average, longest = totals.average_ms or 0.0, totals.max_ms or 0.0
    kinds = {kind: count for kind, count in totals.outcomes.items() if kind not in ("ok", "cancelled")}
    return Metrics(
        total_executions=totals.total,
        successful_executions=totals.successful,
        failed_executions=totals.failed,
        cancelled_executions=totals.cancelled,
        success_rate=100.0 - errors,
        error_rate=errors,
        total_execution_time_ms=totals.total_ms,
        average_execution_time_ms=average,
        average_latency_ms=average,
        min_execution_time_ms=totals.min_ms or 0.0,
        max_execution_time_ms=longest,
        max_latency_ms=longest,
        pool_size=metrics.size,
        active_executions=metrics.active,
        pool_utilization=busy,
        pool_wait_count=totals.contended,
        average_pool_wait_ms=totals.average_wait_ms or 0.0,
        error_counts=f"{{{', '.join(f'{kind}={count}' for kind, count in kinds.items())}}}",
        uptime_ms=int(metrics.uptime * 1000),
        uptime_hours=metrics.uptime / 3600,
        health_score=metrics.judgement.health,
        timestamp=now_ms(),
    )
