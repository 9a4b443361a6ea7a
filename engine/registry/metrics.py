"""Operations on figures: of runs, processes and host, now and over time."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.metrics import AlertList, EngineMetrics, GroupedBy, MetricGroups, MetricHistory
from engine.registry.operation import Operation

MAX_HOURS = 720
"""Hours of the past that figures are kept for: 30 days."""

Hours = Annotated[float, Meta(gt=0, le=MAX_HOURS, description="How far back, in hours.")]


class HistoryParams(Model, frozen=True):
    hours: Hours = 1.0
    points: Annotated[
        int, Meta(ge=1, le=1440, description="At most so many points; none is shorter than a minute.")
    ] = 60


class GroupParams(Model, frozen=True):
    by: GroupedBy = GroupedBy.SCRIPT
    hours: Hours = 24.0
    limit: Annotated[int, Meta(ge=1, le=500, description="At most so many groups.")] = 50


METRICS = Operation(
    "metrics.info",
    "GET",
    "/metrics",
    EngineMetrics,
    "viewer",
    "See the figures of runs, processes and host: since the engine's start and of the last minute",
    scoped=True,
)
METRICS_HISTORY = Operation(
    "metrics.history",
    "GET",
    "/metrics/history",
    MetricHistory,
    "viewer",
    "See figures of the past, minute by minute",
    params=HistoryParams,
    scoped=True,
)
METRICS_GROUPS = Operation(
    "metrics.groups",
    "GET",
    "/metrics/groups",
    MetricGroups,
    "viewer",
    "See figures by script, caller or kind of failure",
    params=GroupParams,
)
ALERTS = Operation("alerts", "GET", "/alerts", AlertList, "viewer", "See alerts")

METRICS_TEXT = Operation(
    "metrics.text",
    "GET",
    "/metrics.prom",
    str,
    "viewer",
    "Read all figures as text for a collector: in the format of Prometheus, or of OpenMetrics where it asks for that",
    texts=("text/plain", "application/openmetrics-text"),
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (METRICS, METRICS_HISTORY, METRICS_GROUPS, METRICS_TEXT, ALERTS)
