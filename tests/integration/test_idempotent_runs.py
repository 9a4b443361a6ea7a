"""A request with an Idempotency-Key is done once, however often and from however many connections it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from served_engine import ServedEngine, posted, served_engine, until

from engine.models.runs import Outcome, RunState
from engine.registry.operation import COMPAT_BASE

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW = {"kind": "exec", "code": "import time\ntime.sleep(0.2)\nprint('once')\nresult = 7"}
FOREVER = {"kind": "exec", "code": "while True: pass"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedEngine]:
    async with served_engine(tmp_path_factory.mktemp("repeats") / "plant") as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def host(shared_host: ServedEngine) -> AsyncIterator[ServedEngine]:
    """The engine, at rest again afterwards."""
    yield shared_host
    runs = shared_host.engine.runs
    for run_id in [run.info.id for run in runs._active.values() if not run.finished]:
        await runs.cancel(run_id, shared_host.engine.owner)


async def count(host: ServedEngine) -> int:
    return len((await host.engine.runs.list(host.engine.owner, limit=500)).runs)


def going(host: ServedEngine) -> list[int]:
    return [run.info.id for run in host.engine.runs._active.values() if run.info.state is RunState.RUNNING]


async def test_repeats_during_the_run_and_after_it_get_its_answer(host: ServedEngine) -> None:
    before = await count(host)
    first, *others = await asyncio.gather(*(host.post("/runs?wait=20", SLOW, Idempotency_Key="a") for _ in range(3)))
    assert (first.status, first.body["value"], first.body["output"]) == (200, 7, "once\n")
    late = await host.post("/runs?wait=20", SLOW, Idempotency_Key="a")
    for answer in (*others, late):
        assert (answer.status, answer.body) == (first.status, first.body)
    assert await count(host) == before + 1
    other = await host.post("/runs?wait=20", SLOW, Idempotency_Key="b")
    assert other.body["id"] != first.body["id"]


async def test_a_key_is_for_one_request(host: ServedEngine) -> None:
    await host.post("/runs?wait=20", SLOW, Idempotency_Key="c")
    another = await host.post("/runs?wait=20", SLOW | {"code": "result = 8"}, Idempotency_Key="c")
    assert (another.status, another.body["code"]) == (422, "idempotency_mismatch")
    for key in ("", "x" * 256, "\xe9"):
        refused = await host.post("/runs?wait=20", SLOW, Idempotency_Key=key)
        assert (refused.status, refused.body["code"]) == (400, "bad_request")


async def test_what_was_refused_is_tried_again(host: ServedEngine) -> None:
    request = {"kind": "script", "script": "later.py"}
    assert (await host.post("/runs?wait=20", request, Idempotency_Key="d")).status == 404
    (Path(host.engine.project.scripts) / "later.py").write_text("result = 5")
    found = await host.post("/runs?wait=20", request, Idempotency_Key="d")
    assert (found.status, found.body["value"]) == (200, 5)


async def test_a_repeat_with_follow_has_the_stream_of_the_same_run(host: ServedEngine) -> None:
    before = await count(host)
    streams = []
    for _ in range(2):
        reader, writer = await host.connect()
        writer.write(posted("/runs?follow=true", SLOW, Idempotency_Key="e"))
        async with asyncio.timeout(30):
            streams.append(await reader.read())
        writer.close()
    for stream in streams:
        assert b"event: finished" in stream
        assert b'"text":"once\\n"' in stream
    assert await count(host) == before + 1


async def test_the_module_s_routes_take_a_key_too(host: ServedEngine) -> None:
    before = await count(host)
    body = {"code": "result = 1 + 1"}
    first, again = [await host.post("/api/v1/exec", body, base=COMPAT_BASE, Idempotency_Key="compat") for _ in range(2)]
    assert first.body["result"] == "2"
    assert again.body == first.body
    other = await host.post("/api/v1/exec", {"code": "result = 3"}, base=COMPAT_BASE, Idempotency_Key="compat")
    assert (other.body["success"], other.body["code"]) == (False, "idempotency_mismatch")
    assert await count(host) == before + 1


async def left(host: ServedEngine, key: str) -> None:
    _, writer = await host.connect()
    writer.write(posted("/runs?wait=60", FOREVER, Idempotency_Key=key))
    await until(lambda: going(host), "the run goes on")
    writer.close()


async def test_who_leaves_does_not_end_the_run_of_who_waits(
    host: ServedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.api.idempotency.RETURN", 0.2)
    _, writer = await host.connect()
    writer.write(posted("/runs?wait=60", FOREVER, Idempotency_Key="f"))
    await until(lambda: going(host), "the run goes on")
    repeat = asyncio.create_task(host.post("/runs?wait=60", FOREVER, Idempotency_Key="f"))
    await until(lambda: host.server.connection_count == 2, "the repeat waits")
    await asyncio.sleep(0.1)
    writer.close()
    await asyncio.sleep(0.6)  # it is what is tested: by then the run would have been ended
    (run_id,) = going(host)
    await host.engine.runs.cancel(run_id, host.engine.owner)
    assert (await repeat).body["id"] == run_id


async def test_a_run_whose_clients_do_not_come_again_is_ended(
    host: ServedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.api.idempotency.RETURN", 0.2)
    await left(host, "g")
    (run_id,) = going(host)
    ended = await asyncio.wait_for(host.engine.runs.wait(run_id, host.engine.owner), 20)
    assert ended.outcome is Outcome.CANCELLED
    repeat = await host.post("/runs?wait=60", FOREVER, Idempotency_Key="g")
    assert (repeat.status, repeat.body["code"]) == (409, "idempotency_no_answer")
    assert "its client had left" in repeat.body["error"]


async def test_a_client_that_comes_again_finds_its_run(host: ServedEngine) -> None:
    await left(host, "h")
    (run_id,) = going(host)
    repeat: asyncio.Task[Any] = asyncio.create_task(host.post("/runs?wait=60", FOREVER, Idempotency_Key="h"))
    await asyncio.sleep(0.2)
    await host.engine.runs.cancel(run_id, host.engine.owner)
    assert (await repeat).body["id"] == run_id


@pytest.mark.slow
async def test_another_engine_knows_no_key(tmp_path: Path) -> None:
    values = []
    for _ in range(2):
        async with served_engine(tmp_path / "plant") as served:
            values.append((await served.post("/runs?wait=20", SLOW, Idempotency_Key="i")).body["id"])
    assert values[0] != values[1]
