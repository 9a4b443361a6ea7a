"""The figures as text for collectors: Prometheus' format, and OpenMetrics where a collector asks for it.

Names, units and types are those of https://prometheus.io/docs/practices/naming/ and OpenMetrics 1.0. What the engine
has counted since its start is a counter, all else is a gauge of now. The library is loaded by the first one who asks.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.api.host import EngineHost
from engine.models.base import VERSION
from engine.models.engine import PoolInfo, SlotState
from engine.models.metrics import Alert, EngineMetrics, ImpactLevel, UseFigures
from engine.registry.metrics import METRICS_TEXT
from engine.services.operations import implements
from engine.services.runs.metrics import US, middle

if TYPE_CHECKING:
    from prometheus_client import Metric

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the buckets of durations, in seconds."""

VERSIONS = {"0.0.1", "0.0.4", "1.0.0"}
"""Of the formats; the library would say yes to any."""

UNASKED = "text/plain; version=0.0.4"
"""What a client is sent that asks for nothing else."""


_VERSION = re.compile(r";\s*version\s*=([^;]*)")


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is a text of some media type."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is told, at one moment."""

    metrics: EngineMetrics
    pool: PoolInfo
    durations: Mapping[int, int]
    """How many runs are in each bin of microseconds, since the engine's start."""
    seconds: float
    """Sum of these durations."""
    scripts: Mapping[str, Mapping[str, int]]
    alerts: list[Alert]


class Exposition:
    """Answers with our own names: all begin with ``gatewright_``."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(METRICS_TEXT)
    async def text(self, accept: str = "") -> Text:
        engine = self._host.engine
        metrics = await engine.metrics.lately()
        durations, seconds = engine.metrics.durations()
        found = Snapshot(
            metrics=metrics,
            pool=engine.pool_service.info(),
            durations=durations,
            seconds=seconds,
            scripts=engine.metric_history.script_counters(),
            alerts=[alert for alert in (await engine.alerts.alerts()).alerts if alert.until is None],
        )
        return await asyncio.to_thread(lambda: encoded(list(families(found)), accept))


def encoded(metrics: Iterable[Metric], accept: str = UNASKED) -> Text:
    """Return metrics in the format that ``accept`` asks for (RFC 9110, 12.5.1)."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    class Made:
        def collect(self) -> Iterable[Metric]:
            return metrics

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Made())
    known = ",".join(one for one in accept.split(",") if set(_VERSION.findall(one)) <= VERSIONS)
    encode, media_type = choose_encoder(known)
    return Text(encode(registry), media_type)


def families(found: Snapshot) -> Iterator[Metric]:
    """Yield everything under our own names. What cannot be read is left out."""
    from prometheus_client.core import InfoMetricFamily, StateSetMetricFamily

    metrics, pool = found.metrics, found.pool
    yield InfoMetricFamily("gatewright_build", "The engine.", {"version": VERSION, "python": pool.python})
    yield _gauge("gatewright_uptime_seconds", "Seconds since the engine's start.", metrics.uptime)
    yield from _of_pool(found)
    yield from _of_runs(found)
    yield from _of_processes(found)
    level = metrics.judgement.impact
    yield StateSetMetricFamily(
        "gatewright_impact",
        "How much the scripts weigh on the host.",
        {each.value: each is level for each in ImpactLevel},
    )
    yield _gauge("gatewright_health_score", "0 to 100.", metrics.judgement.health)
    yield _labelled(
        "gatewright_alerts",
        "What someone should look at, as long as it lasts.",
        ("kind", "severity"),
        {(alert.kind, alert.severity.value): 1 for alert in found.alerts},
    )


def _of_pool(found: Snapshot) -> Iterator[Metric]:
    states = Counter(slot.state for slot in found.pool.slots)
    yield _gauge("gatewright_pool_size", "Slots that there are to be.", found.metrics.size)
    by_state: dict[tuple[str, ...], float] = {(state.value,): states[state] for state in SlotState}
    yield _labelled("gatewright_pool_slots", "Slots by their state.", ("state",), by_state)
    busy = found.metrics.busy_percent / 100
    yield _gauge("gatewright_pool_busy_ratio", "Share of the last minute in which the slots had runs.", busy)
    yield _gauge("gatewright_runs_active", "Runs that go on.", found.metrics.active)
    yield _gauge("gatewright_runs_waiting", "Runs that wait for a slot.", found.metrics.waiting)


