"""What the API says to requests that make no sense, are too large, or come from somebody else."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import socket
import weakref
from typing import Any

import msgspec
import pytest
from api_support import SmallHost, eventually, serving
from ordinary_user import Forked

from engine.api import peer
from engine.api.body import MAX_JSON
from engine.registry.operation import BASE, COMPAT_BASE
from engine.services.access import LONGEST_SENTENCE, ServiceError

NOBODY = 65534


@pytest.fixture
async def host(tmp_path):
    async with serving(tmp_path) as host:
        yield host


async def ask(host: SmallHost, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, Any]:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    answer = await host.raw(head.encode() + body)
    head_part, _, content = answer.partition(b"\r\n\r\n")
    assert b"Traceback" not in answer
    return int(head_part.split()[1]), msgspec.json.decode(content)


async def test_each_base_path_has_its_own_routes(host: SmallHost) -> None:
    status, answer = await ask(host, "GET", f"{BASE}/engine")
    assert (status, answer["pid"]) == (200, os.getpid())
    status, answer = await ask(host, "GET", f"{COMPAT_BASE}/api/v1/example")
    assert (status, answer["success"]) == (200, True)
    for path in (f"{COMPAT_BASE}/api/v1/engine", f"{BASE}/example"):
        assert (await ask(host, "GET", path))[0] == 404


async def test_a_refusal_below_the_modules_base_path_has_the_fields_that_its_clients_read(host: SmallHost) -> None:
    for method, path, status in (("GET", "nothing", 404), ("PUT", "exec", 405)):
        told, answer = await ask(host, method, f"{COMPAT_BASE}/api/v1/{path}")
        assert (told, answer["success"]) == (status, False)
        assert answer["message"] == answer["error"]


async def test_a_name_with_a_line_break_reaches_the_operation(host: SmallHost) -> None:
    for name in ("a%0Ab", "a%0A", "a%C2%85"):
        answer = (await ask(host, "GET", f"{COMPAT_BASE}/api/v1/scripts/load/{name}"))[1]
        assert answer["code"] != "no_route", answer
        answer = (await ask(host, "GET", f"{BASE}/scripts/text/{name}.py"))[1]
        assert answer["code"] != "no_route", answer
    assert (await ask(host, "GET", f"{BASE}/engine%0A"))[0] == 404


async def test_a_token_that_is_not_known_is_refused_with_the_way_to_log_in(host: SmallHost) -> None:
    for path in (f"{BASE}/engine", f"{COMPAT_BASE}/api/v1/version"):
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer nothing\r\n\r\n"
        answer = await host.raw(request.encode())
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'\r\nwww-authenticate: Bearer realm="gatewright"\r\n' in answer
        assert b'"code":"unauthorized"' in answer


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "sentence"),
    [
        ("GET", "/api/v1/nothing", b"", 404, "no_route", "There is nothing at GET '/api/v1/nothing'."),
        ("GET", "/", b"", 404, "no_route", "There is nothing at GET '/'."),
        ("GET", "/api/v1/engine/", b"", 404, "no_route", "There is nothing at GET '/api/v1/engine/'."),
        ("DELETE", "/api/v1/engine", b"", 405, "wrong_method", "DELETE is not possible at '/api/v1/engine'"),
        ("POST", "/api/v1/runs", b"", 400, "bad_request", "The body is not JSON: input data was truncated."),
        ("POST", "/api/v1/runs", b"{", 400, "bad_request", "The body is not JSON: input data was truncated."),
        ("POST", "/api/v1/runs", b"\xff", 400, "bad_request", "The body is not JSON: invalid character (byte 0)."),
        ("POST", "/api/v1/runs", b"[]", 400, "bad_request", "The body is wrong: expected object, got array."),
        ("POST", "/api/v1/runs", b"{}", 400, "bad_request", "The field kind is missing."),
        (
            "POST",
            "/api/v1/runs",
            b'{"kind":"x"}',
            400,
            "bad_request",
            "The field kind is wrong: invalid enum value 'x'.",
        ),
        (
            "POST",
            "/api/v1/runs",
            b'{"kind":"exec","code":1}',
            400,
            "bad_request",
            "The field code is wrong: expected str, got int.",
        ),
        ("POST", "/api/v1/runs", b'{"kind":"exec","variables":' + b"[" * 50_000, 400, "bad_request", ""),
        (
            "POST",
            "/api/v1/runs",
            b'{"kind":"exec","variables":{"a":' + b"[" * 50_000,
            400,
            "bad_request",
            "nested too deeply",
        ),
        (
            "POST",
            "/api/v1/pool/size",
            b'{"size":"x"}',
            400,
            "bad_request",
            "The field size is wrong: expected int, got str.",
        ),
        ("GET", "/api/v1/runs/x", b"", 400, "bad_request", "The field run_id is wrong: expected int, got str."),
        (
            "GET",
            f"/api/v1/runs/{'9' * 5000}",
            b"",
            400,
            "bad_request",
            "The field run_id is wrong: integer value out of range.",
        ),
        ("GET", "/api/v1/runs/-1", b"", 400, "bad_request", "The field run_id is wrong: expected int >= 0."),
        ("GET", "/api/v1/runs?limit=0", b"", 400, "bad_request", "The field limit is wrong: expected int >= 1."),
        ("GET", "/api/v1/runs?before=%ff", b"", 400, "bad_request", "The field before is wrong"),
        ("POST", "/api/v1/buffers", b"x", 400, "bad_request", "The field name is missing."),
        ("GET", "/api/v1/runs/2", b"", 404, "no_run", "There is no run 2."),
    ],
)
async def test_a_wrong_request_is_one_sentence(
    host: SmallHost, method: str, path: str, body: bytes, status: int, code: str, sentence: str
) -> None:
    got, answer = await ask(host, method, path, body)
    assert (got, answer["code"], answer["success"]) == (status, code, False)
    assert sentence in answer["error"]
    assert host.engine.runs.requests == []


async def test_a_body_that_is_not_announced_as_json(host: SmallHost) -> None:
    status, answer = await ask(host, "POST", "/api/v1/runs", b"{}", "Content-Type: text/plain\r\n")
    assert (status, answer["error"]) == (415, "The body must be JSON (Content-Type: application/json).")


async def test_a_body_too_large_is_refused_by_its_announcement(host: SmallHost) -> None:
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_JSON + 1}\r\n\r\n"
    answer = await host.raw(head.encode(), until=b"}")
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert b"larger than 16 MiB" in answer


async def test_a_body_too_large_is_refused_while_it_comes(host: SmallHost) -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    head = b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await host.raw(head + chunk * 17, until=b"}")
    assert b" 413 " in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "rubbish", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00"]
)
async def test_what_is_no_http_is_refused_in_json(host: SmallHost, rubbish: bytes) -> None:
    answer = await host.raw(rubbish)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert msgspec.json.decode(body)["code"] == "bad_request"


async def test_an_endless_head_is_refused(host: SmallHost) -> None:
    answer = await host.raw(b"GET /api/v1/engine HTTP/1.1\r\nX: " + b"x" * 1_000_000, until=b"}")
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_head_has_no_stream(host: SmallHost) -> None:
    answer = await host.raw(b"HEAD /api/v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")


def _ask(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path)
        sock.sendall(b"GET /api/v1/engine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return sock.makefile("rb").read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_account_is_refused_even_when_it_reaches_the_socket(host: SmallHost, tmp_path) -> None:
    way = [folder for folder in tmp_path.parents if "pytest-of-" in str(folder)]
    for folder in (tmp_path, *way, host.paths.private):
        folder.chmod(0o755)
    host.paths.socket.chmod(0o666)
    path = str(host.paths.socket)
    answer = await asyncio.to_thread(Forked(lambda: _ask(path), NOBODY).answer)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"This project belongs to " in answer


def _told_at_second_connection(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.connect(path)
        second.settimeout(20)
        second.connect(path)
        return second.makefile("rb").read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_account_does_not_get_all_connections(
    host: SmallHost, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "MAX_PER_ACCOUNT", 1)
    way = [folder for folder in tmp_path.parents if "pytest-of-" in str(folder)]
    for folder in (tmp_path, *way, host.paths.private):
        folder.chmod(0o755)
    host.paths.socket.chmod(0o666)
    path = str(host.paths.socket)
    answer = await asyncio.to_thread(Forked(lambda: _told_at_second_connection(path), NOBODY).answer)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"This account has too many connections" in answer
    monkeypatch.setattr(peer, "MAX_PER_ACCOUNT", 0)
    assert (await ask(host, "GET", f"{BASE}/engine"))[0] == 200  # the engine's own account has no limit


async def test_a_connection_that_its_client_reset_is_forgotten_at_once(host: SmallHost) -> None:
    """Every run that a client follows ends so; kept for as long as idle connections may live, they add up."""
    kept: list[weakref.ref[Any]] = []
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(host.paths.socket))
            client.send(b"GET /api/v1/engine HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: len(host.server.server_state.connections) == 1)
            kept += map(weakref.ref, host.server.server_state.connections)
            await eventually(lambda client=client: bool(select.select([client], [], [], 0)[0]))
        # What it has not read makes its close a reset (unix(7)).
        await eventually(lambda: host.server.connection_count == 0)
    await eventually(lambda: gc.collect() >= 0 and not any(ref() for ref in kept), 20)


def test_a_sentence_that_quotes_too_much_loses_its_middle() -> None:
    error = ServiceError("no_script", f"There is no script {'x' * (1 << 20)!r}.", status=404)
    assert len(error.message) == LONGEST_SENTENCE
    assert error.message.startswith("There is no script 'xxx")
    assert " … " in error.message
    assert error.message.endswith("xxx'.")
    assert error.body().error == str(error) == error.message
