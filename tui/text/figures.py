"""Figures of runs, processes and host in words, as the console and the command line show them."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from tui.text.formats import age, clock

if TYPE_CHECKING:
    from engine.models.engine import PoolUse
    from engine.models.metrics import (
        Alert,
        EngineMetrics,
        HostFigures,
        Judgement,
        MetricGroup,
        MetricHistory,
        RunFigures,
        UseFigures,
    )

NONE = "-"
"""Stands where there is no figure."""

ALERT_SHOWN_FOR = 3600.0
"""Seconds that an alert is shown after it was over."""


def latency(value: float | None) -> str:
    """Write milliseconds with two digits or more: ``0.21 ms``, ``35 ms``, ``2.50 s``."""
    if value is None:
        return NONE
    return long_time(value)


def long_time(value: float) -> str:
    """Write milliseconds, seconds, minutes or hours: ``250 ms``, ``2.50 s``, ``14 min``, ``3 h 05``."""
    seconds = value / 1000
    if seconds < 1:
        return f"{value:.0f} ms" if value >= 10 else f"{value:.2f} ms"
    return f"{seconds:.2f} s" if seconds < 60 else age(seconds)


def percent(value: float | None) -> str:
    """Write a share: ``0.3 %``, ``41 %``; a little more than nothing is not nothing."""
    if value is None:
        return NONE
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def count(number: int) -> str:
    return f"{number:,}"


def rate(value: float) -> str:
    """Write runs a minute: ``60``, ``0.5``, ``< 0.1``."""
    if 0 < value < 0.1:
        return "< 0.1"
    return f"{value:.1f}" if 0 < value < 10 and value % 1 else f"{value:,.0f}"


def failure_rate(successful: int, failed: int) -> float | None:
    """Return failures in percent of successes and failures; None where there was neither."""
    counted = successful + failed
    return 100 * failed / counted if counted else None


def run_rows(figures: RunFigures) -> list[tuple[str, str]]:
    """Say what became of runs and how long they took, by names that are the same whatever time it is about."""
    return [
        ("runs", count(figures.total)),
        ("ok", count(figures.successful)),
        ("failed", count(figures.failed)),
        ("cancelled", count(figures.cancelled)),
        ("failures", percent(failure_rate(figures.successful, figures.failed))),
        ("p50", latency(figures.p50_ms)),
        ("p95", latency(figures.p95_ms)),
        ("p99", latency(figures.p99_ms)),
        ("shortest", latency(figures.min_ms)),
        ("average", latency(figures.average_ms)),
        ("longest", latency(figures.max_ms)),
        ("waited", waits(figures)),
    ]


def waits(figures: RunFigures) -> str:
    """Say how many runs had to wait for a slot, and how long at most: ``3, 1.20 s at most``."""
    if not figures.contended:
        return "none"
    longest = "" if figures.max_wait_ms is None else f", {latency(figures.max_wait_ms)} at most"
    in_vain = f", {count(figures.waits_timed_out)} in vain" if figures.waits_timed_out else ""
    return f"{count(figures.contended)}{longest}{in_vain}"


def waits_within(history: MetricHistory) -> str:
    """Say how many runs had to wait in the time that a history is about."""
    contended = sum(point.contended for point in history.points)
    if not contended:
        return f"none in the last {span(history)}"
    longest = max((point.max_wait_ms for point in history.points if point.max_wait_ms is not None), default=None)
    return f"{count(contended)}{'' if longest is None else f', {latency(longest)} at most'}"


def span(history: MetricHistory) -> str:
    """Write the time that a history is about: ``hour``, ``24 h``, ``7 days``."""
    return hours_text(sum(point.seconds for point in history.points) / 3600)


def hours_text(hours: float) -> str:
    """Write hours as people say them behind "last": ``30 min``, ``hour``, ``24 h``, ``7 days``."""
    minutes = round(hours * 60)
    if minutes < 55:  # the minute that goes on is one of the hour's, and not over
        return f"{max(1, minutes)} min"
    if minutes < 90:
        return "hour"
    whole = round(hours)
    return f"{whole} h" if whole < 48 else f"{round(hours / 24)} days"


def judged(judgement: Judgement, engine: UseFigures) -> str:
    """Say how scripts weigh on the host: ``impact LOW: 0.3 % of the host``."""
    used = "" if engine.cpu_percent is None else f": {percent(engine.cpu_percent)} of the host"
    return f"impact {judgement.impact.value}{used}"


def load_percent(host: HostFigures) -> float | None:
    """Return the host's load of a minute in percent of its processors; above 100 there is more to do than they can."""
    return None if host.load is None or not host.cores else 100 * host.load / host.cores


