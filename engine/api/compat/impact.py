"""How much the scripts weigh on the gateway's host: ``/gateway-impact``, with the names that the module's panels read.

A client that gets no answer here shows LOW and 100: a figure that cannot be read is left out, and none makes it fail.
The rule is in ``services/metrics/judgement.py``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api.compat.endpoint import both_spellings, now_ms
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.metrics import EngineMetrics
from engine.registry.metrics import METRICS
from engine.registry.operation import Operation
from engine.services.metrics.judgement import recent_error_rate
from engine.services.operations import implements

MB = 1 << 20


class GatewayImpact(Model, frozen=True, kw_only=True):
    """Each field is sent under its name and in camelCase. What cannot be read is missing."""

    executions_per_minute: float
    average_cpu_time_ms: float | None = None
    """Of a run's process. Missing where none has ended in the last minute."""
    pool_contention_events: int
    """Runs that had to wait for a slot."""
    average_wait_time_ms: float
    pool_utilization_percent: float
    """Share of the last minute in which the slots had runs."""
    impact_level: str
    health_score: int
    recommendation: str
    error_rate: float | None = None
    cpu_usage_percent: float | None = None
    python3_cpu_percent: float | None = None
    """Of all processors, by the engine and every process below it; so is ``cpu_usage_percent``."""
    memory_usage_mb: float | None = None
    python3_memory_mb: float | None = None
    """Resident memory of these processes; so are ``memory_usage_mb`` and ``memory_used_bytes``."""
    memory_used_bytes: int | None = None
    memory_max_bytes: int | None = None
    """The host's memory; so is ``max_memory_mb``."""
    max_memory_mb: float | None = None
    gateway_memory_mb: float | None = None
    """Of Ignition's JVM; missing where none runs on this host."""
    gateway_cpu_percent: float | None = None
    available_cores: int
    host_load: float | None = None
    """The host's load average of a minute."""
    timestamp: int


GATEWAY_IMPACT = Operation(
    "compat.gateway_impact",
    "GET",
    "/api/v1/gateway-impact",
    GatewayImpact,
    METRICS.role,
    "See how much scripts weigh on this host",
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (GATEWAY_IMPACT,)


class Impact:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(GATEWAY_IMPACT)
    async def impact(self) -> msgspec.Raw:
        return both_spellings(gateway_impact(await self._host.engine.metrics.info()))


def gateway_impact(metrics: EngineMetrics) -> GatewayImpact:
    """Say it with their names."""
    minute, use, host = metrics.last_minute, metrics.engine, metrics.host
    judgement = metrics.judgement
    gateway = metrics.gateway
    memory = _mb(use.memory)
    return GatewayImpact(
        executions_per_minute=float(minute.dispatched),
        average_cpu_time_ms=minute.average_cpu_ms,
        pool_contention_events=minute.contended,
        average_wait_time_ms=minute.average_wait_ms or 0.0,
        pool_utilization_percent=metrics.busy_percent,
        impact_level=judgement.impact,
        health_score=judgement.health,
        recommendation=judgement.recommendation,
        error_rate=recent_error_rate(metrics.last_minute, metrics.since_start),
        cpu_usage_percent=use.cpu_percent,
        python3_cpu_percent=use.cpu_percent,
        memory_usage_mb=memory,
        python3_memory_mb=memory,
        memory_used_bytes=use.memory,
        memory_max_bytes=host.memory,
        max_memory_mb=_mb(host.memory),
        gateway_memory_mb=None if gateway is None else _mb(gateway.memory),
        gateway_cpu_percent=None if gateway is None else gateway.cpu_percent,
        available_cores=host.cores,
        host_load=host.load,
        timestamp=now_ms(),
    )


def _mb(size: int | None) -> float | None:
    return None if size is None else round(size / MB, 1)
