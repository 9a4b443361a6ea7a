"""Figures that are made up: of an hour with a busy quarter, of an engine beside a gateway."""

from __future__ import annotations

import time

from engine.models.engine import PoolUse, SlotUse
from engine.models.metrics import (
    Alert,
    AlertList,
    AlertSeverity,
    EngineMetrics,
    GroupedBy,
    HostFigures,
    ImpactLevel,
    Judgement,
    MetricGroup,
    MetricGroups,
    MetricHistory,
    MetricPoint,
    RunFigures,
    UseFigures,
)

GIB = 1 << 30


def runs(total: int = 20, failed: int = 10, **others: object) -> RunFigures:
    """Figures of runs of which the first ones failed and none was cancelled."""
    values: dict[str, object] = {
        "seconds": 60.0,
        "total": total,
        "successful": total - failed,
        "failed": failed,
        "cancelled": 0,
        "outcomes": {"ok": total - failed, "script_error": failed},
        "dispatched": total,
        "total_ms": 412.5,
        "average_ms": 20.6,
        "min_ms": 0.19,
        "max_ms": 2_500.0,
        "p50_ms": 0.21,
        "p95_ms": 35.0,
        "p99_ms": 2_400.0,
        "average_cpu_ms": 4.2,
        "contended": 3,
        "waits": 3,
        "average_wait_ms": 410.0,
        "max_wait_ms": 1_200.0,
        "waits_timed_out": 1,
    }
    return RunFigures(**(values | others))  # type: ignore[arg-type]


def metrics(impact: ImpactLevel = ImpactLevel.LOW, health: int = 80, *, gateway: bool = True) -> EngineMetrics:
    return EngineMetrics(
        uptime=11_000.0,
        size=3,
        active=1,
        peak=3,
        waiting=0,
        busy_percent=12.0,
        since_start=runs(1_234, 30),
        last_minute=runs(),
        engine=UseFigures(cpu_percent=0.3, memory=120 << 20),
        gateway=UseFigures(cpu_percent=60.0, memory=3 * GIB) if gateway else None,
        host=HostFigures(cores=2, load=0.82, memory=8 * GIB, available=3 * GIB),
        judgement=Judgement(
            impact=impact, health=health, recommendation="50 % of the runs failed: look at their errors."
        ),
    )


def pool_use() -> PoolUse:
    slots = [SlotUse(slot=1, cpu_percent=98.4, memory=41 << 20), SlotUse(slot=2, cpu_percent=0.0, memory=8 << 20)]
    return PoolUse(slots=slots, cpu_percent=41.0, disk=100 * GIB, disk_free=29 * GIB)


def history(count: int = 60, *, step: float = 60.0) -> MetricHistory:
    """A point each ``step``; in the last quarter runs come, and become slower."""
    points = []
    for number in range(count):
        total = max(0, number - count * 3 // 4) * 4
        points.append(
            MetricPoint(
                at=time.time() - step * (count - number),
                seconds=step,
                total=total,
                successful=total - total // 4,
                failed=total // 4,
                cancelled=0,
                p50_ms=0.2 + total / 100 if total else None,
                p99_ms=3.0 + total**2 if total else None,
                contended=1 if number == count - 1 else 0,
                max_wait_ms=1_200.0 if number == count - 1 else None,
                busy_percent=float(total),
                size=3,
            )
        )
    return MetricHistory(step=step, points=points)


def group(name: str, total: int, failed: int = 0, **others: object) -> MetricGroup:
    values: dict[str, object] = {
        "name": name,
        "total": total,
        "successful": total - failed,
        "failed": failed,
        "cancelled": 0,
        "errors": {"timeout": failed - 1, "script_error": 1} if failed > 1 else {},
        "total_ms": total * 1.5,
        "average_ms": 1.5,
        "min_ms": 0.2,
        "max_ms": 30.0,
        "p50_ms": 0.25,
        "p95_ms": 12.0,
        "p99_ms": 29.0,
        "last_at": time.time() - 200.0,
    }
    return MetricGroup(**(values | others))  # type: ignore[arg-type]


def groups(by: GroupedBy = GroupedBy.SCRIPT) -> MetricGroups:
    found = {
        GroupedBy.SCRIPT: [group("night/two words.py", 900), group("tags.py", 40, 20), group("(code)", 3)],
        GroupedBy.CALLER: [group("alice", 930), group("token:dashboard", 13, 5)],
        GroupedBy.ERROR: [group("timeout", 19), group("refused", 4), group("script_error", 1)],
    }[by]
    return MetricGroups(by=by, since=time.time() - 86_400, groups=found, others=2 if by is GroupedBy.SCRIPT else 0)


def alerts() -> AlertList:
    return AlertList(
        alerts=[
            Alert(
                kind="utilisation",
                severity=AlertSeverity.CRITICAL,
                message="All slots were busy in the last minute: enlarge the pool.",
                at=time.time(),
                count=4,
            )
        ],
        total=5,
        suppressed=4,
    )