def memory_percent(host: HostFigures) -> float | None:
    """Return the memory of the host that is in use, in percent."""
    if not host.memory or host.available is None:
        return None
    return 100 * (host.memory - host.available) / host.memory


def disk_percent(use: PoolUse | None) -> float | None:
    """Return how much of the file system with the project's records is in use, in percent."""
    if use is None or not use.disk or use.disk_free is None:
        return None
    return 100 * (use.disk - use.disk_free) / use.disk


def megabytes(count: int | None) -> str:
    """Write bytes in a column: ``41 M``, ``1.2 G``."""
    if count is None:
        return NONE
    mebibytes = count / (1 << 20)
    return f"{mebibytes:.0f} M" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} G"


def gateway_text(metrics: EngineMetrics, name: str = "gateway JVM") -> str:
    """Say what Ignition's JVM uses: ``gateway JVM 60 % 3.1 G``; nothing where none runs."""
    return "" if metrics.gateway is None else f"{name} {_used(metrics.gateway) or 'runs'}"


def engine_text(metrics: EngineMetrics) -> str:
    """Say what the engine and its processes use, of all processors: ``scripts 0.3 % 120 M``."""
    return f"scripts {_used(metrics.engine) or 'use not known'}"


def _used(use: UseFigures) -> str:
    parts = [] if use.cpu_percent is None else [percent(use.cpu_percent)]
    return " ".join([*parts, *([] if use.memory is None else [megabytes(use.memory)])])


def shown_alerts(alerts: list[Alert], now: float | None = None) -> list[Alert]:
    """Return those that last, then those that were over within the hour, the newest first."""
    now = time.time() if now is None else now
    wanted = [one for one in alerts if one.until is None or now - one.until < ALERT_SHOWN_FOR]
    return sorted(wanted, key=lambda one: (one.until is not None, -one.at))


def alert_text(alert: Alert) -> str:
    """Say since when, how grave and what: ``CRITICAL since 12:04:31  All slots are busy ...``."""
    when = f"since {clock(alert.at)}" if alert.until is None else f"{clock(alert.at)} to {clock(alert.until)}"
    often = f" ({count(alert.count)} times)" if alert.count > 1 else ""
    return f"{alert.severity.value} {when}  {alert.message}{often}"


def advice(judgement: Judgement, rest_reason: str) -> str:
    """Return the recommendation without why slots rest, where that is shown already."""
    said = judgement.recommendation
    return said.replace(f"Slots rest for now: {rest_reason.rstrip('.')}.", "").strip() if rest_reason else said


def cut_to(text: str, width: int, lines: int) -> str:
    """Wrap a sentence; ``...`` says that there is more of it than so many lines take."""
    wrapped = textwrap.wrap(text, max(width, 8), break_on_hyphens=False)
    if len(wrapped) > lines:
        wrapped[lines - 1] = f"{wrapped[lines - 1][: max(width, 8) - 4]} ..."
    return "\n".join(wrapped[:lines])


def errors_text(group: MetricGroup) -> str:
    """Name kinds of failures with their counts, the most frequent first: ``timeout 3, script_error 1``."""
    most = sorted(group.errors.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind} {count(number)}" for kind, number in most)
