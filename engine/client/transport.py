"""What carries requests to an engine, and the carrier over asyncio's streams: the HTTP/1.1 that one engine needs.

A connection is used again only when an exchange ended exactly where it should. Whatever else happens (an error, a
timeout, a cancelled task, a reader who had enough) closes it, so that no answer can reach the wrong request.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import h11

from engine.registry.operation import CLIENT_HEADER

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]
Headers = Sequence[tuple[str, str]]

MAX_IDLE = 4
"""Connections kept for the next request."""

MAX_IDLE_AGE = 20.0
"""Seconds; well below the engine's own keep-alive of 75, so that a request never meets a connection being closed."""

READ_SIZE = 64 << 10


class TransportError(Exception):
    """The exchange broke. The message is the sentence for the user: never a word of a library's."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class EngineLostError(TransportError):
    """The engine took the request and went away before it answered: the request may have been carried out."""


BEFORE_ANSWER = "The engine went away before it had answered."
IN_ANSWER = "The engine went away in the middle of its answer."
NO_ANSWER = "What answers at the engine's place is no engine."


class Response:
    """The head of an answer, and its body to be read once.

    Args:
        status: HTTP's.
        body: Its pieces as they arrive; raises ``TransportError`` where it breaks off.
        login_hint: What the caller can do when its login was refused; None: as the engine says.
    """

    def __init__(self, status: int, body: AsyncIterator[bytes], login_hint: str | None = None) -> None:
        self.status = status
        self.login_hint = login_hint
        self._body = body

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return self._body

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            TransportError: It broke off, or has more than ``limit`` bytes.
        """
        body = bytearray()
        async for chunk in self._body:
            body += chunk
            if len(body) > limit:
                raise TransportError(f"The engine's answer is larger than {limit >> 20} MiB.")
        return bytes(body)


class Transport(Protocol):
    """Carries exchanges with one engine. Usable from several tasks at once; a cancelled one closes its connection."""

    closed: bool
    when_silent: str
    """What a user can do when the engine takes requests and does not answer."""

    def exchange(
        self, method: str, target: str, body: bytes | None = None, headers: Headers = ()
    ) -> AbstractAsyncContextManager[Response]:
        """Send a request and yield its response; a body that is not read to its end closes the connection.

        Raises:
            TransportError: The engine cannot be reached or the exchange broke.
        """

    def upload(
        self, method: str, target: str, chunks: Iterable[bytes] | AsyncIterable[bytes], size: int | None
    ) -> AbstractAsyncContextManager[Response]:
        """Like ``exchange`` with a body sent piece by piece; an early answer, which is a refusal, ends the sending."""

    async def close(self) -> None:
        """Close every connection, also those in use: their readers see the exchange break."""


