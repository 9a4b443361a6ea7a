"""Figures over longer times, alerts and gauges for collectors: the engine keeps none yet, and each route says so."""

from __future__ import annotations

from typing import Any

from msgspec import field

from engine.models.base import Model
from engine.registry.metrics import METRICS
from engine.registry.operation import Operation
from engine.services.operations import implements


class NotKept(Model, frozen=True, omit_defaults=False):
    """An answer with its empty lists. Panels show ``message``, other clients read ``error``."""

    message: str
    error: str
    code: str = "not_available"
    success: bool = False


class NoScriptMetrics(NotKept, frozen=True, omit_defaults=False):
    script_metrics: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0


class NoHistory(NotKept, frozen=True, omit_defaults=False):
    historical_metrics: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0


class NoAlerts(NotKept, frozen=True, omit_defaults=False):
    alerts: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0


SCRIPT_METRICS = Operation(
    "compat.metrics.scripts",
    "GET",
    "/api/v1/metrics/script-metrics",
    NoScriptMetrics,
    METRICS.role,
    "See the totals of each script",
    scoped=True,
)
HISTORICAL = Operation(
    "compat.metrics.historical",
    "GET",
    "/api/v1/metrics/historical",
    NoHistory,
    METRICS.role,
    "See figures of the past, minute by minute",
    scoped=True,
)
ALERTS = Operation(
    "compat.metrics.alerts", "GET", "/api/v1/metrics/alerts", NoAlerts, METRICS.role, "See alerts", scoped=True
)
MONITORING_ALERTS = Operation(
    "compat.monitoring.alerts",
    "GET",
    "/api/v1/monitoring/alerts",
    NoAlerts,
    METRICS.role,
    "See how many alerts there were",
    scoped=True,
)
CIRCUIT_BREAKER = Operation(
    "compat.monitoring.circuit_breaker",
    "GET",
    "/api/v1/monitoring/circuit-breaker",
    NotKept,
    METRICS.role,
    "See whether runs are refused after failures",
    scoped=True,
)
PROMETHEUS = Operation(
    "compat.monitoring.prometheus",
    "GET",
    "/api/v1/monitoring/prometheus",
    NotKept,
    METRICS.role,
    "Read figures in the format of Prometheus",
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    SCRIPT_METRICS,
    HISTORICAL,
    ALERTS,
    MONITORING_ALERTS,
    CIRCUIT_BREAKER,
    PROMETHEUS,
)


SCRIPTS = "Figures of single scripts are not kept. The totals of all are at /metrics."
PAST = "Figures of the past are not kept. Those since the engine's start are at /metrics."
NO_ALERTS = "This engine raises no alerts. Its state is at /health, its load at /gateway-impact."
NO_BREAKER = "There is no circuit breaker: failing runs do not stop others. The engine's state is at /health."
NO_EXPOSITION = "There are no figures in the format of Prometheus. They are in JSON at /metrics."


class History:
    @implements(SCRIPT_METRICS)
    def scripts(self) -> NoScriptMetrics:
        return NoScriptMetrics(message=SCRIPTS, error=SCRIPTS)

    @implements(HISTORICAL)
    def historical(self) -> NoHistory:
        return NoHistory(message=PAST, error=PAST)

    @implements(ALERTS)
    def alerts(self) -> NoAlerts:
        return NoAlerts(message=NO_ALERTS, error=NO_ALERTS)

    @implements(MONITORING_ALERTS)
    def alert_counts(self) -> NoAlerts:
        return NoAlerts(message=NO_ALERTS, error=NO_ALERTS)

    @implements(CIRCUIT_BREAKER)
    def circuit_breaker(self) -> NotKept:
        return NotKept(message=NO_BREAKER, error=NO_BREAKER)

    @implements(PROMETHEUS)
    def prometheus(self) -> NotKept:
        return NotKept(message=NO_EXPOSITION, error=NO_EXPOSITION)
