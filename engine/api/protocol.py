"""HTTP/1.1 of every connection: bounded heads, offers of other protocols passed over, malformed requests explained.

A client may offer to go on in another protocol (``Upgrade: h2c``, RFC 9110, 7.8); a server may ignore the offer.
httptools cannot: it takes what follows the head for the other protocol's, and so the body is lost.
"""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING, Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from engine.models.base import ErrorBody

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

log = logging.getLogger("engine.api")

MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers; the parser itself has no limit."""

TOO_LARGE = f"The request's head is larger than {MAX_HEAD >> 10} KiB."

MAX_HEADERS = 128
"""Headers of one request. Browsers behind two proxies send about forty."""

MAX_DISCARDED = 32 << 20
"""Bytes of a body that are read and dropped after its request was refused, so that the client gets to the answer."""

MAX_WAITING = 16
"""Requests that were sent ahead of the answer to one before them. Each has 2 KiB here, and 18 bytes on the wire."""

OFFER = frozenset({b"upgrade", b"http2-settings"})
"""Headers of an offer, which are also named in ``Connection`` (RFC 7540, 3.2)."""


RESERVED = 64
"""Descriptors that are kept for the engine's own account: strangers cannot lock it out by their number."""


class RefusedRequest(Exception):
    """A request that the parser takes and the engine does not; the connection ends with it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class EngineProtocol(HttpToolsProtocol):
    """uvicorn's protocol with what it lacks for clients that are not ours."""

    _head_bytes = 0
    _received = 0
    """Bytes that came at once, at last."""
    _discarded = 0
    _in_head = True
    _offered = False
    """Whether the head that was just read offers another protocol; it is then read once more without the offer."""
    _refusal: RefusedRequest | None = None
    _running: RequestResponseCycle | None = None
    """The request that the application answers now; ``cycle`` is the last one read."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._drop_requests()
        # uvicorn leaves this timer running when a connection was reset, as it is by every client that had read enough
        # of a stream. The timer would keep the connection's objects for as long as an idle connection may stay open.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._received = len(data)
        self._head_bytes += self._received
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if not self.transport.is_closing():
                self.send_400_response("Invalid HTTP request received")
            return
        if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse(431, TOO_LARGE)

    def _feed(self, data: bytes) -> None:
        """Have the parser read ``data``, and each head with an offer in it once more without that."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._offered:
                    raise httptools.HttpParserError("CONNECT") from None
                data = data[offer.args[0] :]
                self._offered = False
                head = self._head_without_offer()
                # The parser is at its end: what follows would not be HTTP/1.1 to it.
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
            else:
                return

    def _head_without_offer(self) -> bytes:
        """Return the head that was read last, as the parser understood it."""
        lines = [b"%s %s HTTP/%s" % (self._method, self.url, self._version)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [token for token in value.split(b",") if token.strip().lower() not in OFFER]
                if kept:
                    lines.append(b"connection: " + b",".join(kept))
            elif name not in OFFER:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes after a body (a trailer) is no header: it could name another caller (RFC 9110, 6.5.1).
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True
            self._method, self._version = self.parser.get_method(), self.parser.get_http_version().encode()
            return
        self._check_head()
        super().on_headers_complete()
        self._head_bytes = 0

    def _check_head(self) -> None:
        """Raise ``RefusedRequest`` within the parser, which then stops."""
        if max(self._head_bytes, self._received) > MAX_HEAD and self._head_size() > MAX_HEAD:
            self._refusal = RefusedRequest(431, TOO_LARGE)
        elif len(self.headers) > MAX_HEADERS:
            self._refusal = RefusedRequest(431, f"The request has more than {MAX_HEADERS} headers.")
        elif not self.url.startswith(b"/"):
            # A whole address or an authority would name another host than the Host header (RFC 9112, 3.2.2).
            self._refusal = RefusedRequest(400, "The request must name a path.")
        elif [name for name, _ in self.headers].count(b"authorization") > 1:
            self._refusal = RefusedRequest(400, "The request has more than one Authorization header.")
        elif len(self.pipeline) >= MAX_WAITING:
            self._refusal = RefusedRequest(429, f"More than {MAX_WAITING} requests were sent ahead of their answers.")
        else:
            return
        raise self._refusal

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _drop_requests(self) -> None:
        """Tell the application, of all requests and not of the last only, that what it says goes nowhere."""
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in (self._running, self.cycle, *waiting):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED:
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._head_bytes = self._discarded = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._refusal is not None:
            self._refuse(self._refusal.status, self._refusal.sentence)
        else:
            self._refuse(400, msg if msg.endswith(".") else f"{msg}.")

    def _refuse(self, status: int, sentence: str, code: str = "bad_request") -> None:
        """Answer what is no request that could reach the application, and end the connection."""
        log.warning("refused a connection: %s", sentence)
        if not self._answering or not (self.cycle.response_started or self.pipeline):
            self.transport.write(closing_answer(status, sentence, code))
        self._drop_requests()
        self.transport.close()

    @property
    def _answering(self) -> bool:
        """Whether the application has still to answer a request."""
        return self.cycle is not None and not self.cycle.response_complete

    _method: bytes
    _version: bytes
    app_state: dict[str, Any]


def is_reserved(descriptor: int) -> bool:
    """Whether a connection of others would take what is kept: the kernel gives the lowest free number (open(2))."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most != resource.RLIM_INFINITY and descriptor >= most - min(RESERVED, most // 4)


def closing_answer(status: int, sentence: str, code: str, headers: bytes = b"") -> bytes:
    """Return a whole answer after which the connection ends."""
    body = msgspec.json.encode(ErrorBody(error=sentence, code=code))
    head = b"content-type: application/json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n" % (len(body), headers)
    return STATUS_LINE[status] + head + body
