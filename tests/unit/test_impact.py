"""Level, score and sentence of /gateway-impact."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from engine.api.compat.impact import Impact, gateway_impact
from engine.models.metrics import EngineMetrics, HostFigures, ImpactLevel, Judgement, RunFigures, UseFigures
from engine.services.metrics.judgement import health_score, impact_level, judge

QUIET = RunFigures(
    seconds=60, total=0, successful=0, failed=0, cancelled=0, outcomes={}, dispatched=0, total_ms=0.0,
    contended=0, waits=0, waits_timed_out=0,
)  # fmt: skip


def judged(metrics: EngineMetrics) -> EngineMetrics:
    """Return them with what the engine makes of them."""
    made = judge(metrics.last_minute, metrics.since_start, metrics.busy_percent, metrics.engine.cpu_percent)
    return replace(metrics, judgement=made)


def figures(runs: int = 0, failed: int = 0, busy: float = 0.0, use: float | None = 0.0, **more: Any) -> EngineMetrics:
    minute = replace(QUIET, total=runs, dispatched=runs, successful=runs - failed, failed=failed, **more)
    return EngineMetrics(
        uptime=3600.0, size=3, active=0, peak=0, waiting=0, busy_percent=busy, since_start=minute, last_minute=minute,
        engine=UseFigures(cpu_percent=use, memory=100 << 20), host=HostFigures(cores=4, load=0.5, memory=8 << 30),
        judgement=Judgement(impact=ImpactLevel.UNKNOWN, health=0, recommendation=""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "busy", "use", "level", "score"),
    [
        (0, 0.0, 0.0, "LOW", 100),
        (51, 0.1, 0.002, "LOW", 100),
        (5_000, 4.0, 4.9, "LOW", 100),
        (21, 0.1, 6.0, "MEDIUM", 90),
        (20, 50.0, 19.0, "LOW", 100),
        (51, 0.1, 19.0, "MEDIUM", 90),
        (51, 0.1, 21.0, "HIGH", 80),
        (3, 100.0, 0.1, "LOW", 70),
        (3, 100.0, 25.0, "HIGH", 70),
        (3, 61.0, 6.0, "MEDIUM", 85),
        (1, 1.0, 51.0, "MEDIUM", 100),
        (1, 1.0, 81.0, "HIGH", 100),
        (1000, 100.0, 99.0, "HIGH", 50),
        (0, 0.0, None, "UNKNOWN", 100),
        (51, 90.0, None, "UNKNOWN", 50),
    ],
)
def test_rate_and_busy_slots_weigh_as_far_as_the_processor_bears_them_out(
    runs: int, busy: float, use: float | None, level: str, score: int
) -> None:
    assert (impact_level(runs, busy, use), health_score(runs, busy, use, None)) == (level, score)


@pytest.mark.parametrize(("errors", "score"), [(None, 100), (0.0, 100), (5.1, 90), (10.1, 80), (100.0, 80)])
def test_failing_runs_cost_score(errors: float | None, score: int) -> None:
    assert health_score(5, 0.0, 0.0, errors) == score


async def asked(metrics: EngineMetrics) -> dict[str, Any]:
    async def info() -> EngineMetrics:
        return judged(metrics)

    host: Any = SimpleNamespace(engine=SimpleNamespace(metrics=SimpleNamespace(info=info)))
    answer: dict[str, Any] = json.loads(bytes(await Impact(host).impact()))
    return answer


async def test_a_designer_reads_every_field_in_its_spelling() -> None:
    metrics = replace(
        figures(4, busy=12.5, use=1.5, average_cpu_ms=3.5, average_wait_ms=7.0, contended=2, waits=2),
        gateway=UseFigures(cpu_percent=2.5, memory=512 << 20),
    )
    answer = await asked(metrics)
    old = {
        "executions_per_minute": 4.0, "average_cpu_time_ms": 3.5, "pool_contention_events": 2,
        "average_wait_time_ms": 7.0, "pool_utilization_percent": 12.5, "impact_level": "LOW",
        "cpu_usage_percent": 1.5, "memory_usage_mb": 100.0, "health_score": 100,
    }  # fmt: skip
    new = {
        "cpuUsagePercent": 1.5, "averageCpuTimeMs": 3.5, "memoryUsageMb": 100.0, "impactLevel": "LOW",
        "healthScore": 100, "memoryUsedBytes": 100 << 20, "memoryMaxBytes": 8 << 30, "python3MemoryMb": 100.0,
        "python3CpuPercent": 1.5, "gatewayMemoryMb": 512.0, "gatewayCpuPercent": 2.5, "maxMemoryMb": 8192.0,
        "availableCores": 4,
    }  # fmt: skip
    assert answer.items() >= (old | new).items()
    assert answer["recommendation"].startswith("2 runs had to wait for a slot")
    assert None not in answer.values()
    assert "data" not in answer
    assert all(type(answer[name]) is type(value) for name, value in (old | new).items())


async def test_what_cannot_be_read_is_missing_and_the_level_says_so() -> None:
    metrics = replace(figures(60, use=None), engine=UseFigures(), host=HostFigures(cores=4))
    answer = await asked(metrics)
    assert (answer["impactLevel"], answer["impact_level"], answer["healthScore"]) == ("UNKNOWN", "UNKNOWN", 80)
    assert "cannot be read" in answer["recommendation"]
    for name in ("cpuUsagePercent", "cpu_usage_percent", "memoryUsageMb", "python3MemoryMb", "memoryMaxBytes",
                 "gatewayMemoryMb", "gatewayCpuPercent", "averageCpuTimeMs", "hostLoad"):  # fmt: skip
        assert name not in answer


def test_an_idle_engine_whose_runs_all_failed_does_not_look_sound() -> None:
    metrics = replace(figures(3, failed=3), last_minute=QUIET)
    impact = gateway_impact(judged(metrics))
    assert (impact.impact_level, impact.health_score, impact.error_rate) == ("LOW", 80, 100.0)
    assert "100 % of the runs since the engine's start failed" in impact.recommendation


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (figures(), "Nothing to do: scripts put little load on this host."),
        (figures(60, use=42.4), "Scripts used 42 % of the processors in the last minute"),
        (figures(10, failed=5), "50 % of the runs of the last minute failed"),
        (figures(1, contended=1), "1 run had to wait for a slot: enlarge the pool, or shorten the scripts."),
    ],
)
def test_the_recommendation_says_what_to_do(metrics: EngineMetrics, sentence: str) -> None:
    assert gateway_impact(judged(metrics)).recommendation.startswith(sentence)


@pytest.mark.parametrize("use", [0.1, 12.0, 60.0])
def test_what_the_gateway_uses_is_told_and_changes_neither_level_nor_score(use: float) -> None:
    runs = figures(60, use=use).last_minute
    without, beside = judge(runs, runs, 10.0, use), judge(runs, runs, 10.0, use, gateway=95.0)
    assert (beside.impact, beside.health) == (without.impact, without.health)
    assert "The gateway itself used 95 % of the processors" in beside.recommendation
    assert "gateway" not in without.recommendation


def test_a_pool_that_rests_says_why() -> None:
    runs = figures(3).last_minute
    said = judge(runs, runs, 10.0, 1.0, rest_reason="The host has little memory.").recommendation
    assert said == "Slots rest for now: The host has little memory."
