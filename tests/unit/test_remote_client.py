"""The client of an engine elsewhere, over real TLS on the loopback: the same calls and streams, and what goes wrong."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from api_support import SmallHost, chunk, eventually, run_info, serving
from tls_front import TOKEN, Authority, Front, front, token_file

from engine import sockets
from engine.client import https, target
from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.engine_url import parse_url
from engine.client.remote import connect
from engine.client.starter import LaunchError
from engine.models.base import API_VERSION, Event
from engine.models.engine import EngineInfo
from engine.models.runs import RunKind, RunRequest, RunState
from engine.models.scripts import SaveRequest
from engine.registry.engine import ENGINE_INFO, POOL_INFO
from engine.registry.scripts import SCRIPTS_LOAD, SCRIPTS_SAVE, ScriptParams
from engine.services.access import Actor, ServiceError
from engine.services.callers import unauthorized
from engine.sockets import Peer

EXEC = RunRequest(kind=RunKind.EXEC, code="print(1)")
DONE = run_info(state=RunState.FINISHED)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "plant")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SmallHost]:
    async with serving(tmp_path) as host:
        accept(host, TOKEN)
        yield host


def accept(host: SmallHost, token: str) -> None:
    """Let one token count, and no other."""

    def by_token(text: str, address: str, peer: Peer | None) -> Actor:
        if text != token:
            raise unauthorized("This token is not known here.")
        return host.engine.owner

    host.engine.callers.by_token = by_token


@pytest.fixture
async def line(host: SmallHost, authority: Authority) -> AsyncIterator[Front]:
    to_engine = partial(sockets.connect, host.paths, os.geteuid())
    async with front(to_engine, authority.context("DNS:localhost,IP:127.0.0.1")) as line:
        yield line


@asynccontextmanager
async def connected(line: Front, authority: Authority, folder: Path) -> AsyncIterator[EngineClient]:
    url = f"https://localhost:{line.port}"
    async with connect(url, token_file=token_file(folder), ca_file=authority.file, client="cli") as client:
        yield client


@pytest.fixture
async def client(line: Front, authority: Authority, tmp_path: Path) -> AsyncIterator[EngineClient]:
    async with connected(line, authority, tmp_path) as client:
        yield client


async def test_calls_are_typed_and_share_a_connection(host: SmallHost, line: Front, client: EngineClient) -> None:
    for _ in range(5):
        assert (await client.call(ENGINE_INFO)).version == "1"
    assert line.count == 1
    await client.call(SCRIPTS_SAVE, ScriptParams(path="a b/ü.py"), SaveRequest(text="1"))
    assert (await client.call(SCRIPTS_LOAD, ScriptParams(path="a b/ü.py"))).text == "1"
    with pytest.raises(EngineError, match=r"a b/ü\.py has changed"):
        await client.call(SCRIPTS_SAVE, ScriptParams(path="a b/ü.py"), SaveRequest(text="2"))
    host.engine.runs.items = [run_info(), [chunk(0)], DONE]
    assert await client.run_to_end(EXEC) == msgspec.structs.replace(DONE, output="x")
    assert host.engine.runs.requests == [(EXEC, "cli")]


async def test_the_authorities_of_the_environment_count_where_none_are_given(
    line: Front, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, token = f"https://localhost:{line.port}", token_file(tmp_path)
    monkeypatch.setenv("GATEWRIGHT_CA_FILE", str(authority.file))
    async with connect(url, token_file=token) as client:
        assert (await client.call(ENGINE_INFO)).version == "1"
    with pytest.raises(LaunchError, match=r"none\.pem"):
        async with connect(url, token_file=token, ca_file=tmp_path / "none.pem"):
            pass
    monkeypatch.setenv("GATEWRIGHT_CA_FILE", "")
    with pytest.raises(LaunchError):
        async with connect(url, token_file=token):
            pass


async def test_a_dropped_line_is_resumed_and_nothing_is_doubled(
    host: SmallHost, line: Front, client: EngineClient
) -> None:
    host.engine.runs.items = [run_info(), [chunk(0)]]
    bus = host.engine.events
    bus.publish("pool", 0)
    seen: list[object] = []
    events: list[Event] = []

    async def follow() -> None:
        async for item in client.run_and_follow(EXEC):
            seen.append(item)

    async def listen() -> None:
        async for event in client.events(after=0):
            events.append(event)

    following, listening = asyncio.create_task(follow()), asyncio.create_task(listen())
    await eventually(lambda: len(seen) == 2 and len(events) == 1)
    host.engine.runs.items = [run_info(), [chunk(0)], [chunk(1)], DONE]
    line.cut()
    bus.publish("pool", 1)
    await asyncio.wait_for(following, 20)
    await eventually(lambda: len(events) == 2)
    assert [piece for item in seen if isinstance(item, list) for piece in item] == [chunk(0), chunk(1)]
    assert seen[-1] == DONE
    assert [event.seq for event in events] == [1, 2]
    listening.cancel()
    await asyncio.wait({listening})


async def test_a_cancelled_call_and_a_reader_who_had_enough_close_their_connections(
    host: SmallHost, line: Front, client: EngineClient
) -> None:
    gate = asyncio.Event()
    host.engine.scripts.load = lambda path: gate.wait()
    call = asyncio.create_task(client.call(SCRIPTS_LOAD, ScriptParams(path="x.py")))
    await eventually(lambda: len(host.server.server_state.tasks) == 1)
    call.cancel()
    await asyncio.wait({call})
    await eventually(lambda: line.open == 0)
    host.engine.runs.items = [run_info(), [chunk(0)]]
    async with aclosing(client.follow_run(1)) as items:
        assert await anext(items) == run_info()
    await eventually(lambda: host.engine.runs.followers == 0 and line.open == 0)
    assert (await client.call(POOL_INFO)).size == 3
    gate.set()


async def test_closing_the_client_ends_its_streams(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info()]
    stream = client.follow_run(1)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(EngineUnreachable):
        await asyncio.wait_for(waiting, 20)


@pytest.mark.parametrize("size", [None, 3_000_000])
async def test_an_upload_arrives_whole(host: SmallHost, client: EngineClient, size: int | None) -> None:
    data = (bytes(range(256)) * 11_719)[:3_000_000]
    info = await client.upload("data.bin", [data[at : at + 70_000] for at in range(0, len(data), 70_000)], size)
    (buffer,) = await host.engine.buffers.hold([info.id], host.engine.owner)
    assert os.pread(buffer.fd, 4_000_000, 0) == data
    with pytest.raises(EngineUnreachable, match="changed its size meanwhile"):
        await client.upload("x", [b"x" * 100], 200)


async def test_an_upload_that_is_refused_stops_early(client: EngineClient, line: Front) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1 << 14):
            yield b"x" * 65536

    with pytest.raises(EngineError, match="at most 4 MiB"):
        await client.upload("big", endless())
    assert line.received < 64 << 20


async def test_a_new_token_in_the_file_is_taken_up(host: SmallHost, client: EngineClient, tmp_path: Path) -> None:
    accept(host, "another")
    with pytest.raises(EngineError, match="not known here") as caught:
        await client.call(POOL_INFO)
    assert caught.value.status == 401
    token_file(tmp_path, "another")
    assert (await client.call(POOL_INFO)).size == 3
    accept(host, "a third")
    token_file(tmp_path, "a third", 0o640)
    with pytest.raises(EngineUnreachable, match=f"Other accounts may use the token file {tmp_path}/token"):
        await client.call(POOL_INFO)


async def refusal(url: str, token: Path, ca_file: Path | None = None) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        async with connect(url, token_file=token, ca_file=ca_file):
            pass
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


async def test_a_certificate_of_no_known_authority_is_not_trusted(line: Front, authority: Authority, tmp_path: Path):
    url, token = f"https://localhost:{line.port}", token_file(tmp_path)
    error = await refusal(url, token)
    assert (
        error.message == f"The certificate of localhost:{line.port} is not signed by an authority that is trusted here."
    )
    assert "--ca-file" in (error.hint or "")
    other = Authority(tmp_path / "other")
    assert "not signed by an authority" in (await refusal(url, token, other.file)).message
    assert line.received == 0
    assert "holds no certificate" in (await refusal(url, token, token)).message
    assert "cannot be read: No such file" in (await refusal(url, token, tmp_path / "none")).message


@pytest.mark.parametrize(
    ("names", "expired", "sentence"),
    [
        ("DNS:localhost,IP:127.0.0.1", True, "has expired"),
        ("DNS:elsewhere", False, "is for another host than localhost"),
    ],
)
async def test_a_certificate_that_does_not_count_is_told(
    host: SmallHost, authority: Authority, tmp_path: Path, names: str, expired: bool, sentence: str
) -> None:
    to_engine = partial(sockets.connect, host.paths, os.geteuid())
    async with front(to_engine, authority.context(names, expired=expired)) as line:
        error = await refusal(f"https://localhost:{line.port}", token_file(tmp_path), authority.file)
        assert error.message == f"The certificate of localhost:{line.port} {sentence}."
        assert line.received == 0


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that says the same to everybody; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.MonkeyPatch.context():
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "went away before it had answered"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is no engine"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", "is no engine"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "is no engine (HTTP status 404)"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/\r\nContent-Length: 0\r\n\r\n", "is no engine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "in the middle of its answer"),
    ],
    ids=["nothing", "ssh", "html", "404", "redirect", "cut"],
)
async def test_what_is_no_engine_is_told(tmp_path: Path, answer: bytes, sentence: str) -> None:
    async with answering(answer) as url:
        error = await refusal(url, token_file(tmp_path))
        assert sentence in error.message
        assert error.exit_code == 3
        assert ("redirects to another address" in (error.hint or "")) == (b" 302 " in answer)
        assert "does not speak TLS" in (await refusal(url.replace("http:", "https:"), token_file(tmp_path))).message


async def test_where_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = await refusal(f"https://127.0.0.1:{port}", token_file(tmp_path))
    assert error.message == f"The engine at 127.0.0.1:{port} cannot be reached: Connection refused."


async def test_an_engine_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr(target, "HANDSHAKE_TIMEOUT", 0.3)

    left: list[asyncio.Event] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left.append(gone := asyncio.Event())
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        silent = await refusal(f"http://{place}", token_file(tmp_path))
        no_tls = await refusal(f"https://{place}", token_file(tmp_path))
        await asyncio.gather(*(gone.wait() for gone in left))
    assert silent.message == f"The engine of {place} does not answer."
    assert no_tls.message == f"The engine at {place} cannot be reached: it does not answer."


async def test_a_token_that_is_not_taken_names_its_file(
    host: SmallHost, line: Front, authority, tmp_path: Path
) -> None:
    accept(host, "another")
    error = await refusal(f"https://localhost:{line.port}", token_file(tmp_path), authority.file)
    assert error.exit_code == 4
    assert str(tmp_path / "token") in (error.hint or "")


@pytest.mark.parametrize(("mode", "sentence"), [(0o644, "Other accounts may use"), (0o660, "Other accounts may use")])
async def test_a_token_file_that_others_may_use_is_refused(line: Front, tmp_path: Path, mode: int, sentence: str):
    error = await refusal(f"https://localhost:{line.port}", token_file(tmp_path, mode=mode))
    assert sentence in error.message
    assert "chmod 600" in (error.hint or "")
    assert line.count == 0


async def test_token_files_that_hold_none_are_refused(tmp_path: Path) -> None:
    url = "https://127.0.0.1:1"
    assert "No such file" in (await refusal(url, tmp_path / "none")).message
    assert "no ordinary file" in (await refusal(url, tmp_path)).message
    for text in ("", "two words", "nul\0", "é"):
        assert "holds no token" in (await refusal(url, token_file(tmp_path, text))).message
    if os.geteuid() == 0:
        file = token_file(tmp_path)
        os.chown(file, 12_345, 12_345)
        assert "belongs to another account" in (await refusal(url, file)).message


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://192.0.2.1:9089", "Plain http to 192.0.2.1 would show the token"),
        ("http://gw-02:9089", "Plain http to gw-02 would show the token"),
        ("http://127.0.0.1.example:9089", "would show the token"),
        ("ftp://localhost", "none of an engine"),
        ("localhost:9089", "none of an engine"),
        ("https://", "none of an engine"),
        ("https://a:b@localhost:1", "a name or a password"),
        ("https://localhost:1/x", "goes on behind"),
        ("https://localhost:1?x", "goes on behind"),
        ("https://localhost:99999", "cannot be understood"),
        ("https://a..b:1", "cannot be understood"),
        ("https://local host", "none of an engine"),
    ],
)
async def test_a_url_that_would_not_do_is_refused_before_anything_is_sent(
    tmp_path: Path, url: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connects(*_: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", connects)
    assert sentence in (await refusal(url, token_file(tmp_path))).message


def test_addresses_of_this_host_may_do_without_tls() -> None:
    for url in ("http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost:9089/"):
        assert parse_url(url).base == url.rstrip("/")
    assert parse_url("https://[2001:db8::1]").port == 443
    assert parse_url("https://Zähler-02:9089").base == "https://xn--zhler-02-0za:9089"


async def test_no_proxy_of_the_environment_gets_the_token(
    host: SmallHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with front(partial(sockets.connect, host.paths, os.geteuid())) as line, answering(b"") as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        async with connect(f"http://127.0.0.1:{line.port}", token_file=token_file(tmp_path)) as client:
            assert (await client.call(POOL_INFO)).size == 3


async def test_an_engine_of_another_version_is_told_and_left_alone(host: SmallHost, line, authority, tmp_path) -> None:
    info = host.info
    for version, sentence in ((API_VERSION + 1, "a newer version (1)"), (API_VERSION - 1, "an older version (1)")):
        answer = {**{name: getattr(info(), name) for name in EngineInfo.__struct_fields__}, "api_version": version}
        host.info = lambda answer=answer: EngineInfo(**answer)
        error = await refusal(f"https://localhost:{line.port}", token_file(tmp_path), authority.file)
        assert sentence in error.message
    assert not host.stopping.is_set()


async def test_a_cancelled_run_to_its_end_is_cancelled_in_the_engine(host: SmallHost, client: EngineClient) -> None:
    host.engine.runs.items = [run_info()]
    waiting = asyncio.create_task(client.run_to_end(EXEC))
    await eventually(lambda: host.engine.runs.followers == 1)
    called: list[object] = []
    real = client.call
    client.call = lambda operation, *rest, **more: called.append(operation.name) or real(operation, *rest, **more)  # type: ignore[method-assign]
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert called == ["runs.cancel"]


@pytest.mark.parametrize("status", [401, 429])
async def test_a_refused_login_is_a_refusal_with_a_hint_for_this_client(
    host: SmallHost, line: Front, authority: Authority, client: EngineClient, tmp_path: Path, status: int
) -> None:
    def refuse(text: str, address: str, peer: Peer | None) -> Actor:
        if status == 401:
            raise unauthorized("This token is not known here.")
        raise ServiceError("throttled", "Too many tokens were refused.", hint="Correct it.", status=429)

    await client.call(POOL_INFO)
    host.engine.callers.by_token = refuse
    with pytest.raises(EngineError) as refused:
        await client.call(POOL_INFO)
    told = await refusal(f"https://localhost:{line.port}", tmp_path / "token", authority.file)
    for error in (refused.value, told):
        assert str(tmp_path / "token") in (error.hint or "")
        assert "Authorization" not in (error.hint or "")
    assert told.exit_code == 4
