"""How much the scripts weigh on the gateway's host: ``/gateway-impact``, a level, a score and a sentence.

Everything is of the last minute; before its start an engine counts as idle. The module's thresholds stand, but a rate
of runs or a busy pool counts as far as the processor bears it out, so that scripts that use nothing are not HIGH:

    HIGH    the processor's use > 80 %, or (pool busy > 80 % or more than 50 runs) at a use > 20 %
    MEDIUM  the processor's use > 50 %, or (pool busy > 50 % or more than 20 runs) at a use > 5 %
    LOW     anything less
    UNKNOWN the processor's use cannot be read

Use is the share of all processors that the engine and every process below it had. The score is 100, less 30 for a
pool busy > 85 % (15 for > 60 %), less 20 for more than 50 runs (10 for more than 20) where their use bears that out as
above, less 20 for a rate of errors > 10 % (10 for > 5 %). Where the use cannot be read the score supposes the worst. A
client that gets no answer here shows LOW and 100: a figure that cannot be read is left out, and none makes it fail.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api.compat.endpoint import both_spellings, now_ms
from engine.api.host import EngineHost
from engine.models.base import Model
from engine.models.metrics import EngineMetrics, RunFigures
from engine.registry.engine import METRICS
from engine.registry.operation import Operation
from engine.services.operations import implements

MB = 1 << 20

HIGH = ("HIGH", 80.0, 50, 20.0)
MEDIUM = ("MEDIUM", 50.0, 20, 5.0)
"""A level, the percent above which use or a busy pool is of it, the runs a minute, the use that bears these out."""


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
    """Judge the figures by the rule above."""
    minute, use, host = metrics.last_minute, metrics.engine, metrics.host
    level = impact_level(minute.dispatched, metrics.busy_percent, use.cpu_percent)
    gateway = metrics.gateway
    memory = _mb(use.memory)
    return GatewayImpact(
        executions_per_minute=float(minute.dispatched),
        average_cpu_time_ms=minute.average_cpu_ms,
        pool_contention_events=minute.contended,
        average_wait_time_ms=minute.average_wait_ms or 0.0,
        pool_utilization_percent=metrics.busy_percent,
        impact_level=level,
        health_score=health_of(metrics),
        recommendation=recommendation(level, metrics),
        error_rate=recent_error_rate(metrics),
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


def error_rate(figures: RunFigures) -> float | None:
    """Return failures in percent of successes and failures; None where there was neither."""
    counted = figures.successful + figures.failed
    return 100 * figures.failed / counted if counted else None


def recent_error_rate(metrics: EngineMetrics) -> float | None:
    """Return the rate of the last minute, or of all since the start when nothing ended in it.

    An engine whose runs all failed does not look sound because it idles.
    """
    minute = error_rate(metrics.last_minute)
    return error_rate(metrics.since_start) if minute is None else minute


def health_of(metrics: EngineMetrics) -> int:
    """Return the health score, which every panel shows as the same number."""
    use = metrics.engine.cpu_percent
    return health_score(metrics.last_minute.dispatched, metrics.busy_percent, use, recent_error_rate(metrics))


def impact_level(runs: int, busy: float, use: float | None) -> str:
    """Return the level of ``runs`` in the last minute, a pool ``busy`` and a ``use`` in percent."""
    if use is None:
        return "UNKNOWN"
    for level, percent, many, borne_out in (HIGH, MEDIUM):
        if use > percent or ((busy > percent or runs > many) and use > borne_out):
            return level
    return "LOW"


def health_score(runs: int, busy: float, use: float | None, errors: float | None) -> int:
    """Return 0 to 100. ``errors``: the rate in percent, None where nothing has ended yet."""
    score = 100
    score -= 30 if busy > 85 else 15 if busy > 60 else 0
    for cost, (_, _, many, borne_out) in ((20, HIGH), (10, MEDIUM)):
        if runs > many and (use is None or use > borne_out):
            score -= cost
            break
    failing = 0.0 if errors is None else errors
    score -= 20 if failing > 10 else 10 if failing > 5 else 0
    return max(0, score)


def recommendation(level: str, metrics: EngineMetrics) -> str:
    """Say what to do about the figures, the weightiest first."""
    minute, use = metrics.last_minute, metrics.engine.cpu_percent
    said = []
    if use is None:
        said.append("The processor's use cannot be read on this host, so the impact is not known.")
    elif level != "LOW":
        said.append(
            f"Scripts used {use:.0f} % of the processors in the last minute: "
            "run the heavy ones less often or outside of busy hours."
        )
    if minute.contended:
        runs = "1 run" if minute.contended == 1 else f"{minute.contended} runs"
        said.append(f"{runs} had to wait for a slot: enlarge the pool, or shorten the scripts.")
    rate = recent_error_rate(metrics)
    if rate is not None and rate > 5:
        said.append(f"{rate:.0f} % of the runs failed: look at their errors with gatewright runs list.")
    return " ".join(said) or "Nothing to do: scripts put little load on this host."


def _mb(size: int | None) -> float | None:
    return None if size is None else round(size / MB, 1)
