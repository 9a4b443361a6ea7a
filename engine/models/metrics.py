"""Figures: of runs, of the engine's processes, of the gateway on the same host, of the host."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model

CODE = "(code)"
"""The group of runs of code that is no script."""

RENDERS = "(renders)"
"""The group of batches of macros."""

OTHERS = "(others)"
"""The group of all that came when there were too many to count one by one."""

REFUSED = "refused"
"""The kind of failure of a request that the pool turned away; it has no run."""


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


class ImpactLevel(StrEnum):
    """How much scripts weigh on the host. ``UNKNOWN``: the use of the processor cannot be read."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    UNKNOWN = "UNKNOWN"


class Judgement(Model, frozen=True, kw_only=True):
    """What the figures of the last minute mean."""

    impact: ImpactLevel
    health: int
    """0 to 100."""
    recommendation: str
    """What to do, in sentences; never empty."""


class EngineMetrics(Model, frozen=True, kw_only=True):
    uptime: float
    size: int
    """Slots."""
    resting: int = 0
    """Slots of them that rest."""
    active: int
    peak: int
    """The most runs that went on at once since the start."""
    waiting: int
    busy_percent: float
    """Share of the last minute in which the slots had runs; one that rests is not counted."""
    since_start: RunFigures
    last_minute: RunFigures
    engine: UseFigures
    """Of the engine and every process below it."""
    gateway: UseFigures | None = None
    """Of Ignition's JVM, if one runs on this host."""
    host: HostFigures
    judgement: Judgement


class MetricPoint(Model, frozen=True, kw_only=True):
    """What happened in one span of time. Figures of durations are missing where nothing ran, others where not read."""

    at: float
    """When the span began."""
    seconds: float
    total: int
    successful: int
    failed: int
    cancelled: int
    average_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    contended: int = 0
    """Runs that had to wait for a slot."""
    average_wait_ms: float | None = None
    max_wait_ms: float | None = None
    active: float = 0.0
    """Slots that had a run, on average."""
    busy_percent: float = 0.0
    """Share of the span in which the slots had runs, while there was an engine."""
    size: int = 0
    """Slots, at the end of the span."""
    engine: UseFigures = UseFigures()
    gateway: UseFigures = UseFigures()
    """Averages of the processors' use and of ``load``; the most of the memory."""
    load: float | None = None

    @property
    def per_minute(self) -> float:
        """Runs a minute. Of a minute that goes on, those so far: a run in its first second is not sixty a minute."""
        return 60 * self.total / max(60.0, self.seconds)


class MetricHistory(Model, frozen=True, kw_only=True):
    """Points in the order of time, one after the other without a gap; the last one is still going on."""

    step: float
    """Seconds of each."""
    points: list[MetricPoint]


class GroupedBy(StrEnum):
    SCRIPT = "script"
    CALLER = "caller"
    ERROR = "error"
    """By the kind of failure: an outcome, or ``refused``."""


class MetricGroup(Model, frozen=True, kw_only=True):
    """Figures of one script, caller or kind of failure within the time that was asked for."""

    name: str
    """A script's path, ``(code)`` for code that is no script, ``(renders)`` for batches of macros; a caller's name; an
    outcome. ``(others)`` is what came when there were too many to count one by one."""
    total: int
    successful: int
    failed: int
    cancelled: int
    errors: dict[str, int] = {}
    """Failures by their kind."""
    total_ms: float
    average_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    last_at: float | None = None
    """When the last of them ended."""


class MetricGroups(Model, frozen=True, kw_only=True):
    """Groups with the most runs first."""

    by: GroupedBy
    since: float
    groups: list[MetricGroup]
    others: int = 0
    """Groups that were left out, beyond the limit."""


class AlertSeverity(StrEnum):
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Alert(Model, frozen=True, kw_only=True):
    """Something that someone should look at, for as long as it lasts and a while after it."""

    kind: str
    """What it is about: ``utilisation``, ``failures``, ``latency``, ``waits``, ``slots``, ``audit``, ``disk`` …"""
    severity: AlertSeverity
    message: str
    """One sentence with what to do."""
    at: float
    """When it began."""
    until: float | None = None
    """When it was over; None while it lasts."""
    count: int = 1
    """How often it began: one that comes back within a minute goes on."""


class AlertList(Model, frozen=True, kw_only=True):
    alerts: list[Alert]
    """Newest first."""
    total: int
    """Since the engine's start."""
    suppressed: int
    """Of these, those that repeated one that lasted."""
