"""How long a client over TCP may keep the engine waiting, how many there may be, and how much each may ask at once."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import resource
import socket
import ssl
import struct
import zlib
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
import pytest_asyncio
from api_support import chunk, eventually
from tcp_support import TcpHost, serving_tcp

from engine.api.body import MAX_JSON, chunks
from engine.api.load import RequestLoad
from engine.api.protocol import MAX_WAITING, RESERVED
from engine.api.tcp import TcpConnections, TcpLimits
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError

QUICK = TcpLimits(head=0.3, body=0.3, unread=0.5, handshake=0.3, look=0.02)
HEAD = b"GET /api/v1/engine HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alpha\r\n"
POST = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alpha\r\n"
CODE = b'{"kind":"exec","code":"result = 1"}'


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_host(tmp_path_factory):
    async with serving_tcp(tmp_path_factory.mktemp("limits"), QUICK) as host:
        yield host


@pytest_asyncio.fixture(loop_scope="module")
async def host(one_host: TcpHost):
    one_host.engine.runs.requests.clear()
    one_host.in_flight = 32
    yield one_host
    await eventually(lambda: one_host.server.connection_count == 0, 20)


async def test_a_connection_that_says_nothing_is_closed(host: TcpHost) -> None:
    assert await host.tcp(b"") == b""
    await eventually(lambda: host.server.connection_count == 0)


async def test_a_head_that_does_not_come_to_its_end_is_cut(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        answer = asyncio.ensure_future(reader.read(-1))
        sent = 0
        while not answer.done():  # a byte now and then does not help
            writer.write(HEAD[sent % len(HEAD) :][:1])
            sent += 1
            await asyncio.sleep(0.02)
        # A byte sent after the end resets the connection, and with it may go what was not read yet.
        assert isinstance(answer.exception(), ConnectionError) or answer.result().startswith(b"HTTP/1.1 408 ")
    await eventually(lambda: host.server.connection_count == 0)


async def test_a_later_head_on_a_kept_connection_is_cut_too(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"}")
        await asyncio.sleep(2 * QUICK.head)  # idle it may be for longer
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"}")
        writer.write(HEAD)
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_stops_is_answered_408(host: TcpHost) -> None:
    answer = await host.tcp(POST + b"Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"No byte of the request's body came for 0.3 seconds." in answer
    assert host.engine.runs.requests == []
    await eventually(lambda: host.server.connection_count == 0)


async def test_a_slow_body_that_goes_on_is_taken(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        writer.write(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(CODE))
        for place in range(0, len(CODE), 5):
            writer.write(CODE[place : place + 5])
            await asyncio.sleep(0.1)
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 202 ")


async def test_a_refused_body_is_not_read_for_ever(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        writer.write(POST.replace(b"alpha", b"wrong") + b"Transfer-Encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 401 ")
        rest = asyncio.ensure_future(reader.read(-1))
        while not rest.done():
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.02)
        assert isinstance(rest.exception(), ConnectionError) or rest.result() == b""
    await eventually(lambda: host.server.connection_count == 0)


async def test_a_client_that_does_not_read_is_cut(host: TcpHost) -> None:
    host.engine.runs.files["big"] = b"x" * (32 << 20)
    sock = socket.create_connection(("127.0.0.1", host.port))
    with sock:
        sock.sendall(HEAD.replace(b"/engine", b"/runs/1/files/big") + b"\r\n")
        await eventually(lambda: host.server.connection_count == 1)
        await eventually(lambda: host.server.connection_count == 0, 20)


async def test_a_half_closed_connection_is_over(host: TcpHost) -> None:
    assert await host.tcp(HEAD, end=True) == b""
    await eventually(lambda: host.server.connection_count == 0)


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"{}", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400),
        (b"Content-Length: -1\r\n", b"", 400),
        (b"Content-Length: 99999999999999999999\r\n", b"", 400),
        (b"Content-Length: +2\r\n", b"{}", 400),
        (b"Transfer-Encoding: chunked, gzip\r\n", b"", 400),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\n", 400),
        (b"X: y\r\n" * 200, b"", 431),
        (b"X: %s\r\n" % (b"x" * 70_000), b"", 431),
        (b"X\x00: y\r\n", b"", 400),
        (b" X: y\r\n", b"", 400),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_head_that_lies_or_swells_is_refused(host: TcpHost, head: bytes, body: bytes, status: int) -> None:
    answer = await host.tcp(POST + head + b"\r\n" + body)
    # One that may be read two ways must not reach the application in either.
    assert host.engine.runs.requests == []
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["success"] is False


async def test_a_client_that_asks_first_is_told_to_go_on(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        writer.write(POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(CODE))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(CODE)
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 202 ")
        assert len(host.engine.runs.requests) == 1
    # One without leave is refused before it has sent its body.
    refused = await host.tcp(POST.replace(b"alpha", b"no") + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 401 ")


def caller(host: TcpHost, *, token: bytes = b"alpha", address: str = "127.0.0.1") -> socket.socket:
    """A connection that showed a token."""
    sock = socket.create_connection(("127.0.0.1", host.port), source_address=(address, 0))
    sock.sendall(HEAD.replace(b"alpha", token) + b"\r\n")
    return sock


def callers_of(host: TcpHost) -> int:
    return host.server.connection_count - len(host.server._tcp.strangers)


async def test_too_many_connections_are_turned_away(tmp_path) -> None:
    limits = replace(QUICK, head=20, connections=3)
    async with serving_tcp(tmp_path, limits) as host:
        held = [caller(host) for _ in range(3)]
        await eventually(lambda: callers_of(host) == 3)
        answer = await host.tcp(b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: " in answer
        for sock in held:
            # A reset, which is how many of them end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        await eventually(lambda: host.server.connection_count == 0)
        assert (await host.tcp(HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_one_address_does_not_get_all_connections(tmp_path) -> None:
    async with serving_tcp(tmp_path, replace(QUICK, head=20, per_address=2)) as host:
        held = [caller(host) for _ in range(2)]
        await eventually(lambda: callers_of(host) == 2)
        assert (await host.tcp(b"")).startswith(b"HTTP/1.1 503 ")
        held.append(caller(host, address="127.0.0.2"))
        await eventually(lambda: callers_of(host) == 3)
        for sock in held:
            sock.close()


@pytest.mark.parametrize("limit", ["connections", "per_address"])
async def test_strangers_make_room_for_callers(tmp_path, limit: str) -> None:
    limits = replace(QUICK, head=20, **{limit: 3})
    async with serving_tcp(tmp_path, limits) as host, host.connection() as (reader, writer):
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"}")
        strangers = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(20)]
        assert (await host.tcp(HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        for sock in strangers:
            sock.close()


async def test_strangers_make_room_in_the_middle_of_tls(tmp_path) -> None:
    limits = replace(QUICK, handshake=20, connections=3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with serving_tcp(tmp_path, limits, context=lambda: context) as host:
        silent = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(4)]
        assert await asyncio.get_running_loop().run_in_executor(None, silent[0].recv, 1) == b""
        assert host.server._tcp.count <= 3
        for sock in silent:
            sock.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD.replace(b"alpha", b"wrong"), 401),
        (HEAD.replace(b"localhost", b"evil.example"), 403),
        (HEAD + b"Origin: http://evil.example\r\n", 403),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n", 404),
    ],
    ids=["token", "host", "origin", "route"],
)
async def test_what_is_refused_ends_the_connection(host: TcpHost, request_: bytes, status: int) -> None:
    before = host.server.request_count
    async with host.connection() as (reader, writer):
        writer.write((request_ + b"\r\n") * 5)
        answer = await reader.read(-1)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"}")
    assert host.server.request_count == before + 1


async def test_a_refusal_is_read_also_by_who_sends_its_body_later(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        writer.write(POST.replace(b"alpha", b"wrong") + b"Content-Length: 60000\r\n\r\n")
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 401 ")
        for _ in range(6):
            writer.write(b"x" * 10_000)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert await reader.read(-1) == b""  # an end and no reset


async def test_a_caller_keeps_its_connection_after_a_mistake(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        for path, status in ((b"/engine", 200), (b"/nothing", 404), (b"/engine", 200)):
            writer.write(HEAD.replace(b"/engine", path) + b"\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 %d " % status)


async def test_an_answer_is_not_delayed(host: TcpHost) -> None:
    """Nagle's algorithm would hold back the second half of each answer for 40 ms."""
    async with host.connection() as (reader, writer):
        loop, took = asyncio.get_running_loop(), []
        for _ in range(50):
            start = loop.time()
            writer.write(HEAD + b"\r\n")
            await reader.readuntil(b"}")
            took.append(loop.time() - start)
        assert min(took) < 0.03, "of those that the machine did not delay none was quick"