def _of_runs(found: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    totals = found.metrics.since_start
    runs = CounterMetricFamily("gatewright_runs", "Runs that ended, by how they did.", labels=("outcome",))
    for outcome, count in {"ok": 0, **totals.outcomes}.items():
        runs.add_metric([outcome], count)
    yield runs
    scripts = CounterMetricFamily(
        "gatewright_script_runs", "Runs that ended, by script and how they did.", labels=("script", "outcome")
    )
    for script, outcomes in found.scripts.items():
        for outcome, count in outcomes.items():
            scripts.add_metric([script, outcome], count)
    yield scripts
    yield HistogramMetricFamily(
        "gatewright_run_duration_seconds",
        "Durations of runs that began and were not cancelled.",
        buckets=buckets(found.durations),
        sum_value=found.seconds,
    )
    for name, about, value in (
        ("gatewright_runs_contended", "Runs that had to wait for a slot.", totals.contended),
        ("gatewright_queue_waits", "Waits for a slot that are over.", totals.waits),
        ("gatewright_queue_wait_seconds", "Sum of these waits.", (totals.average_wait_ms or 0.0) * totals.waits / 1000),
        ("gatewright_queue_wait_timeouts", "Waits that lasted as long as they may.", totals.waits_timed_out),
    ):
        yield CounterMetricFamily(name, about, value)


def _of_processes(found: Snapshot) -> Iterator[Metric]:
    metrics = found.metrics
    yield from _use("gatewright_engine", "the engine and every process below it", metrics.engine)
    yield from _use("gatewright_gateway", "the gateway's JVM on this host", metrics.gateway or UseFigures())
    host = metrics.host
    yield _gauge("gatewright_host_processors", "Processors that the engine may use.", host.cores)
    yield from _known("gatewright_host_load1", "Load average of a minute.", host.load)
    yield from _known("gatewright_host_memory_bytes", "The host's memory.", host.memory)
    yield from _known("gatewright_host_memory_available_bytes", "What of it is available.", host.available)


def _use(name: str, whose: str, use: UseFigures) -> Iterator[Metric]:
    cpu = None if use.cpu_percent is None else use.cpu_percent / 100
    yield from _known(f"{name}_cpu_ratio", f"Share of all processors over the last minute: {whose}.", cpu)
    yield from _known(f"{name}_memory_bytes", f"Resident memory: {whose}.", use.memory)


def buckets(bins: Mapping[int, int]) -> list[tuple[str, float]]:
    """Return how many durations are up to each bound, by bins of microseconds."""
    ordered = sorted((middle(bin_) / US, count) for bin_, count in bins.items())
    made, at, below = [], 0, 0
    for bound in BOUNDS:
        while at < len(ordered) and ordered[at][0] <= bound:
            below += ordered[at][1]
            at += 1
        made.append((str(bound), float(below)))
    return [*made, ("+Inf", float(sum(bins.values())))]


def _gauge(name: str, about: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value)


def _known(name: str, about: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield _gauge(name, about, value)


def _labelled(name: str, about: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, about, labels=labels)
    for texts, value in values.items():
        family.add_metric(texts, value)
    return family


def modules_names(metrics: EngineMetrics, pool: PoolInfo, percentiles: tuple[float, float, float]) -> Iterator[Metric]:
    """Yield the gauges and counters that the "Python 3 Integration" module has.

    Args:
        metrics: The engine's.
        pool: Its slots.
        percentiles: p50, p95 and p99 in milliseconds.
    """
    from prometheus_client.core import CounterMetricFamily

    totals = metrics.since_start
    failed = sum(slot.state is SlotState.FAILED for slot in pool.slots)
    counted = totals.successful + totals.failed
    rate = 100 * totals.failed / counted if counted else 0.0
    for name, about, value in (
        ("pool_size_total", "Slots.", pool.size),
        ("pool_available", "Slots in which a run can begin at once.", pool.ready),
        ("pool_in_use", "Slots that have a run.", pool.running),
        ("pool_utilization_percent", "Share of the last minute in which the slots had runs.", metrics.busy_percent),
        ("pool_healthy_executors", "Slots that have not failed.", len(pool.slots) - failed),
        ("pool_unhealthy_executors", "Slots that have failed.", failed),
    ):
        yield _gauge(f"python3_{name}", about, value)
    for name, about, value in (
        ("executions", "Runs that ended.", totals.total),
        ("executions_success", "Runs that went well.", totals.successful),
        ("executions_failed", "Runs that failed, the script's own errors among them.", totals.failed),
    ):
        yield CounterMetricFamily(f"python3_{name}", about, value)
    for name, about, value in (
        ("error_rate_percent", "Failures in percent of successes and failures.", rate),
        ("response_time_ms_avg", "Average duration of a run.", totals.average_ms or 0.0),
        *(
            (f"response_time_ms_{share}", f"Duration of a run: {share}.", one)
            for share, one in zip(("p50", "p95", "p99"), percentiles, strict=True)
        ),
        ("uptime_seconds", "Seconds since the engine's start.", metrics.uptime),
    ):
        yield _gauge(f"python3_{name}", about, value)
