"""From a request to its actor: who connected, as the kernel says, or which token it carries."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from engine.services.access import Actor
from engine.services.callers import Callers, unauthorized
from engine.sockets import Peer

CHALLENGE = (b"www-authenticate", b'Bearer realm="gatewright"')
"""What an answer 401 must carry (RFC 9110, 11.6.1); Java 11's client fails without it."""


async def actor_of(scope: Scope, headers: Mapping[bytes, bytes], callers: Callers) -> Actor:
    """Return the caller's actor. A token that is sent counts, whatever it came by; else the account of the peer.

    Raises:
        ServiceError: ``unauthorized`` or ``forbidden``.
    """
    peer: Peer | None = scope["state"].get("peer")
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer":
        address = scope["client"][0] if scope.get("client") else ""
        actor = callers.by_token(text.strip(), address, peer)
        if (connection := scope["state"].get("connection")) is not None:
            connection.has_credential()
        return actor
    if peer is None:
        raise unauthorized("This needs a token.")
    if not callers.knows(peer):
        await callers.learn(peer)
    return callers.by_peer(peer)
