"""uvicorn's server without its clock, its signals and its sockets: those are the daemon's."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

from engine.api.peer import PeerProtocol
from engine.sockets import BACKLOG

KEEP_ALIVE = 75
GRACE = 2
"""Seconds for requests that are being answered when the engine stops."""


class EngineServer(uvicorn.Server):
    """Serves ``app`` on unix sockets until ``shutdown``. Call from the event loop."""

    def __init__(self, app: ASGIApp) -> None:
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

    @property
    def connection_count(self) -> int:
        return len(self.server_state.connections)

    @property
    def request_count(self) -> int:
        return self.server_state.total_requests

    async def listen(self, sock: socket.socket) -> None:
        """Take connections from ``sock`` and no more from the one before; connections that are open stay."""
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        self.servers = [await loop.create_unix_server(self._protocol, sock=sock, backlog=BACKLOG)]

    def _protocol(self) -> PeerProtocol:
        return PeerProtocol(config=self.config, server_state=self.server_state, app_state={})
