"""Who is at the other end of a unix socket, as the kernel says (unix(7), SO_PEERCRED and SO_PEERGROUPS).

The credentials are those of connect(2): they cannot be forged, and a header cannot change them.
"""

from __future__ import annotations

import asyncio
import os

from engine.api.protocol import EngineProtocol, is_reserved
from engine.sockets import Peer, peer_of

MAX_PER_ACCOUNT = 256
"""Connections of an account other than the engine's own and root: its files are for all."""


class PeerProtocol(EngineProtocol):
    """A connection whose peer is known."""

    _peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        sock = transport.get_extra_info("socket")
        self._peer = peer = peer_of(sock)
        # A copy for this connection only: uvicorn copies it again into every request's scope["state"].
        self.app_state = {**self.app_state, "peer": peer}
        super().connection_made(transport)
        if peer.uid in (0, os.geteuid()):
            return
        if self._of_account(peer.uid) > MAX_PER_ACCOUNT:
            self._refuse(503, "This account has too many connections to the engine.", "busy")
        elif is_reserved(sock.fileno()):
            self._refuse(503, "The engine has too many connections.", "busy")

    def _of_account(self, uid: int) -> int:
        others = (each._peer for each in self.connections if isinstance(each, PeerProtocol))
        return sum(peer is not None and peer.uid == uid for peer in others)
