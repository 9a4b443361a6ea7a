"""Figures: of runs, of the engine's processes, of the gateway on the same host, of the host."""

from __future__ import annotations

from engine.models.base import Model


class RunFigures(Model, frozen=True, kw_only=True):
    """What became of runs within ``seconds``. Averages, extremes and percentiles are missing where nothing ran.

    ``total`` is ``successful``, ``failed`` and ``cancelled`` together. Failures are all outcomes but ``ok`` and
    ``cancelled``, and requests that the pool turned away (``refused``).
    """

    seconds: float
    total: int
    successful: int
    failed: int
    cancelled: int
    outcomes: dict[str, int]
    dispatched: int
    """Those that a slot had. The others waited in vain, were cancelled in the queue, or were turned away."""
    total_ms: float
    """Sum of the durations of runs that began and were not cancelled, as all durations here are."""
    average_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    average_cpu_ms: float | None = None
    """Processor time of a run's process, with the making of the process."""
    contended: int
    """Runs that had to wait for a slot."""
    waits: int
    """How many of these waits are over."""
    average_wait_ms: float | None = None
    max_wait_ms: float | None = None
    waits_timed_out: int


class UseFigures(Model, frozen=True, kw_only=True):
    """Of processes: percent of all ``cores`` over the last minute, resident bytes. What cannot be read is missing."""

    cpu_percent: float | None = None
    memory: int | None = None


class HostFigures(Model, frozen=True, kw_only=True):
    cores: int
    """Processors that the engine may use."""
    load: float | None = None
    """Average of a minute (proc(5), /proc/loadavg)."""
    memory: int | None = None
    available: int | None = None


class EngineMetrics(Model, frozen=True, kw_only=True):
    uptime: float
    size: int
    """Slots."""
    active: int
    peak: int
    """The most runs that went on at once since the start."""
    waiting: int
    busy_percent: float
    """Share of the last minute in which the slots had runs."""
    since_start: RunFigures
    last_minute: RunFigures
    engine: UseFigures
    """Of the engine and every process below it."""
    gateway: UseFigures | None = None
    """Of Ignition's JVM, if one runs on this host."""
    host: HostFigures
