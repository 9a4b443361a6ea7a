"""Figures of a real engine: known runs, and every panel's numbers compared with what happened."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from daemon_support import ProjectUnderTest, family
from served_engine import PATIENCE, ServedEngine, answered, served_engine, until

from engine import sockets
from engine.models.engine import SlotState
from engine.models.metrics import EngineMetrics, RunFigures
from engine.models.runs import Mode, Outcome, RunInfo, RunKind, RunRequest, RunState
from engine.pool.memory_watch import resident
from engine.registry.operation import BASE, COMPAT_BASE
from engine.services.access import ServiceError

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREVER = RunRequest(kind=RunKind.EXEC, code="while True: pass")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedEngine]:
    async with served_engine(tmp_path_factory.mktemp("figures") / "plant") as served:
        yield served


async def ask(host: ServedEngine, path: str, body: object = None, *, base: str = COMPAT_BASE + "/api/v1") -> Any:
    return await ask_on(*await host.connect(), path, body, base)


async def ask_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str,
    body: object = None,
    base: str = COMPAT_BASE + "/api/v1",
) -> Any:
    data = b"" if body is None else msgspec.json.encode(body)
    lines = (
        f"{'GET' if body is None else 'POST'} {base}{path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    )
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        async with asyncio.timeout(PATIENCE):
            answer = answered(await reader.read())
    finally:
        writer.close()
    assert answer.status == 200, answer.body
    return answer.body


async def figures(host: ServedEngine) -> EngineMetrics:
    return msgspec.convert(await ask(host, "/metrics", base=BASE), EngineMetrics)


async def start(host: ServedEngine, request: RunRequest) -> RunInfo:
    return await host.engine.runs.start(request, host.engine.owner, "cli")


async def end(host: ServedEngine, request: RunRequest) -> RunInfo:
    started = await start(host, request)
    async with asyncio.timeout(PATIENCE):
        return await host.engine.runs.wait(started.id, host.engine.owner)


async def run(host: ServedEngine, code: str, limit: float | None = None) -> RunInfo:
    return await end(host, RunRequest(kind=RunKind.EXEC, code=code, timeout=limit))


async def filled(host: ServedEngine) -> list[int]:
    """Every slot taken."""
    ids = [(await start(host, FOREVER)).id for _ in range(3)]
    await until(lambda: host.engine.pool.info().running == 3, "every slot is taken")
    return ids


async def cancel(host: ServedEngine, *ids: int) -> list[RunInfo]:
    return [await host.engine.runs.cancel(run_id, host.engine.owner) for run_id in ids]


async def at_rest(host: ServedEngine) -> None:
    await until(lambda: host.engine.pool.info().ready == 3, "every slot is ready")


def more(after: RunFigures, before: RunFigures) -> dict[str, int]:
    counts = ("total", "successful", "failed", "cancelled", "dispatched", "contended", "waits", "waits_timed_out")
    return {name: getattr(after, name) - getattr(before, name) for name in counts}


async def test_every_figure_is_what_happened(host: ServedEngine) -> None:
    await at_rest(host)
    before = (await figures(host)).since_start
    waited_before = host.engine.metrics._runs.totals().waited
    ended = []
    for code in (*["result = 1 + 1"] * 3, "1 / 0", "import subprocess", "while True: pass"):
        ended.append(await run(host, code, limit=0.3 if "while" in code else None))
        await at_rest(host)  # a slot that makes its next child is one that a run has to wait for
    blocking = await filled(host)
    waiting = await start(host, RunRequest(kind=RunKind.EXEC, code="result = 2"))
    unlucky = await start(host, RunRequest(kind=RunKind.EXEC, code="result = 3"))
    during = await figures(host)
    assert (during.active, during.waiting) == (3, 2)
    stats = await ask(host, "/pool-stats")
    assert (stats["inUse"], stats["available"], stats["waiting"], stats["borrowed"]) == (3, 0, 2, 3)
    cancelled = await cancel(host, unlucky.id, *blocking)
    ended.append(await host.engine.runs.wait(waiting.id, host.engine.owner))
    everything = [*ended, *cancelled]

    now = await figures(host)
    after = now.since_start
    assert more(after, before) == {
        "total": 11, "successful": 4, "failed": 3, "cancelled": 4, "dispatched": 10, "contended": 2, "waits": 2,
        "waits_timed_out": 0,
    }  # fmt: skip
    outcomes = Counter(after.outcomes) - Counter(before.outcomes)
    assert outcomes == Counter(info.outcome for info in everything)
    assert outcomes == {"ok": 4, "script_error": 1, "import_denied": 1, "timeout": 1, "cancelled": 4}
    durations = [(info.duration or 0.0) * 1000 for info in ended]
    assert after.total_ms - before.total_ms == pytest.approx(sum(durations), abs=0.02)
    if not before.total:
        assert after.average_ms == pytest.approx(sum(durations) / len(durations), abs=0.02)
        assert after.min_ms == pytest.approx(min(durations), abs=0.002)
        assert after.max_ms == pytest.approx(max(durations), abs=0.002)
    # The records have the same waits by another clock, from a little earlier on.
    began = next(info.started_at or 0.0 for info in ended if info.id == waiting.id)
    gone = next(info.finished_at or 0.0 for info in cancelled if info.id == unlucky.id)
    waits = [began - waiting.queued_at, gone - unlucky.queued_at]
    assert after.max_wait_ms is not None
    assert 0 < after.max_wait_ms < (max(waits) + 0.05) * 1000
    waited = host.engine.metrics._runs.totals().waited - waited_before
    assert 0 < waited < sum(waits) + 0.05
    assert (now.active, now.waiting, now.peak) == (0, 0, 3)


BURN = """
import time
while time.process_time() < 0.25: pass
result = time.process_time()
"""


async def test_a_run_costs_the_processor_time_of_its_process(host: ServedEngine) -> None:
    await at_rest(host)
    runs = host.engine.metrics._runs
    before = runs.totals()
    info = await run(host, BURN)
    await until(lambda: runs.totals().cpu_runs == before.cpu_runs + 1, "its process is gone")
    # Its own clock starts with the process; what it used to leave comes on top.
    assert info.value <= runs.totals().cpu - before.cpu + 0.01 < info.value + 0.2
    now = await figures(host)
    assert now.since_start.average_cpu_ms == pytest.approx(1000 * (runs.totals().average_cpu or 0.0), abs=0.01)


async def test_the_panels_say_the_same(host: ServedEngine) -> None:
    await run(host, "1 / 0")
    now = await figures(host)
    totals = now.since_start
    counts = {
        "totalExecutions": totals.total, "successfulExecutions": totals.successful, "failedExecutions": totals.failed,
    }  # fmt: skip
    metrics = await ask(host, "/metrics")
    monitoring = await ask(host, "/monitoring/metrics")
    diagnostics = await ask(host, "/diagnostics")
    for answer in (metrics, monitoring, diagnostics):
        assert answer.items() >= counts.items()
        assert None not in answer.values()
        assert "data" not in answer
        assert type(answer["timestamp"]) is int
    assert metrics["total_executions"] == totals.total
    assert metrics["success_rate"] + metrics["errorRate"] == pytest.approx(100.0)
    minute = now.last_minute
    rate = 100 * totals.failed / (totals.failed + totals.successful)
    assert metrics["errorRate"] == pytest.approx(rate)
    assert metrics["health_score"] == (await ask(host, "/gateway-impact"))["health_score"]
    assert monitoring["errorRatePercent"] == f"{rate:.2f}"
    assert metrics["averageLatencyMs"] == diagnostics["averageExecutionTime"] == totals.average_ms
    assert (metrics["maxLatencyMs"], metrics["min_execution_time_ms"]) == (totals.max_ms, totals.min_ms)
    assert f"script_error={totals.outcomes['script_error']}" in metrics["error_counts"]
    assert metrics["error_counts"].startswith("{")
    assert "ok=" not in metrics["error_counts"]
    assert monitoring["p50ResponseTimeMs"] == minute.p50_ms
    assert monitoring["p50ResponseTimeMs"] <= monitoring["p95ResponseTimeMs"] <= monitoring["p99ResponseTimeMs"]
    assert diagnostics["poolStats"]["totalSize"] == diagnostics["poolStats"]["poolSize"] == 3
    assert diagnostics["versionInfo"]["available"] is True


async def test_a_run_that_waits_in_vain_and_one_that_is_turned_away_are_failures(host: ServedEngine) -> None:
    await at_rest(host)
    blocking = await filled(host)
    before = (await figures(host)).since_start
    runs, owner, pool = host.engine.runs, host.engine.owner, host.engine.pool
    with pytest.raises(ServiceError, match="slot"):
        await runs.run_to_end(FOREVER, owner, "rest", wait=PATIENCE, queue_wait=0.2)
    settings, pool.settings = pool.settings, replace(pool.settings, queue_limit=0)
    try:
        with pytest.raises(ServiceError, match="runs are waiting already"):
            await runs.start(FOREVER, owner, "rest")
    finally:
        pool.settings = settings
    after = (await figures(host)).since_start
    assert more(after, before) == {
        "total": 2, "successful": 0, "failed": 2, "cancelled": 0, "dispatched": 0, "contended": 1, "waits": 1,
        "waits_timed_out": 1,
    }  # fmt: skip
    assert after.outcomes["refused"] == 1
    assert (await ask(host, "/monitoring/metrics"))["timeoutWaits"] == after.waits_timed_out
    impact = await ask(host, "/gateway-impact")
    assert impact["poolContentionEvents"] >= 1
    assert "had to wait for a slot" in impact["recommendation"]
    await cancel(host, *blocking)


async def test_a_request_that_is_wrong_counts_nowhere(host: ServedEngine) -> None:
    before = (await figures(host)).since_start.total
    with pytest.raises(ServiceError):
        await start(host, RunRequest(kind=RunKind.SCRIPT, script="missing.py"))
    assert (await figures(host)).since_start.total == before


@pytest.mark.parametrize("number", [150, pytest.param(1000, marks=pytest.mark.slow)])
async def test_figures_are_right_after_many_quick_runs(host: ServedEngine, number: int) -> None:
    await at_rest(host)
    before = (await figures(host)).since_start
    lanes = asyncio.Semaphore(3)

    async def one(index: int) -> RunInfo:
        async with lanes:
            return await run(host, "result = 1" if index % 5 else "raise ValueError")

    ended = await asyncio.gather(*(one(index) for index in range(number)))
    after = (await figures(host)).since_start
    changes = more(after, before)
    assert (changes["total"], changes["dispatched"]) == (number, number)
    assert (changes["successful"], changes["failed"], changes["cancelled"]) == (number * 4 // 5, number // 5, 0)
    assert after.total_ms - before.total_ms == pytest.approx(sum((info.duration or 0) for info in ended) * 1000, abs=2)


async def test_a_designer_gets_an_impact_that_was_measured(host: ServedEngine) -> None:
    # Without it the first to ask after a minute is told that nothing is known.
    assert "figures" in {task.get_name() for task in asyncio.all_tasks()}
    impact = await ask(host, "/gateway-impact")
    assert impact["impactLevel"] in ("LOW", "MEDIUM", "HIGH")
    assert impact["cpuUsagePercent"] == impact["python3CpuPercent"] > 0
    assert impact["memoryUsageMb"] == impact["python3MemoryMb"] > 10
    assert impact["memoryMaxBytes"] > impact["memoryUsedBytes"] > 10 << 20
    assert type(impact["healthScore"]) is type(impact["availableCores"]) is int
    assert impact["executionsPerMinute"] == (await figures(host)).last_minute.dispatched
    assert impact["recommendation"]
    assert None not in impact.values()


async def test_an_unreadable_proc_makes_no_green_impact(host: ServedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = host.engine.metrics._meter
    monkeypatch.setattr(meter, "_proc", Path("/nonexistent"))
    monkeypatch.setattr(meter, "_samples", type(meter._samples)())
    monkeypatch.setattr(meter, "_gateway", None)
    impact = await ask(host, "/gateway-impact")
    assert impact["impactLevel"] == impact["impact_level"] == "UNKNOWN"
    assert not {"cpuUsagePercent", "cpu_usage_percent", "memoryUsageMb", "memoryUsedBytes", "hostLoad"} & set(impact)
    assert "engine" not in (now := await ask(host, "/metrics", base=BASE)) or now["engine"] == {}


async def test_health_is_that_of_the_slots(host: ServedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    await at_rest(host)
    health = await ask(host, "/health")
    assert (health["healthy"], health["available"], health["status"], health["poolSize"]) == (True, True, "HEALTHY", 3)
    assert health["message"] == "All 3 slots can run scripts."
    stats = await ask(host, "/pool-stats")
    names = ("totalSize", "poolSize", "available", "availableExecutors", "healthy", "inUse", "activeExecutors")
    assert [stats[name] for name in names] == [3, 3, 3, 3, 3, 0, 0]
    assert (stats["healthCheckStatus"], "error" in stats) == ("Healthy", False)
    pool = host.engine.pool
    info = pool.info()
    failed = [
        msgspec.structs.replace(slot, state=SlotState.FAILED, problem="its zygote cannot start") for slot in info.slots
    ]
    broken = msgspec.structs.replace(info, slots=[failed[0], *info.slots[1:]], ready=2)
    monkeypatch.setattr(pool, "info", lambda: broken)
    health = await ask(host, "/health")
    assert (health["healthy"], (await ask(host, "/pool-stats"))["healthy"]) == (True, 2)
    assert health["message"] == "2 of 3 slots can run scripts. One cannot: its zygote cannot start"
    monkeypatch.setattr(pool, "info", lambda: msgspec.structs.replace(info, slots=failed, ready=0))
    health = await ask(host, "/health")
    assert (health["healthy"], health["available"], health["status"]) == (False, False, "DOWN")
    stats = await ask(host, "/pool-stats")
    assert (stats["healthCheckStatus"], stats["healthy"]) == ("Down", 0)
    assert stats["error"] == health["message"] == "No slot can run anything: its zygote cannot start"


async def test_the_pool_is_resized_within_its_limits(host: ServedEngine) -> None:
    assert await ask(host, "/pool-size", {"size": 4}) == {
        "success": True, "poolSize": 4, "message": "The pool has 4 slots now.",
    }  # fmt: skip
    assert (await ask(host, "/pool-stats"))["totalSize"] == 4
    assert (await ask(host, "/pool-size", {"size": 3}))["poolSize"] == 3
    await at_rest(host)
    for size in (1, 2, 21):
        answer = await ask(host, "/pool-size", {"size": size})
        assert (answer["success"], answer["code"]) == (False, "bad_size")
        assert answer["error"] == f"The pool's size must be 3 to 20, not {size}."
    assert (await ask(host, "/pool-stats"))["totalSize"] == 3


NOT_KEPT = {
    "/metrics/script-metrics": {"script_metrics": [], "count": 0},
    "/metrics/historical": {"historical_metrics": [], "count": 0},
    "/metrics/alerts": {"alerts": [], "count": 0},
    "/monitoring/alerts": {"alerts": [], "count": 0},
    "/monitoring/circuit-breaker": {},
    "/monitoring/prometheus": {},
}


async def test_what_is_not_kept_is_said_and_not_made_up(host: ServedEngine) -> None:
    for path, empty in NOT_KEPT.items():
        answer = await ask(host, path)
        assert answer.pop("message") == answer.pop("error")
        assert answer == {"success": False, "code": "not_available"} | empty


async def test_the_log_is_read_over_http(host: ServedEngine) -> None:
    empty = await ask(host, "/logs?lines=100&filter=Python3&level=")
    assert empty == {"success": True, "entries": [], "count": 0, "total": 0, "hasMore": False}
    log = logging.getLogger("engine.test_figures")
    log.addHandler(host.recent_log)
    try:
        log.warning("first")
        log.error("second")
    finally:
        log.removeHandler(host.recent_log)
    page = await ask(host, "/logs?lines=1&filter=Python3")
    assert [entry["message"] for entry in page["entries"]] == ["second"]
    assert (page["count"], page["total"], page["hasMore"]) == (1, 2, True)
    page = await ask(host, f"/logs?lines=1&filter=Python3&after={page['entries'][0]['id']}")
    assert [entry["level"] for entry in page["entries"]] == ["WARN"]
    assert page["hasMore"] is False


async def test_a_run_whose_output_finds_no_room_is_over_when_it_ends(
    host: ServedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([None])  # there is room when it begins
    monkeypatch.setattr(host.engine.runs, "_no_space", lambda: next(said, "There is no room."))
    info = await run(host, "print('x')")
    assert (info.outcome, info.unrecorded) == (Outcome.OK, "There is no room.")
    assert (await figures(host)).active == 0


async def test_states_are_of_the_run_itself(host: ServedEngine) -> None:
    """The run that a caller sees finished is counted by then."""
    before = (await figures(host)).since_start.total
    info = await run(host, "result = 1")
    assert (info.state, info.mode, info.outcome) == (RunState.FINISHED, Mode.RESTRICTED, Outcome.OK)
    assert (await figures(host)).since_start.total == before + 1


async def test_a_daemon_has_its_log_and_the_use_of_its_processes(project: ProjectUnderTest) -> None:
    await (await project.connect()).close()

    async def asked(path: str) -> Any:
        return await ask_on(*await sockets.connect(project.paths, os.geteuid()), path)

    page = await asked("/logs?filter=Python3&level=INFO")
    assert page["count"] == page["total"] >= 1
    [serves] = [entry for entry in page["entries"] if " serves " in entry["message"]]
    assert (serves["logger"], serves["level"]) == ("engine.daemon", "INFO")
    assert serves["message"].endswith(f" serves {project.root} as process {project.engine_pid}")
    # It has closed its own process to others of its account, which must not close it to itself.
    impact = await asked("/gateway-impact")
    assert impact["impactLevel"] in ("LOW", "MEDIUM", "HIGH")
    assert impact["cpuUsagePercent"] > 0
    held = sum(resident(pid) for pid in family(project.engine_pid))
    assert impact["memoryUsedBytes"] == pytest.approx(held, rel=0.5)