async def test_one_token_has_so_many_requests_under_way(host: TcpHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.load.TURN", 0.1)
    host.in_flight = 2
    writers = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
        writer.write(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(CODE))
        await reader.readuntil(b"\r\n\r\n")  # it is counted by then
        writers.append(writer)
    answer = await host.tcp(HEAD + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: " in answer
    assert b'"code":"busy"' in answer
    status, _ = await host.ask("GET /api/v1/engine HTTP/1.1\r\nHost: localhost", token="beta")
    assert status == 200
    for writer in writers:
        writer.write(CODE)
    await eventually(lambda: len(host.engine.runs.requests) == 2)
    assert (await host.tcp(HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    for writer in writers:
        writer.close()


async def test_a_client_that_leaves_gives_its_share_back(host: TcpHost) -> None:
    host.in_flight = 1
    for _ in range(3):
        async with host.connection() as (reader, writer):
            writer.write(POST + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"{")
        await eventually(lambda: host.server.connection_count == 0)
    assert (await host.ask("GET /api/v1/engine HTTP/1.1\r\nHost: localhost"))[0] == 200


async def test_an_event_stream_takes_no_part_of_it(host: TcpHost) -> None:
    host.in_flight = 1
    async with host.connection() as (reader, writer):
        writer.write(HEAD.replace(b"/engine", b"/events") + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert (await host.ask("GET /api/v1/engine HTTP/1.1\r\nHost: localhost"))[0] == 200


async def test_requests_of_a_burst_have_their_turns_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    load, order = RequestLoad(lambda: 2), list[int]()
    token = Actor("token:scada", NO_ACCOUNT, Role.OPERATOR, "t1")

    async def request(number: int) -> None:
        with load.request() as share:
            await share.count(token)
            order.append(number)
            assert load._of["t1"] <= 2
            await asyncio.sleep(0.001)

    await asyncio.gather(*(request(number) for number in range(100)))
    assert order == list(range(100))
    assert (load._of, load._waiting) == ({}, {})
    # One whose client has left, and one whose turn did not come, leave the others' places alone.
    monkeypatch.setattr("engine.api.load.TURN", 0.05)
    with load.request() as first, load.request() as second:
        await first.count(token)
        await second.count(token)
        left = asyncio.create_task(request(100))
        late = asyncio.create_task(request(101))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(ServiceError, match="2 requests under way"):
            await late
    await request(102)
    assert order[-1] == 102
    assert (load._of, load._waiting) == ({}, {})
    # One that is cancelled in the moment in which its turn comes gives it back.
    with load.request() as first, load.request() as second:
        await first.count(token)
        await second.count(token)
        cancelled = asyncio.create_task(request(103))
        await asyncio.sleep(0)
        first.answered()
        cancelled.cancel()
        await asyncio.wait((cancelled,))
        assert cancelled.cancelled()
    assert (load._of, load._waiting) == ({}, {})


async def test_accounts_have_no_such_limit() -> None:
    load = RequestLoad(lambda: 1)
    account = Actor("me", 1000, Role.ADMIN)
    shares = [load.request() for _ in range(5)]
    for share in shares:
        await share.count(account)


async def test_large_bodies_share_a_budget() -> None:
    load = RequestLoad(lambda: 32, bodies=100)
    with load.request() as first, load.request() as second:
        first.hold(60)
        with pytest.raises(ServiceError) as refused:
            second.check(41)
        assert (refused.value.code, refused.value.status, refused.value.retry_after) == ("busy", 429, 1.0)
        second.hold(40)
        with pytest.raises(ServiceError):
            second.hold(1)
    assert load.bodies_left == 100


LARGE = b'{"kind":"exec","code":"result = 1","variables":{"rows":"%s"}}' % (b"x" * (MAX_JSON - 100))
RUNS = "POST /api/v1/runs HTTP/1.1\r\nHost: localhost"


async def test_a_body_of_16_mib_is_taken_plain_and_compressed(host: TcpHost) -> None:
    for body, encoding in ((LARGE, "identity"), (gzip.compress(LARGE, 1), "gzip"), (gzip.compress(LARGE, 1), "X-GZIP")):
        status, answer = await host.ask(f"{RUNS}\r\nContent-Encoding: {encoding}", body)
        assert status == 202, answer
    assert {len(request.variables["rows"]) for request, _ in host.engine.runs.requests} == {MAX_JSON - 100}


async def test_a_bomb_is_refused_while_it_is_inflated(host: TcpHost) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    body = bomb.compress(bytes(64 << 20)) + bomb.flush()
    assert len(body) < 100_000
    status, answer = await host.ask(f"{RUNS}\r\nContent-Encoding: gzip", body)
    assert (status, answer["code"]) == (413, "too_large")
    # And one within another is not inflated twice.
    status, answer = await host.ask(f"{RUNS}\r\nContent-Encoding: gzip, gzip", gzip.compress(body))
    assert (status, answer["code"]) == (415, "bad_encoding")


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, br", "nonsense\t"])
async def test_other_encodings_are_refused(host: TcpHost, encoding: str) -> None:
    status, answer = await host.ask(f"{RUNS}\r\nContent-Encoding: {encoding}", CODE)
    assert (status, answer["code"]) == (415, "bad_encoding")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (CODE, "The body is not what gzip makes."),
        (gzip.compress(CODE)[:-3], "The body ends in the middle of what gzip made."),
        (gzip.compress(CODE) + b"rubbish", "The body is not what gzip makes."),
        (b"", "The body is not JSON"),
    ],
    ids=["plain", "cut", "rubbish behind", "nothing"],
)
async def test_what_is_no_gzip_is_said(host: TcpHost, body: bytes, sentence: str) -> None:
    status, answer = await host.ask(f"{RUNS}\r\nContent-Encoding: gzip", body)
    assert status == 400
    assert sentence in answer["error"]


async def test_gzip_in_parts_is_one_text(host: TcpHost) -> None:
    body = gzip.compress(CODE[:9]) + gzip.compress(CODE[9:])
    assert (await host.ask(f"{RUNS}\r\nContent-Encoding: gzip", body))[0] == 202


async def test_an_upload_may_be_compressed_too(host: TcpHost) -> None:
    data = bytes(3 << 20)
    head = "POST /api/v1/buffers?name=zeros HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip"
    status, answer = await host.ask(head, gzip.compress(data))
    assert (status, answer["size"]) == (201, len(data))


async def test_the_last_descriptors_are_not_for_strangers(host: TcpHost) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(3 * RESERVED)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + RESERVED // 2, before[1]))
        assert b'"code":"busy"' in await host.tcp(HEAD + b"Connection: close\r\n\r\n")
        for descriptor in taken:
            os.close(descriptor)
        taken.clear()
        assert (await host.tcp(HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)


async def test_too_many_open_files_are_no_fault_of_the_engine(host: TcpHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "memfd_create", full)
    upload = POST.replace(b"/runs", b"/buffers?name=x") + b"Content-Type: application/octet-stream\r\n"
    answer = await host.tcp(upload + b"Connection: close\r\nContent-Length: 1\r\n\r\nx")
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: " in answer
    assert b'"code":"busy"' in answer


async def test_requests_are_not_piled_up_ahead_of_their_answers(host: TcpHost) -> None:
    async with host.connection() as (reader, writer):
        writer.write((HEAD + b"\r\n") * (MAX_WAITING + 1))
        for _ in range(MAX_WAITING + 1):
            await reader.readuntil(b"}")
        before = host.server.request_count
        writer.write((HEAD + b"\r\n") * 3000)
        with suppress(ConnectionResetError):  # what was not read
            await reader.read(-1)
    assert host.server.request_count <= before + 1


async def test_a_stream_ends_with_its_client_also_where_another_request_waits(host: TcpHost) -> None:
    host.engine.runs.items = [[chunk(1)]]
    async with host.connection() as (reader, writer):
        writer.write(HEAD.replace(b"/engine", b"/runs/1/events") + b"\r\n" + HEAD + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await eventually(lambda: host.engine.runs.followers == 1)
        (connection,) = host.server.server_state.connections
        await eventually(lambda: len(connection.pipeline) == 1)
        connection.transport.abort()
        await eventually(lambda: host.engine.runs.followers == 0, 20)


async def test_a_trailer_is_no_header(host: TcpHost) -> None:
    async with host.connection() as (_, writer):
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(CODE), CODE))
        writer.write(b"Authorization: Bearer beta\r\nX: y\r\n\r\n" + POST)
        await eventually(lambda: len(host.engine.runs.requests) == 1)
        (connection,) = host.server.server_state.connections
        names = [name for name, _ in connection._running.scope["headers"]]
        assert names == [b"host", b"authorization", b"transfer-encoding"]


async def test_two_credentials_are_none(host: TcpHost) -> None:
    answer = await host.tcp(HEAD + b"Authorization: Bearer beta\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more than one Authorization header" in answer


async def test_members_that_hold_nothing_have_an_end() -> None:
    received = 0

    async def receive() -> dict[str, object]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": gzip.compress(b"") * 3000, "more_body": received < 100}

    with pytest.raises(ServiceError, match="larger than"):
        async for _ in chunks(receive, {b"content-encoding": b"gzip"}):
            pass
    assert received < 30


async def test_a_silent_stream_ends_with_its_token(host: TcpHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.sse.KEEP_ALIVE", 0.1)
    valid = [True]
    monkeypatch.setattr(host.engine.callers, "while_counts", lambda actor: lambda: valid[0], raising=False)
    host.engine.runs.items = [[chunk(1)]]
    async with host.connection() as (reader, writer):
        writer.write(HEAD.replace(b"/engine", b"/runs/1/events") + b"Connection: close\r\n\r\n")
        await reader.readuntil(b":\n\n\r\n")
        valid[0] = False
        assert (await reader.read(-1)).endswith(b"0\r\n\r\n")


async def test_hosts_behind_a_socket_of_both_families_are_counted_each() -> None:
    connections = TcpConnections(TcpLimits(per_address=1))
    for address in ("::ffff:10.0.0.1", "::ffff:10.0.0.2", "2001:db8::1"):
        assert connections.admit(address) is not None
    assert connections.count == 3
    assert connections.admit("2001:db8::2") is not None, "the same network: the older stranger makes room"
    assert connections.count == 3
