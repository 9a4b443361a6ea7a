"""The life of a serving engine: signals, idleness, a place that vanishes, a disk that is full, and its orderly end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from daemon_support import FOREVER, TWO, ProjectUnderTest, alive, eventually, family, wait_for

from engine.client import calls
from engine.client.answers import EngineError, EngineUnreachable
from engine.models.base import Event
from engine.models.engine import ResizeRequest, StopRequest
from engine.models.runs import Outcome, RunState
from engine.models.scripts import SaveRequest
from engine.registry.engine import ENGINE_INFO, ENGINE_STOP, POOL_RESIZE
from engine.registry.runs import RUNS_CANCEL, RUNS_GET, RUNS_START, RunParams, StartParams
from engine.registry.scripts import SCRIPTS_SAVE, ScriptParams

T = TypeVar("T")


async def until_unreachable(stream: AsyncIterator[T]) -> list[T]:
    """What a stream brought until its engine was gone."""
    seen: list[T] = []
    try:
        async for item in stream:
            seen.append(item)
    except EngineUnreachable:
        return seen
    raise AssertionError("the stream ended as if all were well")


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(other, marks=pytest.mark.slow) for other in (signal.SIGINT, signal.SIGHUP))],
)
async def test_a_signal_ends_it_with_streams_open_and_a_run_going_on(
    project: ProjectUnderTest, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RECONNECT_DELAYS", ())
    engine = await asyncio.to_thread(project.serve)
    client = await project.connect(start=False)
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    events = client.events(after=0)
    await anext(events)
    follower = client.follow_run(run.id)
    await anext(follower)
    members = family(engine.pid)
    assert len(members) > 4
    begin = time.monotonic()
    engine.send_signal(number)
    last_words = [event.data for event in await until_unreachable(events) if event.type == "engine"]
    assert last_words == [{"state": "stopping"}]
    assert [item async for item in follower][-1].outcome is Outcome.INTERRUPTED
    assert await asyncio.to_thread(engine.wait, 10) == 0
    assert time.monotonic() - begin < 20
    assert not alive(members)
    assert not project.paths.socket.exists()
    assert not project.lives
    await client.close()
    client = await project.connect()
    assert (await client.call(RUNS_GET, RunParams(run_id=run.id))).outcome is Outcome.INTERRUPTED
    await client.close()


async def test_a_background_engine_survives_the_hang_up_of_a_terminal(project: ProjectUnderTest) -> None:
    client = await project.connect()
    os.kill(project.engine_pid, signal.SIGHUP)
    assert [item async for item in client.run_and_follow(TWO)][-1].value == 2
    await client.close()


async def test_stop_waits_for_runs_unless_forced(project: ProjectUnderTest) -> None:
    client = await project.connect()
    members = family(project.engine_pid)
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    with pytest.raises(EngineError, match="The engine is busy: a run goes on") as caught:
        await client.call(ENGINE_STOP, body=StopRequest())
    assert (caught.value.code, caught.value.status) == ("busy", 409)
    assert (await client.call(RUNS_GET, RunParams(run_id=run.id))).state is not RunState.FINISHED
    assert (await client.call(ENGINE_STOP, body=StopRequest(force=True))).pid == project.engine_pid
    await eventually(lambda: not alive(members), 5)
    await client.close()


async def test_an_idle_engine_leaves_and_a_busy_one_stays(project: ProjectUnderTest) -> None:
    engine = await asyncio.to_thread(project.serve, "--idle-exit", "0.5")
    client = await project.connect(start=False)
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    await client.close()
    await asyncio.sleep(1)
    assert engine.poll() is None, "it left although a run went on"
    client = await project.connect(start=False)
    await client.call(RUNS_CANCEL, RunParams(run_id=run.id))
    await asyncio.sleep(1)
    assert engine.poll() is None, "it left although a client was connected"
    await client.close()
    assert await asyncio.to_thread(engine.wait, 10) == 0
    assert not project.paths.socket.exists()


async def test_an_engine_started_for_a_client_leaves_by_the_setting(project: ProjectUnderTest) -> None:
    project.settings("[engine]\nidle_exit_minutes = 0.01\n")
    await (await project.connect()).close()
    members = family(project.engine_pid)
    await eventually(lambda: not alive(members))
    assert "nobody needed the engine" in project.paths.log.read_text()


async def test_who_comes_while_it_leaves_gets_the_next_one(project: ProjectUnderTest) -> None:
    client = await project.connect()
    old = project.engine_pid
    await client.call(ENGINE_STOP, body=StopRequest())
    after = await asyncio.gather(*(project.connect() for _ in range(3)))
    assert {(await one.call(ENGINE_INFO)).pid for one in after} == {project.engine_pid}
    assert project.engine_pid != old
    for one in [client, *after]:
        await one.close()


async def test_a_vanished_socket_is_back_and_nobody_is_cut_off(project: ProjectUnderTest) -> None:
    client = await project.connect()
    run = await client.call(RUNS_START, StartParams(), FOREVER)
    follower = client.follow_run(run.id)
    await anext(follower)
    pid = project.engine_pid
    project.paths.socket.unlink()
    other = await project.connect()
    assert (await other.call(ENGINE_INFO)).pid == pid
    assert project.paths.socket.stat().st_mode & 0o777 == 0o600
    await other.call(RUNS_CANCEL, RunParams(run_id=run.id))
    assert [item async for item in follower][-1].outcome is Outcome.CANCELLED
    # Also when something else lies there: the engine owns its place.
    rubbish = project.paths.socket.with_name("rubbish")
    rubbish.write_text("rubbish")
    rubbish.replace(project.paths.socket)  # at once: the engine may look at any moment
    await eventually(project.paths.socket.is_socket)
    await client.close()
    await other.close()


@pytest.mark.parametrize("vanish", ["deleted", pytest.param("moved", marks=pytest.mark.slow)])
async def test_an_engine_whose_project_is_gone_leaves(project: ProjectUnderTest, vanish: str) -> None:
    client = await project.connect()
    members = family(project.engine_pid)
    if vanish == "deleted":
        while project.root.exists():  # the engine may still be making a file in it
            shutil.rmtree(project.root, ignore_errors=True)
    else:
        project.root.rename(project.root.with_name("elsewhere"))
    await eventually(lambda: not alive(members), 10)
    await client.close()


async def test_a_full_disk_under_the_log_costs_lines_only(project: ProjectUnderTest) -> None:
    project.paths.logs.mkdir(parents=True, mode=0o700)
    project.paths.private.chmod(0o700)
    project.paths.log.symlink_to("/dev/full")
    client = await project.connect()
    assert [item async for item in client.run_and_follow(TWO)][-1].value == 2
    (problem,) = (await client.call(ENGINE_INFO)).problems
    assert "of the log" in problem
    assert problem.endswith(f"lost ({project.paths.log}): No space left on device.")
    await client.close()


async def test_the_log_tells_the_engines_life(project: ProjectUnderTest) -> None:
    client = await project.connect()
    pid = project.engine_pid
    assert (await client.call(ENGINE_INFO)).log_file == str(project.paths.log)
    await client.call(ENGINE_STOP, body=StopRequest())
    await client.close()
    await eventually(lambda: not project.lives)
    log = project.paths.log.read_text()
    assert f"serves {project.root} as process {pid}" in log
    assert log.rstrip().endswith("the engine has left")
    assert "Traceback" not in log
    assert project.paths.log.stat().st_mode & 0o777 == 0o600


def test_the_engine_hides_its_memory(project: ProjectUnderTest) -> None:
    engine = project.serve()
    # PR_GET_DUMPABLE (prctl(2)), asked inside; outside, an undumpable process's files in /proc are root's (proc(5)).
    code = (
        "import ctypes; from engine.daemon.process import hide_memory; hide_memory(); print(ctypes.CDLL(None).prctl(3))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "0\n"
    assert os.stat(f"/proc/{engine.pid}/environ").st_uid == 0
    engine.terminate()
    assert engine.wait(10) == 0


async def test_what_happens_is_told_as_events(project: ProjectUnderTest) -> None:
    client = await project.connect()
    events = client.events(after=0)
    await client.call(SCRIPTS_SAVE, ScriptParams(path="new.py"), SaveRequest(text="result = 3\n"))
    await client.call(POOL_RESIZE, body=ResizeRequest(size=4))
    run = await client.call(RUNS_START, StartParams(), TWO)
    seen: list[Event] = []
    async with asyncio.timeout(10):
        while not any(e.type == "run" and e.data["state"] == "finished" for e in seen) or "pool" not in {
            e.type for e in seen
        }:
            seen.append(await anext(events))
    assert [e.data for e in seen if e.type == "script"] == [{"path": "new.py", "change": "created"}]
    finished = [event for event in seen if event.type == "run"][-1].data
    assert finished["id"] == run.id
    assert "value" not in finished
    await events.aclose()
    await client.close()


async def test_the_doctor_finds_project_and_engine(project: ProjectUnderTest) -> None:
    await (await project.connect()).close()
    command = [sys.executable, "-m", "engine", "doctor", "--project", str(project.root), "--json"]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30)
    assert told.returncode == 0
    findings = {finding["tried"]: finding for finding in json.loads(told.stdout)["findings"]}
    assert findings["the project's engine"]["found"].startswith("version ")
    assert f"process {project.engine_pid}" in findings["the project's engine"]["found"]
    assert findings["a socket in the project"]["level"] == "ok"
    assert not any("the check itself failed" in finding["found"] for finding in findings.values())
    project.paths.private.chmod(0o750)
    project.settings("[pool]\nsize = 2\n")
    told = await asyncio.to_thread(subprocess.run, command[:-1], capture_output=True, text=True, timeout=30)
    assert told.returncode == 0
    assert "fail  who owns" in told.stdout
    assert f"chmod 700 {project.paths.private}" in told.stdout
    assert "pool size must be 3 to 20, not 2." in told.stdout


async def test_cancelled_clients_leave_no_connection(project: ProjectUnderTest) -> None:
    client = await project.connect()
    run = await client.call(RUNS_START, StartParams(), FOREVER)

    async def follow() -> None:
        async for _ in client.follow_run(run.id):
            pass

    followers = [asyncio.create_task(follow()) for _ in range(10)]
    await eventually(lambda: project.connections >= 10)
    for follower in followers:
        follower.cancel()
    await asyncio.wait(followers)
    await eventually(lambda: project.connections <= 1)
    await client.call(RUNS_CANCEL, RunParams(run_id=run.id))
    await client.close()


def test_a_run_needs_no_client_to_go_on(project: ProjectUnderTest) -> None:
    async def start() -> int:
        client = await project.connect()
        run = await client.call(RUNS_START, StartParams(), TWO)
        await client.close()
        return run.id

    run_id = asyncio.run(start())
    wait_for(lambda: project.recorded(f"SELECT state FROM run WHERE id = {run_id}") == [("finished",)])
