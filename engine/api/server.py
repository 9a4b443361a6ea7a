"""uvicorn's server without its clock, its signals and its sockets: those are the daemon's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from engine.api.peer import PeerProtocol
from engine.api.tcp import AdmittedConnection, TcpConnections, TcpLimits, TcpListener, TcpProtocol
from engine.sockets import BACKLOG

if TYPE_CHECKING:
    import ssl

KEEP_ALIVE = 75
GRACE = 2
"""Seconds for requests that are being answered when the engine stops."""


class EngineServer(uvicorn.Server):
    """Serves ``app`` on unix sockets, and over TCP where it is told to, until ``shutdown``. Call from the event loop.

    Args:
        app: Gets every request.
        limits: Of connections over TCP.
    """

    def __init__(self, app: ASGIApp, limits: TcpLimits | None = None) -> None:
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )
        config.load()
        super().__init__(config)
        self.lifespan = config.lifespan_class(config)
        self.servers: list[asyncio.base_events.Server] = []
        self._by_place: dict[str, asyncio.base_events.Server] = {}
        self._tcp = TcpConnections(limits or TcpLimits())
        self._listeners: list[TcpListener] = []
        self._watch: asyncio.Task[None] | None = None

    @property
    def connection_count(self) -> int:
        return len(self.server_state.connections)

    @property
    def request_count(self) -> int:
        return self.server_state.total_requests

    async def listen(self, sock: socket.socket, place: str = "") -> None:
        """Take connections from a unix socket and no more from the one before; connections that are open stay.

        Args:
            sock: Listens.
            place: What it replaces: the socket before it of the same place.
        """
        if place in self._by_place:
            self._by_place[place].close()
        loop = asyncio.get_running_loop()
        self._by_place[place] = await loop.create_unix_server(self._of_peer, sock=sock, backlog=BACKLOG)
        self.servers = list(self._by_place.values())

    def listen_tcp(self, sock: socket.socket, app: ASGIApp, context: Callable[[], ssl.SSLContext | None]) -> None:
        """Take connections over TCP, too.

        Args:
            sock: Listens, non-blocking.
            app: Gets the requests that come by it.
            context: What the next connection's TLS is made with; None without TLS.
        """

        def protocol(admission: AdmittedConnection) -> TcpProtocol:
            return TcpProtocol(self.config, self.server_state, app, self._tcp, admission)

        self._listeners.append(TcpListener(sock, self._tcp, protocol, context))
        if self._watch is None:
            self._watch = asyncio.create_task(self._tcp.watch(), name="slow TCP clients")

    def close_tcp(self) -> None:
        """Take no more connections over TCP; those that are open stay."""
        for listener in self._listeners:
            listener.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.close_tcp()
        if self._watch is not None:
            self._watch.cancel()
        await super().shutdown(sockets)

    def _of_peer(self) -> PeerProtocol:
        return PeerProtocol(config=self.config, server_state=self.server_state, app_state={})
