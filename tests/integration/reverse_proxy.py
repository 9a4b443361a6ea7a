"""A small reverse proxy with TLS that does what lines of an nginx configuration say, one connection to a thread."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h11

PATIENCE = 30.0
PIECE = 65536
NEVER_PASSED_ON = {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-connection"}
"""Hop by hop (RFC 9110, 7.6.1); framing is the same on both sides."""


@dataclass
class Location:
    """A ``location`` block: what it allows, which headers it sets, and whether an answer waits for its end."""

    path: str
    allowed: list[str] = field(default_factory=list)
    denies: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    buffers: bool = True
    """As nginx does unless ``proxy_buffering off`` is said: here until the end, there until a buffer is full."""

    def lets_in(self, address: str) -> bool:
        """By ``allow`` and ``deny all`` (ngx_http_access_module)."""
        return not self.denies or any(
            ipaddress.ip_address(address) in ipaddress.ip_network(net) for net in self.allowed
        )


def locations(configuration: str) -> list[Location]:
    """Read the blocks of a configuration; the longest path goes first, as in nginx."""
    found = []
    for path, block in re.findall(r"location (\S+) \{(.*?)\n *\}", configuration, re.DOTALL):
        headers = {name: value.strip('"') for name, value in re.findall(r"proxy_set_header (\S+) (.+);", block)}
        allowed, buffers = re.findall(r"allow (\S+);", block), "proxy_buffering off;" not in block
        found.append(Location(path, allowed, "deny all;" in block, headers, buffers))
    return sorted(found, key=lambda one: -len(one.path))


class ReverseProxy:
    """Hands on requests to an engine.

    Args:
        configuration: With ``location`` blocks.
        upstream: The engine's port on the loopback, in place of that of ``proxy_pass``.
        context: For TLS.
    """

    def __init__(self, configuration: str, upstream: int, context: ssl.SSLContext) -> None:
        self._locations = locations(configuration)
        self._upstream = upstream
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address[0]), daemon=True).start()

    def _serve(self, connection: socket.socket, address: str) -> None:
        connection.settimeout(PATIENCE)
        with (
            contextlib.suppress(OSError, h11.RemoteProtocolError),
            connection,
            self._context.wrap_socket(connection, server_side=True) as client,
        ):
            self._requests(client, address)

    def _requests(self, client: ssl.SSLSocket, address: str) -> None:
        ours = h11.Connection(h11.SERVER)
        while isinstance(request := _next(ours, client), h11.Request):
            path = request.target.decode().partition("?")[0]
            location = next(one for one in self._locations if path.startswith(one.path))
            if not location.lets_in(address):
                _send(
                    ours, client, h11.Response(status_code=403, headers=[("Content-Length", "0")]), h11.EndOfMessage()
                )
            else:
                with socket.create_connection(("127.0.0.1", self._upstream), PATIENCE) as engine:
                    self._hand_on(request, location, ours, client, engine)
            if ours.our_state is not h11.DONE or ours.their_state is not h11.DONE:
                return
            ours.start_next_cycle()

    def _hand_on(
        self,
        request: h11.Request,
        location: Location,
        ours: h11.Connection,
        client: ssl.SSLSocket,
        engine: socket.socket,
    ) -> None:
        theirs = h11.Connection(h11.CLIENT)
        passed = h11.Request(method=request.method, target=request.target, headers=_headers(request, location))
        _send(theirs, engine, passed)
        while not isinstance(event := _next(ours, client), h11.EndOfMessage):
            _send(theirs, engine, event)
        _send(theirs, engine, h11.EndOfMessage())
        waiting: list[h11.Event] = []
        while not isinstance(event := _next(theirs, engine), h11.EndOfMessage):
            waiting.append(event)
            if not location.buffers:
                _send(ours, client, waiting.pop())
        _send(ours, client, *waiting, h11.EndOfMessage())


def _headers(request: h11.Request, location: Location) -> list[tuple[bytes, bytes]]:
    """What nginx sends: those of the client, but for what is set; an empty value takes a header away."""
    given = dict(request.headers)[b"host"]
    set_ = {name.lower().encode(): value.encode().replace(b"$host", given) for name, value in location.headers.items()}
    kept = [(name, value) for name, value in request.headers if name not in NEVER_PASSED_ON and name not in set_]
    return [*kept, *((name, value) for name, value in set_.items() if value)]


def _next(connection: h11.Connection, source: socket.socket) -> h11.Event | type[h11.NEED_DATA]:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(source.recv(PIECE))
    return event  # type: ignore[return-value]


def _send(connection: h11.Connection, target: socket.socket, *events: h11.Event) -> None:
    for event in events:
        if (data := connection.send(event)) is not None:
            target.sendall(data)


@contextmanager
def reverse_proxy(configuration: str, upstream: int, context: ssl.SSLContext) -> Iterator[ReverseProxy]:
    """Have one for as long as the block lasts."""
    proxy = ReverseProxy(configuration, upstream, context)
    try:
        yield proxy
    finally:
        proxy.close()
