"""A whole engine behind its API, asked by accounts and by tokens without a socket in between."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import msgspec

from engine import Engine
from engine.api.app import build_app
from engine.api.event_wire import EventWire
from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo
from engine.sockets import Peer


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class AccessHost:
    """Implements ``engine.api.host.EngineHost``."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.wire = EventWire("aa")
        self.stopping = asyncio.Event()
        self.in_flight = 64
        self.app = build_app(self)

    def info(self) -> EngineInfo:
        return EngineInfo(
            version="1",
            api_version=API_VERSION,
            pid=os.getpid(),
            project="/p",
            owner="me",
            started_at=1.0,
            problems=["line2/canary.py is unreadable."],
        )

    def stop(self) -> None:
        self.stopping.set()

    async def ask(
        self,
        method: str,
        target: str,
        *,
        token: str = "",
        peer: Peer | None = None,
        body: Any = None,
        sent: list[Any] | None = None,
    ) -> Answer:
        """Send one request as a client on the network with a token does, or as a peer on the socket.

        ``sent`` gets what is answered as it comes.
        """
        sent = [] if sent is None else sent
        path, _, query = target.partition("?")
        headers = [(b"content-type", b"application/json")] if body is not None else []
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode("latin-1", "replace")))
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.7", 4711),
            "state": {} if peer is None else {"peer": peer},
        }
        received = iter([{"type": "http.request", "body": b"" if body is None else msgspec.json.encode(body)}])

        async def receive() -> Any:
            if (message := next(received, None)) is None:
                await asyncio.Event().wait()
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        async with asyncio.timeout(20):
            await self.app(scope, receive, send)  # type: ignore[arg-type]
        return Answer(
            sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])
        )
