"""A run that its caller waits for: the whole answer in one call, an end when the caller leaves or time is up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from served_engine import ServedEngine, posted, served_engine, until

from engine.client.answers import EngineError
from engine.config import PoolSection, Settings
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest, RunState
from engine.services.access import ServiceError
from engine.services.runs import service
from engine.services.runs.inputs import given_inputs

FOREVER = {"kind": "exec", "code": "while True: pass"}
TWO = {"kind": "exec", "code": "import sys\nprint('to out')\nprint('to err', file=sys.stderr)\nresult = 1 + 1"}
IMPATIENT = 0.3
PATIENT = 20.0


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedEngine]:
    settings = Settings(pool=PoolSection(api_queue_wait=PATIENT))
    async with served_engine(tmp_path_factory.mktemp("waiting") / "plant", settings) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def host(shared_host: ServedEngine) -> AsyncIterator[ServedEngine]:
    """The engine, at rest again afterwards."""
    yield shared_host
    runs = shared_host.engine.runs
    for run_id in [run.info.id for run in runs._active.values() if not run.finished]:
        await runs.cancel(run_id, shared_host.engine.owner)


def running(host: ServedEngine) -> list[RunInfo]:
    return [run.info for run in host.engine.runs._active.values() if run.info.state is RunState.RUNNING]


async def filled(host: ServedEngine) -> list[RunInfo]:
    """Every slot taken, by runs of a person."""
    request = RunRequest(kind=RunKind.EXEC, code="while True: pass")
    runs = [await host.engine.runs.start(request, host.engine.owner, "cli") for _ in range(3)]
    await until(lambda: len(running(host)) == 3, "every slot is taken")
    return runs


async def test_one_call_has_the_finished_record_with_what_it_wrote(host: ServedEngine) -> None:
    answer = await host.post("/runs?wait=20", TWO)
    assert answer.status == 200
    assert (answer.body["state"], answer.body["value"]) == ("finished", 2)
    assert (answer.body["output"], answer.body["stderr"]) == ("to out\n", "to err\n")
    failed = await host.post("/runs?wait=20", {"kind": "exec", "code": "1 / 0"})
    assert (failed.status, failed.body["outcome"]) == (200, "script_error")
    assert failed.body["error"]["type"] == "ZeroDivisionError"
    assert "ZeroDivisionError" in failed.body["traceback"]
    again = await host.post(f"/runs/{answer.body['id']}/replay?wait=20", {})
    assert (again.status, again.body["value"], again.body["replay_of"]) == (200, 2, answer.body["id"])
    async with host.client() as client:
        run = await client.run_and_wait(RunRequest(kind=RunKind.EXEC, code="print(7)"), 20)
        assert (run.state, run.output) == (RunState.FINISHED, "7\n")
    mixed = await host.post("/runs?wait=20&follow=true", TWO)
    assert (mixed.status, mixed.body["code"]) == (400, "bad_request")
    assert "exclude each other" in mixed.body["error"]
    for wait in ("-1", "3601", "soon"):
        assert (await host.post(f"/runs?wait={wait}", TWO)).status == 400


async def test_when_time_is_up_the_run_goes_on(host: ServedEngine) -> None:
    answer = await host.post("/runs?wait=0.2", FOREVER)
    assert (answer.status, answer.body["state"]) == (202, "running")
    runs, owner = host.engine.runs, host.engine.owner
    assert (await runs.get(answer.body["id"], owner)).state is RunState.RUNNING
    assert (await runs.cancel(answer.body["id"], owner)).outcome is Outcome.CANCELLED


async def test_a_client_that_leaves_ends_its_run_and_frees_the_slot(host: ServedEngine) -> None:
    _, writer = await host.connect()
    writer.write(posted("/runs?wait=60", FOREVER))
    await until(lambda: running(host), "the run goes on")
    run_id = running(host)[0].id
    left = time.monotonic()
    writer.close()
    ended = await asyncio.wait_for(host.engine.runs.wait(run_id, host.engine.owner), 10)
    assert ended.outcome is Outcome.CANCELLED
    assert time.monotonic() - left < 1.0
    await until(lambda: host.engine.pool.info().running == 0, "the slot is free")


async def test_a_call_that_gets_no_slot_is_told_to_come_again(
    host: ServedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.engine.runs.queue_wait_of(RunRequest(kind=RunKind.EXEC), "rest") == PATIENT
    monkeypatch.setattr(host.engine.runs, "_api_queue_wait", IMPATIENT)
    blocking = await filled(host)
    answer = await host.post("/runs?wait=20", TWO)
    assert (answer.status, answer.body["code"]) == (429, "busy")
    assert int(answer.headers["retry-after"]) >= 1
    assert "0.3 s for a free slot" in answer.body["error"]
    listed = await host.engine.runs.list(host.engine.owner, limit=1)
    assert (listed.runs[0].outcome, listed.runs[0].source) == (Outcome.TIMEOUT, "rest")
    # One that is only started waits as long as any, and so does a person's.
    patient = await host.post("/runs", TWO)
    person = await host.engine.runs.start(RunRequest(kind=RunKind.EXEC, code="result = 3"), host.engine.owner, "cli")
    await asyncio.sleep(2 * IMPATIENT)  # it is what is tested: both wait longer than a call may
    assert (await host.engine.runs.get(patient.body["id"], host.engine.owner)).state is RunState.QUEUED
    for run in blocking:
        await host.engine.runs.cancel(run.id, host.engine.owner)
    for run_id in (patient.body["id"], person.id):
        assert (await host.engine.runs.wait(run_id, host.engine.owner)).outcome is Outcome.OK


async def test_a_call_within_a_budget_always_has_an_end(host: ServedEngine) -> None:
    runs, owner = host.engine.runs, host.engine.owner
    request = RunRequest(kind=RunKind.EXEC, code="print('so far', flush=True)\nwhile True: pass")
    info = await runs.run_within(request, owner, "rest", seconds=0.5)
    assert (info.state, info.outcome, info.output) == (RunState.FINISHED, Outcome.TIMEOUT, "so far\n")
    assert info.error is not None
    assert "0.5 s" in info.error.message
    assert "POST /api/v1/runs" in info.error.message
    short = RunRequest(kind=RunKind.EXEC, code="while True: pass", timeout=0.4)
    info = await runs.run_within(short, owner, "rest", seconds=20)
    assert info.outcome is Outcome.TIMEOUT
    assert info.error is not None
    assert "POST" not in info.error.message
    await filled(host)
    with pytest.raises(ServiceError) as refused:
        await runs.run_within(request, owner, "rest", seconds=5, queue_wait=0.2)
    assert (refused.value.code, refused.value.status) == ("busy", 429)


async def test_a_full_queue_of_calls_never_delays_a_person(host: ServedEngine) -> None:
    blocking = await filled(host)
    calls = [asyncio.create_task(host.post("/runs?wait=20", TWO)) for _ in range(40)]
    await until(lambda: len(host.engine.pool.info().queue) == 40, "the calls wait")
    person = await host.engine.runs.start(
        RunRequest(kind=RunKind.EXEC, code="result = 3"), host.engine.owner, "console"
    )
    position = (await host.engine.runs.get(person.id, host.engine.owner)).queue_position
    assert position == 1
    for run in blocking:
        await host.engine.runs.cancel(run.id, host.engine.owner)
    ended = await host.engine.runs.wait(person.id, host.engine.owner)
    others = [answer.body["started_at"] for answer in await asyncio.gather(*calls)]
    assert ended.started_at is not None
    assert sum(started < ended.started_at for started in others) == 0


async def test_our_client_is_told_in_its_own_way(host: ServedEngine) -> None:
    async with host.client() as client:
        with pytest.raises(EngineError, match="There is no code to run"):
            await client.run_and_wait(RunRequest(kind=RunKind.EXEC), 5)
        run = await client.run_and_wait(RunRequest(kind=RunKind.EXEC, code="while True: pass"), 0.2)
        assert run.state is RunState.RUNNING


async def test_much_that_a_run_is_given_is_looked_through_beside_the_event_loop(
    host: ServedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, owner, threads, begun, go_on = host.engine.runs, host.engine.owner, [], threading.Event(), threading.Event()

    def looked(*args: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        begun.set()
        assert go_on.wait(20)
        return given_inputs(*args)

    monkeypatch.setattr(service, "given_inputs", looked)
    table = RunRequest(
        kind=RunKind.EXEC, code="result = len(rows)", variables={"rows": [[1, 2, 3, 4] for _ in range(50_000)]}
    )
    go_on.set()
    assert (await runs.run_to_end(table, owner, "rest", wait=20)).value == 50_000
    assert (await host.post("/runs?wait=20", TWO)).body["value"] == 2
    assert threads == [False, True]
    # A caller that leaves meanwhile gives back the files.
    file = host.engine.buffers.create("a", owner)
    file.write(b"z")
    info = file.finish()
    begun.clear()
    go_on.clear()
    call = asyncio.ensure_future(runs.launch(replace(table, stdin=info.id), owner, "rest"))
    await asyncio.to_thread(begun.wait, 20)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    go_on.set()
    assert host.engine.buffers._find(info.id, owner).holders == 0
    refused = await host.post("/runs?wait=20", {**TWO, "args": [0] * 300_001})
    assert (refused.status, refused.body["code"]) == (413, "too_large")
