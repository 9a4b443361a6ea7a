"""The answers about pool and runs that panels read: every field under each of its names, a number in each."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engine.api.compat.figures import Figures
from engine.api.compat.impact import gateway_impact
from engine.models.engine import PoolInfo, SlotInfo, SlotState
from engine.models.metrics import EngineMetrics, HostFigures, RunFigures, UseFigures
from engine.services.metrics.judgement import judge

NOTHING = RunFigures(
    seconds=60, total=0, successful=0, failed=0, cancelled=0, outcomes={}, dispatched=0, total_ms=0.0,
    contended=0, waits=0, waits_timed_out=0,
)  # fmt: skip
SOME = replace(
    NOTHING, total=10, successful=6, failed=3, cancelled=1, dispatched=9, total_ms=900.0, average_ms=100.0, min_ms=1.5,
    outcomes={"ok": 6, "cancelled": 1, "script_error": 2, "refused": 1},
    max_ms=400.0, p50_ms=50.0, p95_ms=390.0, p99_ms=400.0, contended=4, waits=3, average_wait_ms=20.0, max_wait_ms=30.0,
)  # fmt: skip

METRICS = {
    "total_executions": int, "successful_executions": int, "failed_executions": int, "success_rate": float,
    "total_execution_time_ms": float, "average_execution_time_ms": float, "min_execution_time_ms": float,
    "max_execution_time_ms": float, "pool_size": int, "active_executions": int, "pool_utilization": float,
    "pool_wait_count": int, "average_pool_wait_ms": float, "error_counts": str, "uptime_ms": int, "uptime_hours": float,
    "health_score": int, "totalExecutions": int, "successfulExecutions": int, "failedExecutions": int,
    "averageLatencyMs": float, "maxLatencyMs": float, "errorRate": float,
}  # fmt: skip
MONITORING = {
    "totalBorrows": int, "totalReturns": int, "totalExecutions": int, "successfulExecutions": int,
    "failedExecutions": int, "timeoutWaits": int, "p50ResponseTimeMs": float, "p95ResponseTimeMs": float,
    "p99ResponseTimeMs": float, "errorRatePercent": str, "avgQueueWaitMs": float, "maxQueueWaitMs": float,
}  # fmt: skip


def metrics(since_start: RunFigures, last_minute: RunFigures, active: int = 0, busy: float = 1.0) -> EngineMetrics:
    made = judge(last_minute, since_start, busy, None)
    return EngineMetrics(
        uptime=7200.5, size=3, active=active, peak=3, waiting=0, busy_percent=busy, since_start=since_start,
        last_minute=last_minute, engine=UseFigures(), host=HostFigures(cores=2), judgement=made,
    )  # fmt: skip


def panels(figures: EngineMetrics) -> Figures:
    async def info() -> EngineMetrics:
        return figures

    async def text() -> str:
        return "3.12.3"

    pool = PoolInfo(size=3, slots=[SlotInfo(slot=number, state=SlotState.READY, since=1.0) for number in (1, 2, 3)])
    engine = SimpleNamespace(
        metrics=SimpleNamespace(info=info), pool_service=SimpleNamespace(info=lambda: replace(pool, ready=3))
    )
    host: Any = SimpleNamespace(engine=engine, info=lambda: SimpleNamespace(version="1"))
    interpreter: Any = SimpleNamespace(full_version=text, build=text, path="/python")
    return Figures(host, interpreter)


def sent(answer: object) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(msgspec.json.encode(answer))
    assert None not in body.values()
    assert "data" not in body
    return body


def has(answer: dict[str, Any], fields: dict[str, type]) -> bool:
    return {name: type(answer.get(name)) for name in fields} == fields


async def test_an_engine_that_has_run_nothing_has_a_number_in_every_field() -> None:
    panel = panels(metrics(NOTHING, NOTHING))
    assert has(body := sent(await panel.metrics()), METRICS)
    assert (body["error_counts"], body["successRate"], body["health_score"]) == ("{}", 100.0, 100)
    assert has(body := sent(await panel.monitoring()), MONITORING)
    assert body["errorRatePercent"] == "0.00"
    assert sent(await panel.diagnostics())["averageExecutionTime"] == 0.0


async def test_rates_are_those_of_the_totals_beside_them_and_percentiles_of_the_last_minute() -> None:
    minute = replace(NOTHING, total=4, successful=1, failed=3, p50_ms=7.0, p95_ms=8.0, p99_ms=9.0)
    panel = panels(metrics(SOME, minute, active=1))
    body = sent(await panel.metrics())
    assert has(body, METRICS)
    assert (body["total_executions"], body["failedExecutions"], body["cancelledExecutions"]) == (10, 3, 1)
    assert (body["errorRate"], body["successRate"]) == (pytest.approx(100 * 3 / 9), pytest.approx(100 * 6 / 9))
    assert (body["averageLatencyMs"], body["maxLatencyMs"], body["minExecutionTimeMs"]) == (100.0, 400.0, 1.5)
    assert (body["error_counts"], body["pool_wait_count"]) == ("{script_error=2, refused=1}", 4)
    assert (body["uptime_ms"], body["uptime_hours"]) == (7_200_500, 7200.5 / 3600)
    body = sent(await panel.monitoring())
    assert has(body, MONITORING)
    assert (body["p50ResponseTimeMs"], body["p99ResponseTimeMs"], body["errorRatePercent"]) == (7.0, 9.0, "33.33")
    assert (body["totalBorrows"], body["totalReturns"], body["maxQueueWaitMs"]) == (10, 9, 30.0)


@pytest.mark.parametrize("minute", [NOTHING, replace(NOTHING, total=4, successful=1, failed=3, dispatched=4)])
async def test_the_health_score_is_one_number(minute: RunFigures) -> None:
    found = metrics(SOME, minute, active=2, busy=70.0)
    impact = gateway_impact(found)
    assert impact.health_score == 65
    body = sent(await panels(found).metrics())
    assert body["health_score"] == body["healthScore"] == impact.health_score
    assert body["success_rate"] + body["error_rate"] == pytest.approx(100.0)


async def test_after_a_minute_of_nothing_all_since_the_start_counts() -> None:
    panel = panels(metrics(SOME, NOTHING))
    assert sent(await panel.metrics())["error_rate"] == pytest.approx(100 * 3 / 9)
    body = sent(await panel.monitoring())
    assert (body["p50ResponseTimeMs"], body["p95ResponseTimeMs"], body["errorRatePercent"]) == (50.0, 390.0, "33.33")


async def test_diagnostics_has_everything_in_one_answer() -> None:
    body = sent(await panels(metrics(SOME, NOTHING)).diagnostics())
    numbers = ("totalExecutions", "successfulExecutions", "failedExecutions", "averageExecutionTime")
    assert [body[name] for name in numbers] == [10, 6, 3, 100.0]
    assert (body["poolStats"]["totalSize"], body["poolStats"]["available"], body["available"]) == (3, 3, True)
    assert (body["versionInfo"]["pythonVersion"], body["versionInfo"]["moduleVersion"]) == ("3.12.3", "1")
    assert body["distributionInfo"]["installedVersions"] == ["3.12.3"]
    assert type(body["timestamp"]) is int
