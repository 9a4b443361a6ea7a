"""What the module's routes do at their limits: time, queue, size, hostile bodies and heads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from served_engine import ServedEngine, served_engine, until
from wire_client import API, WireClient

from engine.api.compat import calls
from engine.models.runs import RunKind, RunRequest

FOREVER = "print('on', flush=True)\nwhile True: pass"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedEngine]:
    async with served_engine(tmp_path_factory.mktemp("limits")) as host:
        yield host


@pytest.fixture
def wire(host: ServedEngine) -> WireClient:
    return WireClient(unix=host.paths.socket)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_call_is_ended_before_its_client_gives_up(
    host: ServedEngine, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls.WAIT == 25.0  # they give up after 30
    monkeypatch.setattr(calls, "WAIT", 0.5)
    answer = await asyncio.to_thread(wire.exec, FOREVER, timeout=60)
    assert (answer["success"], answer["code"], answer["output"]) == (False, "timeout", "on\n")
    assert "0.5 s" in answer["error"]
    assert host.engine.pool.info().running == 0


async def test_a_call_that_finds_no_slot_is_told_when_to_come_again(
    host: ServedEngine, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, owner = host.engine.runs, host.engine.owner
    monkeypatch.setattr(runs, "_api_queue_wait", 0.2)
    request = RunRequest(kind=RunKind.EXEC, code="while True: pass", timeout=60)
    blocking = [await runs.start(request, owner, "cli") for _ in range(3)]
    await until(lambda: host.engine.pool.info().running == 3, "every slot is taken")
    body = json.dumps({"code": "result = 1"}).encode()
    status, headers, text = await asyncio.to_thread(wire.raw, "POST", f"{API}/exec", body)
    for run in blocking:
        await runs.cancel(run.id, owner)
    answer = json.loads(text)
    assert (status, answer["code"], answer["success"]) == (429, "busy", False)
    assert int(headers["retry-after"]) >= 1
    assert answer["error"]


HOSTILE: list[bytes] = [
    b'{"code": "x", "variables": ' + b'{"a":' * 50_000,
    b"[" * 100_000,
    b'{"code": "x", "code": 1}',
    b'{"code": "x", "timeout": 1e999}',
    b'{"code": "x", "timeout": -1}',
    b'{"code": "x", "timeout": "5"}',
    b'{"code": "x", "timeout": true}',
    b'{"code": "x", "mode": 7}',
    b'{"code": "x", "params": [1]}',
    b'{"code": "x", "version": 3.12}',
    b'{"code": "x", "variables": {"v": ' + b"9" * 5_000 + b"}}",
    b'{"code": "\\ud800"}',
    b'\xff\xfe{"code": 1}',
    b'"' + b'\\"' * 200_000,
    b'{"code": ' + b'"",' * 100_000,
    b"\x00",
    b"null",
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: body[:24].decode("latin-1"))
async def test_a_hostile_body_is_one_sentence(wire: WireClient, body: bytes) -> None:
    for path in ("/exec", "/call-script", "/scripts/save"):
        status, _, text = await asyncio.to_thread(wire.raw, "POST", API + path, body)
        answer: dict[str, Any] = json.loads(text)
        assert (status, answer["success"]) == (200, False), answer
        assert answer["error"].isprintable(), answer
        assert answer["code"] != "internal", answer


async def test_a_repeat_with_the_same_key_is_not_done_again(wire: WireClient) -> None:
    body = {"code": "import random; result = random.random()"}
    key = {"Idempotency-Key": "one"}
    first, again = [await asyncio.to_thread(lambda: wire.run("/exec", body, **key)) for _ in range(2)]
    assert (first["runId"], first["result"]) == (again["runId"], again["result"])
    other = await asyncio.to_thread(lambda: wire.run("/exec", body, **{"Idempotency-Key": "two"}))
    assert other["runId"] != first["runId"]
    mixed = await asyncio.to_thread(lambda: wire.run("/exec", {"code": "result = 1"}, **key))
    assert (mixed["success"], mixed["code"]) == (False, "idempotency_mismatch")


async def test_a_body_above_the_limit_is_413(wire: WireClient) -> None:
    body = json.dumps({"code": "x" * (20 << 20)}).encode()
    status, _, text = await asyncio.to_thread(wire.raw, "POST", f"{API}/exec", body)
    assert (status, json.loads(text)["success"]) == (413, False)


async def test_a_java_client_that_offers_http_2_keeps_its_body(wire: WireClient) -> None:
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    }
    answer = await asyncio.to_thread(lambda: wire.post("/exec", {"code": "result = 1 + 1"}, **offer))
    assert answer["result"] == "2"


@pytest.mark.parametrize(
    "target",
    [
        "/scripts/load/", "/scripts/load", "/scripts/delete/", "/scripts/load/%00", "/scripts/load/" + "a" * 5_000,
        "/scripts/load/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/scripts/load/../../../../etc/passwd",
        "/scripts/load/a?x=%ff", "//scripts/list", "/exec/",
    ],
)  # fmt: skip
async def test_a_hostile_path_finds_nothing(wire: WireClient, target: str) -> None:
    method = "DELETE" if "delete" in target else "GET"
    status, _, text = await asyncio.to_thread(wire.raw, method, API + target)
    assert status in (200, 404, 405, 414, 431), text
    answer = json.loads(text)
    assert answer["success"] is False
    assert answer["error"].isprintable()
    assert answer["code"] != "internal"


async def test_an_end_of_another_kind_says_what_it_was(wire: WireClient) -> None:
    for code, kind in (
        ("import os; os._exit(3)", "import_denied"),
        ("import sys; sys.exit(3)", "script_error"),
        ("x = 'a' * (4 << 30)", "memory"),
        ("def f(): f()\nf()", "script_error"),
        ("class E(Exception): pass\nraise E()", "script_error"),
        ("raise ValueError('\x1b[2J')", "script_error"),
    ):
        answer = await asyncio.to_thread(wire.exec, code)
        assert (answer["success"], answer["code"]) == (False, kind), answer
        assert answer["error"].startswith("Python error: "), answer
