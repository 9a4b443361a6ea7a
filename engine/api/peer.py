"""Who is at the other end of a unix socket, as the kernel says (unix(7), SO_PEERCRED and SO_PEERGROUPS).

The credentials are those of connect(2): they cannot be forged, and a header cannot change them.
"""

from __future__ import annotations

import asyncio

from engine.api.protocol import EngineProtocol
from engine.sockets import peer_of


class PeerProtocol(EngineProtocol):
    """A connection whose peer is known."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # A copy for this connection only: uvicorn copies it again into every request's scope["state"].
        self.app_state = {**self.app_state, "peer": peer_of(transport.get_extra_info("socket"))}
        super().connection_made(transport)
