"""A client that offers another protocol (``Upgrade: h2c``, as Java's does each time) is served as others are."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from api_support import SmallHost, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from tcp_support import serving_tcp

from engine.api.body import chunks
from engine.api.protocol import EngineProtocol

JAVA = (
    "Connection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\n"
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    "Host: localhost\r\nUser-Agent: Java-http-client/17.0.9\r\nContent-Type: application/json\r\n"
)
OFFERS = [
    "",
    JAVA,
    "connection: UPGRADE,http2-settings\r\nUPGRADE: h2c\r\nhttp2-settings: AAMA\r\n",
    "Connection: keep-alive\r\nConnection: Upgrade , HTTP2-Settings\r\nuPgRaDe:h2c, HTTP/3.0\r\nHTTP2-Settings:\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n",
    "Upgrade: h2c\r\n",
    "X-Note: Upgrade: h2c\r\n",
]
BODIES = [
    b"",
    b'{"code":"result = 1"}',
    b"\r\n\r\nPOST /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    bytes(range(256)) * 4,
]


class Wire(asyncio.Transport):
    """What the protocol writes to."""

    def __init__(self) -> None:
        super().__init__({"socket": None, "sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Everything is handed over at once."""

    def resume_reading(self) -> None:
        """Everything is handed over at once."""


Seen = list[tuple[str, bytes, list[tuple[bytes, bytes]], bytes]]


async def remember(seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
    body = b"".join([piece async for piece in chunks(receive, {})])
    seen.append((scope["method"], scope["raw_path"], scope["headers"], body))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def understood(pieces: list[bytes], requests: int) -> tuple[Seen, bytes]:
    """What the application gets to see of a stream that arrives in these pieces, and what is answered."""
    seen: Seen = []
    config = uvicorn.Config(partial(remember, seen), ws="none", lifespan="off", log_config=None, interface="asgi3")
    config.load()
    protocol = EngineProtocol(config, uvicorn.Server(config).server_state, {})
    wire = Wire()
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            protocol.data_received(piece)
    for _ in range(20 * requests):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    return seen, wire.written


def request(offer: str, body: bytes, *, chunked: bool) -> bytes:
    head = f"POST /api/v1/runs?x=%2B HTTP/1.1\r\n{offer}X-Last: 1\r\n"
    if chunked:
        sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part) + b"0\r\n\r\n"
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + sent
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@settings(max_examples=100, deadline=None)
@given(
    sent=st.lists(st.tuples(st.sampled_from(OFFERS), st.sampled_from(BODIES), st.booleans()), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 4000), max_size=12),
    bytewise=st.booleans(),
)
def test_any_split_of_the_bytes_gives_the_same_requests(
    sent: list[tuple[str, bytes, bool]], cuts: list[int], bytewise: bool
) -> None:
    stream = b"".join(request(offer, body, chunked=chunked) for offer, body, chunked in sent)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    if bytewise and len(stream) < 1500:
        pieces = [stream[place : place + 1] for place in range(len(stream))]
    seen, answered = asyncio.run(understood(pieces, len(sent)))
    assert answered.count(b"HTTP/1.1 200 OK") == len(sent)
    assert [(method, path, body) for method, path, _, body in seen] == [
        ("POST", b"/api/v1/runs", body) for _, body, _ in sent
    ]
    for (_, _, headers, _), (offer, _, _) in zip(seen, sent, strict=True):
        names = {name for name, _ in headers}
        assert b"x-last" in names
        assert b"http2-settings" not in names
        assert (b"upgrade" in names) == (offer == "Upgrade: h2c\r\n")  # without Connection it is no offer
        assert (b"host" in names) == ("Host" in offer)


def test_connection_keeps_what_is_no_offer() -> None:
    head = b"GET / HTTP/1.1\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
    seen, answered = asyncio.run(understood([head], 1))
    assert seen[0][2] == [(b"connection", b"close")]
    assert b"\r\nconnection: close\r\n" in answered


def test_a_value_that_goes_on_in_the_next_line_stays_one_header() -> None:
    head = (
        b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Long: a\r\n b: c\r\nContent-Length: 2\r\n\r\nok"
    )
    for size in (1, 7, len(head)):
        pieces = [head[place : place + size] for place in range(0, len(head), size)]
        seen, answered = asyncio.run(understood(pieces, 1))
        if seen:
            assert seen[0][3] == b"ok"
            assert dict(seen[0][2]).keys() == {b"x-long", b"content-length"}
        else:  # the parser takes no folded lines
            assert answered.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", ["CONNECT localhost:22", "GET http://evil.example/", "OPTIONS *"])
def test_what_names_no_path_is_refused(target: str) -> None:
    seen, answered = asyncio.run(understood([f"{target} HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n".encode()], 1))
    assert seen == []
    assert answered.startswith(b"HTTP/1.1 400 ")


RUN = b'{"kind":"exec","code":"result = 1"}'


async def test_a_java_clients_post_arrives_on_the_unix_socket(tmp_path) -> None:
    async with serving(tmp_path) as host:
        await _post(host)


async def _post(host: SmallHost) -> None:
    head = f"POST /api/v1/runs HTTP/1.1\r\n{JAVA}Content-Length: {len(RUN)}\r\n\r\n".encode()
    end = b"GET /api/v1/engine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await host.raw(head + RUN + end)
    assert answer.count(b"HTTP/1.1 202 ") == 1
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert host.engine.runs.requests[0][0].code == "result = 1"


async def test_a_java_clients_post_arrives_over_tcp(tmp_path) -> None:
    async with serving_tcp(tmp_path) as host:
        status, answer = await host.ask(f"POST /api/v1/runs HTTP/1.1\r\n{JAVA}".rstrip(), RUN)
        assert (status, answer["kind"]) == (202, "exec")
        assert host.engine.runs.requests[0][0].code == "result = 1"
