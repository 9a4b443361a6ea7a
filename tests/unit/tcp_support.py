"""The small engine of ``api_support`` behind TCP on loopback, with limits that a test sets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from api_support import SmallHost

from engine.api.gate import TcpGate
from engine.api.server import EngineServer
from engine.api.tcp import TcpLimits
from engine.daemon.listening import Address, bind
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError, owner_actor
from engine.sockets import Peer

TOKENS = {
    name: Actor(f"token:{name}", NO_ACCOUNT, Role.ADMIN, token=f"{number:08x}")
    for number, name in enumerate(("alpha", "beta"), start=1)
}


class TwoTokens:
    """Callers: this process's account, and the tokens alpha and beta."""

    def by_peer(self, peer: Peer) -> Actor:
        return owner_actor()

    def by_token(self, text: str, address: str, peer: Peer | None = None) -> Actor:
        if text not in TOKENS:
            raise ServiceError("unauthorized", "This token is not known here.", status=401)
        return TOKENS[text]

    def while_counts(self, actor: Actor) -> None:
        """No token of these is ever revoked."""

    def denied(self, *about: object) -> None:
        """Nothing is put on record."""


class TcpHost(SmallHost):
    """Listens on 127.0.0.1, too, at ``port``."""

    def __init__(
        self,
        folder: Path,
        limits: TcpLimits | None = None,
        *,
        listed: tuple[str, ...] = (),
        context: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        super().__init__(folder)
        self.engine.callers = TwoTokens()
        self.server = EngineServer(self.server.config.loaded_app, limits)
        (self._sock,) = bind(Address("127.0.0.1", 0), tls=False)
        self.port: int = self._sock.getsockname()[1]
        self._listed = listed
        self._context = context

    def open(self) -> None:
        gate = TcpGate(self.server.config.loaded_app, "127.0.0.1", lambda: self._listed)
        self.server.listen_tcp(self._sock, gate, self._context)

    @asynccontextmanager
    async def connection(
        self, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        name = None if context is None else "gatewright-test"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)
        try:
            async with asyncio.timeout(20):
                yield reader, writer
        finally:
            writer.close()

    async def tcp(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes as they are and return what comes back until the connection's end."""
        async with self.connection() as (reader, writer):
            writer.write(data)
            if end:
                writer.write_eof()
            return await reader.read(-1)

    async def ask(self, head: str, body: bytes = b"", *, token: str | None = "alpha") -> tuple[int, Any]:
        """Send one request with these lines of a head; the Host line is among them."""
        sent = f"{head}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        if token is not None:
            sent += f"Authorization: Bearer {token}\r\n"
        answer = await self.tcp(f"{sent}\r\n".encode("latin-1") + body)
        head_part, _, content = answer.partition(b"\r\n\r\n")
        assert b"access-control" not in head_part.lower()
        assert b"Traceback" not in answer
        return int(head_part.split()[1]), msgspec.json.decode(content)


@asynccontextmanager
async def serving_tcp(folder: Path, limits: TcpLimits | None = None, **more: Any) -> AsyncIterator[TcpHost]:
    host = TcpHost(folder, limits, **more)
    host.open()
    try:
        yield host
    finally:
        host.stop()
        await host.server.shutdown()
        host.engine.buffers.close()
