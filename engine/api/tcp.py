"""Connections over TCP: how many there may be, and how long each may keep the engine waiting.

They are accepted here and not by the loop's own server, so that a connection counts before its TLS handshake, and so
that each gets the certificate of its moment.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from engine.api.protocol import EngineProtocol, RefusedRequest, closing_answer, is_reserved
from engine.services.throttle import origin_of

if TYPE_CHECKING:
    import ssl

log = logging.getLogger("engine.api")

ACCEPT_PAUSE = 0.2
"""Seconds without taking connections after the kernel had no room for one more (accept(2): EMFILE and others)."""

OVER_SOON = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})
"""Errors of one connection that was over before it was taken (accept(2))."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Numbers of connections, and seconds."""

    connections: int = 512
    """In all, those in the middle of their handshake included."""

    per_address: int = 384
    """Of one address; of IPv6, one network of 64 bits, which is what one host is given (RFC 7421). A proxy is one."""

    handshake: float = 10.0
    """Until TLS must stand."""

    goodbye: float = 2.0
    """For the client to close its side of TLS, before the connection is cut."""

    head: float = 10.0
    """From the connection, or from the first byte of a later request, until its head must be complete."""

    body: float = 30.0
    """Without a byte of a body; and in all for what is read and dropped of a refused one."""

    unread: float = 60.0
    """For which a client may leave its connection full."""

    stranger: float = 10.0
    """Without a request, where none of the connection's showed a credential that counts."""

    look: float = 1.0
    """Between two looks at all connections, which cost less than a timer for each request."""


class AdmittedConnection:
    """The place of one connection among all.

    Args:
        connections: All of them.
        origin: What the connection is counted as.
    """

    def __init__(self, connections: TcpConnections, origin: str) -> None:
        self._connections = connections
        self.origin = origin
        self.end: Callable[[], object] = lambda: None
        """Cuts the connection."""

    def has_credential(self) -> None:
        """Keep the place also where others come."""
        self._connections.strangers.pop(self, None)

    def leave(self) -> None:
        """Give the place back, once."""
        self.has_credential()
        self._connections.forget(self)


class TcpConnections:
    """All connections over TCP of one engine."""

    def __init__(self, limits: TcpLimits) -> None:
        self.limits = limits
        self._of: Counter[str] = Counter()
        self._admitted: set[AdmittedConnection] = set()
        self.strangers: dict[AdmittedConnection, None] = {}
        """Of connections without a credential that counts, the oldest first."""
        self.open: set[TcpProtocol] = set()

    @property
    def count(self) -> int:
        return self._of.total()

    def admit(self, address: str) -> AdmittedConnection | None:
        """Count one more connection from ``address``; None where there are too many.

        Those without a credential that counts make room for it, the oldest first: it may have one.
        """
        origin = origin_of(address)
        if self._of[origin] >= self.limits.per_address and not self._make_room(origin):
            return None
        if self._of.total() >= self.limits.connections and not self._make_room():
            return None
        self._of[origin] += 1
        admission = AdmittedConnection(self, origin)
        self._admitted.add(admission)
        self.strangers[admission] = None
        return admission

    def forget(self, admission: AdmittedConnection) -> None:
        if admission in self._admitted:
            self._admitted.discard(admission)
            self._of[admission.origin] -= 1
            if not self._of[admission.origin]:
                del self._of[admission.origin]

    def _make_room(self, origin: str = "") -> bool:
        for stranger in self.strangers:
            if origin in ("", stranger.origin):
                log.warning("cut a connection without a credential: there are too many")
                stranger.leave()
                stranger.end()
                return True
        return False

    async def watch(self) -> None:
        """Cut connections that keep the engine waiting, for as long as it goes on."""
        while True:
            await asyncio.sleep(self.limits.look)
            now = asyncio.get_running_loop().time()
            for connection in list(self.open):
                connection.look(now)


