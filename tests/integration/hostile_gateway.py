"""A gateway that says what it likes: an HTTP server of bytes that a test chooses, behind a URL of this host."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo

Answer = Callable[[str, str, bytes], Iterable[bytes] | None]
"""Gets method, target and body; yields the bytes of the answer. None: as an engine would where it says who it is."""

INFO = msgspec.json.encode(
    EngineInfo(version="1", api_version=API_VERSION, pid=1, project="/p", owner="me", started_at=1.0)
)


def said(body: bytes | Any, status: int = 200) -> list[bytes]:
    """An answer with a body: bytes as they are, all else as JSON."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return [head.encode(), data]


def streamed(*events: tuple[str, Any]) -> Iterator[bytes]:
    """Server-sent events, and then nothing more."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    for kind, data in events:
        yield b"event: %s\ndata: %s\n\n" % (
            kind.encode(),
            data if isinstance(data, bytes) else msgspec.json.encode(data),
        )


class HostileGateway:
    """What was asked of it, by method and target.

    Args:
        answer: Of every request.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.headers: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            while request := lines.readline():
                method, target, _ = request.decode().split(" ", 2)
                heads = []
                while (line := lines.readline()).strip():
                    heads.append(line)
                self.headers += heads
                sizes = [int(line.split(b":")[1]) for line in heads if line.lower().startswith(b"content-length:")]
                body = lines.read(sizes[0]) if sizes else b""
                self.asked.append(f"{method} {target}")
                pieces = iter(self.answer(method, target, body) or said(INFO))
                head = next(pieces)
                connection.sendall(head)
                for piece in pieces:
                    connection.sendall(piece)
                if b"Content-Length" not in head:
                    return


@contextmanager
def hostile_gateway(answer: Answer) -> Iterator[HostileGateway]:
    """Serve until the block ends."""
    gateway = HostileGateway(answer)
    thread = threading.Thread(target=gateway.serve, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.listener.shutdown(socket.SHUT_RDWR)
        gateway.listener.close()
        thread.join(30)
