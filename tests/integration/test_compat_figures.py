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
import prometheus_client.parser
import pytest
import pytest_asyncio
from daemon_support import ProjectUnderTest, family
from prometheus_client.openmetrics import parser as openmetrics
from served_engine import PATIENCE, ServedEngine, answered, served_engine, until

from engine import sockets
from engine.models.engine import SlotState
from engine.models.metrics import EngineMetrics, ImpactLevel, RunFigures
from engine.models.runs import Mode, Outcome, RunInfo, RunKind, RunRequest, RunState
from engine.pool.memory_watch import resident
from engine.registry.metrics import METRICS_TEXT
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


async def text_of(
    host: ServedEngine, path: str, accept: str = "*/*", base: str = COMPAT_BASE + "/api/v1"
) -> tuple[str, str]:
    """A text and its media type."""
    reader, writer = await host.connect()
    try:
        writer.write(f"GET {base}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    lines = head.decode().lower().splitlines()
    assert " 200 " in lines[0]
    return body.decode(), next(line.partition(": ")[2] for line in lines if line.startswith("content-type"))


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str, parse: Any) -> Samples:
    found = [sample for family in parse(text) for sample in family.samples]
    assert len({(sample.name, frozenset(sample.labels.items())) for sample in found}) == len(found)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def sample(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


async def prometheus(host: ServedEngine) -> tuple[Samples, Samples, Samples]:
    """The module's names, our own, and our own in OpenMetrics, each read by the library's own parser."""
    theirs, kind = await text_of(host, "/monitoring/prometheus")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    ours, kind = await text_of(host, "/metrics.prom", base=BASE)
    assert kind.startswith("text/plain; version=0.0.4")
    wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    modern, kind = await text_of(host, "/metrics.prom", wanted, base=BASE)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert modern.endswith("# EOF\n")
    old = prometheus_client.parser.text_string_to_metric_families
    return parsed(theirs, old), parsed(ours, old), parsed(modern, openmetrics.text_string_to_metric_families)


async def test_ten_good_and_ten_failing_runs_are_that_everywhere(host: ServedEngine) -> None:
    scripts = host.engine.project.scripts
    (scripts / "sound.py").write_text("result = 1 + 1\n")
    (scripts / "faulty.py").write_text("raise ValueError('no')\n")
    await at_rest(host)
    before, theirs_before, (_, ours_before, modern_before) = (
        await ask(host, "/metrics"), (await prometheus(host))[0], await prometheus(host),
    )  # fmt: skip
    for _ in range(10):
        for name, outcome in (("sound.py", Outcome.OK), ("faulty.py", Outcome.SCRIPT_ERROR)):
            info = await end(host, RunRequest(kind=RunKind.SCRIPT, script=name))
            assert info.outcome is outcome

    after = await ask(host, "/metrics")
    for name, count in (("total", 20), ("successful", 10), ("failed", 10)):
        assert after[f"{name}_executions"] - before[f"{name}_executions"] == count

    theirs, ours, modern = await prometheus(host)
    for name, count in (("", 20), ("success_", 10), ("failed_", 10)):
        name = f"python3_executions_{name}total"
        assert sample(theirs, name) - sample(theirs_before, name) == count
    assert sample(theirs, "python3_error_rate_percent") == pytest.approx(after["errorRate"])
    assert 0 < sample(theirs, "python3_response_time_ms_p50") <= sample(theirs, "python3_response_time_ms_p99")
    assert sample(theirs, "python3_pool_size_total") == sample(theirs, "python3_pool_healthy_executors") == 3
    for mine, earlier in ((ours, ours_before), (modern, modern_before)):
        for outcome in ("ok", "script_error"):
            grown = [sample(each, "gatewright_runs_total", outcome=outcome) for each in (mine, earlier)]
            assert grown[0] - grown[1] == 10
        assert sample(mine, "gatewright_script_runs_total", script="sound.py", outcome="ok") == 10
        assert sample(mine, "gatewright_script_runs_total", script="faulty.py", outcome="script_error") == 10
        timed = [sample(each, "gatewright_run_duration_seconds_count") for each in (mine, earlier)]
        assert timed[0] - timed[1] == 20
        assert sample(mine, "gatewright_run_duration_seconds_bucket", le="+Inf") == timed[0]
        assert sample(mine, "gatewright_pool_slots", state="ready") <= 3
        assert sample(mine, "gatewright_engine_memory_bytes") > 10 << 20

    owner = host.engine.owner.name
    asked = {by: await ask(host, f"/metrics/groups?by={by}&hours=1", base=BASE) for by in ("script", "caller", "error")}
    groups = {by: {one["name"]: one for one in found["groups"]} for by, found in asked.items()}
    sound, faulty = groups["script"]["sound.py"], groups["script"]["faulty.py"]
    assert (sound["total"], sound["successful"], sound["failed"]) == (10, 10, 0)
    assert (faulty["total"], faulty["successful"], faulty["failed"]) == (10, 0, 10)
    assert faulty["errors"] == {"script_error": 10}
    assert 0 < sound["p50_ms"] <= sound["p99_ms"] <= sound["max_ms"]
    assert groups["caller"][owner]["total"] >= 20
    assert groups["error"]["script_error"]["total"] >= 10
    theirs_by_script = {
        one["script_identifier"]: one for one in (await ask(host, "/metrics/script-metrics"))["script_metrics"]
    }
    assert theirs_by_script["sound.py"]["success_rate"] == 100.0
    assert (theirs_by_script["faulty.py"]["failed_executions"], theirs_by_script["faulty.py"]["error_counts"]) == (
        10, "{script_error=10}",
    )  # fmt: skip
    assert theirs_by_script["sound.py"]["average_execution_time_ms"] > 0

    history = await ask(host, "/metrics/history?hours=1", base=BASE)
    totals = (await figures(host)).since_start
    for name in ("total", "successful", "failed", "cancelled"):
        assert sum(point[name] for point in history["points"]) == getattr(totals, name)
    assert (history["step"], len(history["points"])) == (60, 60)
    points = (await ask(host, "/metrics/historical"))["historical_metrics"]
    assert sum(point["total_executions"] for point in points) == totals.total
    assert points[-1]["timestamp"] % 60_000 == 0
    assert 0 < len(points) <= 100


async def test_a_pool_tells_status_bars_what_its_figures_mean(host: ServedEngine) -> None:
    await host.engine.metrics.look()
    pool = await ask(host, "/pool", base=BASE)
    judgement = (await figures(host)).judgement
    assert pool["impact"] in ("LOW", "MEDIUM", "HIGH")
    assert 0 <= pool["health"] <= 100
    subscription = host.engine.events.subscribe()
    host.engine.pool_service.judged(msgspec.structs.replace(judgement, impact=ImpactLevel.HIGH, health=1))
    with subscription:
        async with asyncio.timeout(PATIENCE):
            while not any(each.type == "pool" and each.data.health == 1 for each in await anext(subscription)):
                pass
    await host.engine.metrics.look()
    assert host.engine.pool_service.info().health != 1


async def test_alerts_of_the_pool_reach_the_panels(host: ServedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    await at_rest(host)
    pool = host.engine.pool
    info = pool.info()
    failed = msgspec.structs.replace(info.slots[0], state=SlotState.FAILED, problem="its zygote cannot start")
    broken = msgspec.structs.replace(info, slots=[failed, *info.slots[1:]], ready=2)
    with monkeypatch.context() as patched:
        patched.setattr(pool, "info", lambda: broken)
        await host.engine.metrics.look()
        await host.engine.metrics.look()
        lines = {one["alert_id"].partition("-")[0]: one for one in (await ask(host, "/metrics/alerts"))["alerts"]}
        assert lines["slots"]["severity"] == "WARNING"
        assert lines["slots"]["message"].startswith("1 of 3 slots cannot run anything")
        counts = await ask(host, "/monitoring/alerts")
        assert counts["totalAlerts"] >= 2
        assert counts["suppressedAlerts"] >= 1
        assert lines["slots"]["message"] in counts["alertSummary"]
        ours = await prometheus(host)
        assert sample(ours[1], "gatewright_alerts", kind="slots", severity="WARNING") == 1
    await host.engine.metrics.look()
    found = {one["kind"]: one for one in (await ask(host, "/alerts", base=BASE))["alerts"]}
    assert found["slots"]["until"] >= found["slots"]["at"]
    assert sample((await prometheus(host))[1], "gatewright_alerts", kind="slots", severity="WARNING") == 0


async def test_what_cannot_be_recorded_is_an_alert(host: ServedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"audit", "records", "disk"}

    async def lasting() -> dict[str, str]:
        await host.engine.metrics.look()
        found = (await ask(host, "/alerts", base=BASE))["alerts"]
        return {one["kind"]: one["message"] for one in found if "until" not in one and one["kind"] in kinds}

    assert await lasting() == {}
    with monkeypatch.context() as patched:
        patched.setattr(host.engine.audit, "_unwritten", "Audit records cannot be written.")
        patched.setattr(host.engine.runs.recorder, "problem", "Runs are not being recorded.")
        patched.setattr(host.engine.space, "short", lambda: "1 MiB is left")
        found = await lasting()
    assert found.keys() == kinds
    assert "1 MiB is left" in found["disk"]
    assert await lasting() == {}


async def test_no_breaker_opens(host: ServedEngine) -> None:
    answer = await ask(host, "/monitoring/circuit-breaker")
    assert answer.pop("timeSinceStateChangeMs") > 0
    assert answer == {
        "success": True, "state": "CLOSED", "failureCount": 0, "totalOpens": 0, "totalCloses": 0, "totalRejections": 0,
    }  # fmt: skip


async def test_a_client_of_ours_reads_the_text_as_text(host: ServedEngine) -> None:
    async with host.client() as client:
        assert "# TYPE gatewright_runs_total counter" in await client.call(METRICS_TEXT)


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