class TcpProtocol(EngineProtocol):
    """A connection that must not keep the engine waiting.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app: Gets its requests.
        connections: All of them.
        admission: Its place among them.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app: ASGIApp,
        connections: TcpConnections,
        admission: AdmittedConnection,
    ) -> None:
        super().__init__(config, server_state, app_state={"connection": self})
        self.app = app
        self._all = connections
        self._limits = connections.limits
        self._admission = admission
        self._is_stranger = True
        self._ends = False
        """Whether the connection is over with the answer that is sent and the request that it answers."""
        self._idle_since = 0.0
        self._waits_for = "head"
        self._until = 0.0
        self._full_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wait("head", self._limits.head)
        self._admission.end = transport.abort
        self._all.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.open.discard(self)
        self._admission.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._waits_for:
            self._wait("head", self._limits.head)
        elif self._waits_for == "body" and not self.cycle.response_complete:
            self._wait("body", self._limits.body)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        if self._ends:
            raise RefusedRequest(400, "The connection is over.")  # the parser stops
        super().on_headers_complete()
        if not self._offered:
            self._wait("body", self._limits.body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self._offered:
            self._waits_for = ""
            if self._ends and self.cycle.response_complete:
                self.transport.close()

    def has_credential(self) -> None:
        """Take the connection for one of a caller that may be here."""
        if self._is_stranger:
            self._is_stranger = False
            self._admission.has_credential()

    def ending(self, send: Send) -> Send:
        """Return ``send`` for one request: an answer that refuses a stranger says that the connection ends with it."""

        async def sending(message: Message) -> None:
            if message["type"] != "http.response.start" or not self._refuses(message["status"]):
                await send(message)
                return
            await send({**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]})
            self._ends = True
            if self._running is not None:
                # Closed at once, with a part of the request unread, the connection would be reset, and the answer with
                # it might be lost on its way (RFC 9112, 9.6).
                self._running.keep_alive = True

        return sending

    def _refuses(self, status: int) -> bool:
        return status == 401 or (status >= 400 and self._is_stranger)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        if self._ends and not self.transport.is_closing():
            whole = self._running is self.cycle and not self.cycle.more_body
            if whole or self.pipeline:
                self._drop_requests()
                self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._full_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._full_since = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """End the connection if its client has kept the engine waiting for too long."""
        if self._full_since is not None and now - self._full_since > self._limits.unread:
            log.warning("cut a connection whose client had not read for %g seconds", self._limits.unread)
            self.transport.abort()
        elif self.flow.read_paused:  # the engine does not read: nothing can be expected of the client
            self._until = max(self._until, now + self._limits.look)
        elif self._waits_for and now > self._until and not self.transport.is_closing():
            self._cut()
        elif self._idles_as_stranger and now - self._idle_since > self._limits.stranger:
            self.transport.close()

    @property
    def _idles_as_stranger(self) -> bool:
        return self._is_stranger and not (self._waits_for or self._answering)

    def _cut(self) -> None:
        if self._waits_for == "body":
            if not self.cycle.response_started:
                self._refuse(408, f"No byte of the request's body came for {self._limits.body:g} seconds.")
            self.transport.close()  # also where it has its answer and goes on sending
        elif self._answering:
            return  # a head sent ahead may take its time
        elif self._head_bytes:
            self._refuse(408, f"The request's head was not complete within {self._limits.head:g} seconds.")
        else:
            self.transport.close()

    def _wait(self, what: str, seconds: float) -> None:
        self._waits_for, self._until = what, self.loop.time() + seconds


class TcpListener:
    """Takes connections of one listening socket.

    Args:
        sock: Listens, non-blocking.
        connections: Counts them.
        protocol: Makes what serves a connection; gets its place among all.
        context: What the handshake of the next connection is made with; None for plain connections.
    """

    def __init__(
        self,
        sock: socket.socket,
        connections: TcpConnections,
        protocol: Callable[[AdmittedConnection], TcpProtocol],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._sock = sock
        self._connections = connections
        self._protocol = protocol
        self._context = context
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept(), name="TCP listener")

    def close(self) -> None:
        """Take no more connections; those that are open stay."""
        self._accepting.cancel()
        for handshake in self._handshakes:
            handshake.cancel()
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._sock)
            except OSError as error:
                if error.errno not in OVER_SOON:
                    log.warning("cannot take a connection: %s", error.strerror)
                    await asyncio.sleep(ACCEPT_PAUSE)
                continue
            self._take(sock, str(address[0]))

    def _take(self, sock: socket.socket, address: str) -> None:
        context = self._context()
        admission = None if is_reserved(sock.fileno()) else self._connections.admit(address)
        if admission is None:
            _turn_away(sock, plain=context is None)
            return
        task = asyncio.create_task(self._serve(sock, context, admission))
        admission.end = task.cancel
        self._handshakes.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._handshakes.discard(task)
            if task.cancelled():  # it may not even have begun
                admission.leave()
                sock.close()

        task.add_done_callback(ended)

    async def _serve(self, sock: socket.socket, context: ssl.SSLContext | None, admission: AdmittedConnection) -> None:
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            limits = self._connections.limits
            seconds = {"ssl_handshake_timeout": limits.handshake, "ssl_shutdown_timeout": limits.goodbye}
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(admission), sock, ssl=context, **({} if context is None else seconds)
            )
        except OSError as error:  # ssl.SSLError, too
            admission.leave()
            sock.close()
            log.debug("a connection did not come about: %s", error)
        except BaseException:
            admission.leave()
            sock.close()
            raise


def _turn_away(sock: socket.socket, *, plain: bool) -> None:
    """Say that there are too many connections, where that can be said without a handshake."""
    log.warning("turned a connection away: there are too many")
    with sock:
        if plain:
            answer = closing_answer(503, "The engine has too many connections.", "busy", b"retry-after: 1\r\n")
            try:
                sock.setblocking(False)
                sock.send(answer)
            except OSError:
                return
