"""Figures of an engine that is a process of its own: through a kill, and beside a gateway that is busy."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_support import ProjectUnderTest, alive, eventually, family

from engine.client.client import EngineClient
from engine.models.engine import StopRequest
from engine.models.metrics import GroupedBy, ImpactLevel
from engine.models.runs import RunKind, RunRequest
from engine.registry.engine import ENGINE_STOP
from engine.registry.metrics import METRICS, METRICS_GROUPS, METRICS_HISTORY, GroupParams, HistoryParams
from engine.registry.runs import RUNS_START, StartParams

GOOD = RunRequest(kind=RunKind.EXEC, code="result = 1 + 1")
BAD = RunRequest(kind=RunKind.EXEC, code="raise ValueError('no')")


async def run(client: EngineClient, request: RunRequest, times: int) -> None:
    for _ in range(times):
        await client.call(RUNS_START, StartParams(wait=20.0), request)


@pytest.mark.slow
async def test_what_a_killed_engine_had_counted_is_told_by_the_next_one(project: ProjectUnderTest) -> None:
    client = await project.connect()
    await run(client, GOOD, 3)
    await run(client, BAD, 2)
    finished = "SELECT count(*) FROM run WHERE state = 'finished'"
    await eventually(lambda: project.recorded(finished) == [(5,)])
    pid, members = project.engine_pid, family(project.engine_pid)
    os.kill(pid, signal.SIGKILL)
    await client.close()
    await eventually(lambda: not alive(members))
    for _ in range(2):  # an engine that is stopped writes it, and the one after that does not count it again
        client = await project.connect()
        groups = (await client.call(METRICS_GROUPS, GroupParams(by=GroupedBy.SCRIPT))).groups
        assert [(one.name, one.total, one.successful, one.failed) for one in groups] == [("(code)", 5, 3, 2)]
        assert groups[0].errors == {"script_error": 2}
        points = (await client.call(METRICS_HISTORY, HistoryParams(hours=2.0))).points
        assert (sum(one.total for one in points), sum(one.failed for one in points)) == (5, 2)
        await client.call(ENGINE_STOP, body=StopRequest())
        await client.close()
        await eventually(lambda: not project.lives)


@pytest.fixture
def busy_gateway(tmp_path: Path) -> Iterator[None]:
    """A process that reads as Ignition's JVM and does nothing but to be busy."""
    command = [str(tmp_path / "java"), "-c", "while True: pass", "-Dignition"]
    process = subprocess.Popen(command, executable=sys.executable)
    yield
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("busy_gateway")
async def test_a_busy_gateway_is_told_and_is_no_impact_of_the_scripts(project: ProjectUnderTest) -> None:
    client = await project.connect()
    await run(client, GOOD, 60)
    async with asyncio.timeout(60.0):
        metrics = await client.call(METRICS)
        while metrics.gateway is None or (metrics.gateway.cpu_percent or 0.0) < 1:
            await asyncio.sleep(0.2)
            metrics = await client.call(METRICS)
    assert metrics.since_start.dispatched == 60
    weighs = (metrics.engine.cpu_percent or 0.0) > 5  # on a machine where sixty runs are work
    assert metrics.judgement.impact is ImpactLevel.LOW or weighs, metrics
    await client.close()