class SocketTransport:
    """Exchanges with one engine over streams of asyncio.

    Args:
        connect: Opens a connection to the engine; raises OSError where nothing listens.
        client: ``console`` or ``cli``: runs started here are recorded with it.
        headers: Sent with every request, too.
        host: The engine's, as the Host field has it.
        when_silent: What a user can do when it takes requests and does not answer.
    """

    def __init__(
        self,
        connect: Connect,
        client: str,
        headers: Headers = (),
        host: str = "engine",
        when_silent: str = "See its log; gatewright engine stop and start again if it hangs.",
    ) -> None:
        self._connect = connect
        self.when_silent = when_silent
        self._headers = [("Host", host), (CLIENT_HEADER, client), *headers]
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self.closed = False

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, target: str, body: bytes | None = None, headers: Headers = ()
    ) -> AsyncIterator[Response]:
        sent = [*self._headers, *headers]
        events: list[h11.Event] = []
        if body is not None:
            sent += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            events.append(h11.Data(data=body))
        async with self._connection() as connection:
            await connection.send(h11.Request(method=method, target=target, headers=sent), *events, h11.EndOfMessage())
            head = await connection.response_head()
            yield Response(head.status_code, connection.body())

    @contextlib.asynccontextmanager
    async def upload(
        self, method: str, target: str, chunks: Iterable[bytes] | AsyncIterable[bytes], size: int | None
    ) -> AsyncIterator[Response]:
        length = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))
        headers = [*self._headers, length, ("Content-Type", "application/octet-stream")]
        async with self._connection() as connection:
            await connection.send(h11.Request(method=method, target=target, headers=headers))
            answer = asyncio.ensure_future(connection.response_head())
            try:
                await _send_chunks(connection, chunks, answer)
                head = await answer
            finally:
                answer.cancel()
                await asyncio.wait({answer})
            yield Response(head.status_code, connection.body())

    async def close(self) -> None:
        self.closed = True
        self._idle.clear()
        connections = list(self._open)
        for connection in connections:
            self._drop(connection)
        for connection in connections:
            await connection.closed()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        connection = self._take_idle() or await self._new()
        try:
            yield connection
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.fresh:
                return connection
            self._drop(connection)
        return None

    async def _new(self) -> _Connection:
        if self.closed:
            raise TransportError("The connection to the engine is closed.")
        try:
            connection = _Connection(*await self._connect())
        except OSError as error:
            raise TransportError(f"The engine cannot be reached: {error.strerror or error}.") from error
        self._open.add(connection)
        return connection

    def _give_back(self, connection: _Connection) -> None:
        if self.closed or len(self._idle) >= MAX_IDLE or not connection.rest():
            self._drop(connection)
        else:
            self._idle.append(connection)

    def _drop(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.abort()


class _Connection:
    """One connection and where its protocol stands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._idle_since = 0.0
        self._answered = False
        """Whether the head of an answer has come since the last request."""

    async def send(self, *events: h11.Event) -> None:
        try:
            self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
            await self._writer.drain()
        except OSError as error:
            raise EngineLostError(BEFORE_ANSWER) from error
        except h11.LocalProtocolError as error:
            # Whatever else a request consists of is ours: only a body can be another than was announced.
            raise TransportError("What was to be sent changed its size meanwhile.") from error

    async def next_event(self) -> h11.Event:
        data = b"-"
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(data := await self._reader.read(READ_SIZE))
        except OSError as error:
            raise self._lost() from error
        except h11.RemoteProtocolError as error:
            # An end where none may be is for the parser an event like others, and no engine's answer at all.
            raise (TransportError(NO_ANSWER) if data else self._lost()) from error
        if not isinstance(event, h11.Event):
            raise TransportError(NO_ANSWER)
        return event

    def _lost(self) -> EngineLostError:
        return EngineLostError(IN_ANSWER if self._answered else BEFORE_ANSWER)

    async def response_head(self) -> h11.Response:
        self._answered = False
        event = await self.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = await self.next_event()
        if not isinstance(event, h11.Response):
            raise EngineLostError(BEFORE_ANSWER)
        self._answered = True
        return event

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            event = await self.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise EngineLostError(IN_ANSWER)

    @property
    def fresh(self) -> bool:
        """Whether the next request may use it."""
        closed = self._reader.at_eof() or self._writer.is_closing()
        return not closed and time.monotonic() - self._idle_since < MAX_IDLE_AGE

    def rest(self) -> bool:
        """Make ready for the next exchange, if this one ended where it should."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._idle_since = time.monotonic()
        return True

    def abort(self) -> None:
        self._writer.transport.abort()

    async def closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def _send_chunks(
    connection: _Connection, chunks: Iterable[bytes] | AsyncIterable[bytes], answer: asyncio.Future[h11.Response]
) -> None:
    """Send until done or answered. A connection cut while sending is left for ``answer`` to explain."""
    try:
        async for chunk in _pieces(chunks):
            if answer.done():
                return
            await connection.send(h11.Data(data=chunk))
        await connection.send(h11.EndOfMessage())
    except TransportError:
        if not answer.done():
            raise


async def _pieces(chunks: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
        return
    for chunk in chunks:
        yield chunk
