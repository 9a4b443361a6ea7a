"""Who is at the other end of a connection, as the kernel says (unix(7), SO_PEERCRED and SO_PEERGROUPS).

The credentials are those of connect(2): they cannot be forged, and a header cannot change them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from engine.models.base import ErrorBody
from engine.sockets import peer_of

log = logging.getLogger("engine.api")

MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers; the parser itself has no limit."""


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's protocol that also knows its peer, bounds a request's head and explains malformed requests in JSON."""

    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        sock = transport.get_extra_info("socket")
        # A copy for this connection only: uvicorn copies it again into every request's scope["state"].
        self.app_state: dict[str, Any] = {**self.app_state, "peer": peer_of(sock)}
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn leaves this timer running when a connection was reset, as it is by every client that had read enough
        # of a stream. The timer would keep the connection's objects for as long as an idle connection may stay open.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse(431, f"The request's head is larger than {MAX_HEAD >> 10} KiB.")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg if msg.endswith(".") else f"{msg}.")

    def _refuse(self, status: int, sentence: str) -> None:
        log.warning("refused a connection: %s", sentence)
        body = msgspec.json.encode(ErrorBody(error=sentence, code="bad_request"))
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
