"""One call, one stream: what every call to an engine is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

from engine import registry
from engine.client.answers import EngineUnreachable, encode, read_answer, unreachable
from engine.client.sse_parser import ServerEvent, SseParser
from engine.client.transport import Connect, Headers, Transport, TransportError
from engine.models import ErrorBody, Model
from engine.registry import Operation

T = TypeVar("T")

ANSWER_TIMEOUT = 60.0
"""Seconds for a whole answer. A durable save on a slow disk takes long; a stopped engine never answers."""

TRANSFER_TIMEOUT = 600.0
"""Seconds for a file, up or down, and for a task."""

SILENCE_TIMEOUT = 45.0
"""Seconds without a byte after which a stream counts as dead: the engine sends a comment every 15."""

RECONNECT_DELAYS = (0.0, 0.1, 0.3, 0.6, 1.0)
"""Seconds to wait before each attempt to resume a broken stream."""


class Calls:
    """The connection of a client.

    Args:
        connect: Opens a connection to the engine; raises OSError where nothing listens.
        client: ``console`` or ``cli``: runs started here are recorded with it.
    """

    def __init__(self, connect: Connect, client: str) -> None:
        self.transport = Transport(connect, [(registry.CLIENT_HEADER, client)])

    async def close(self) -> None:
        """Close every connection; calls and streams that still go on end with ``EngineUnreachable``."""
        await self.transport.close()

    async def call(
        self,
        operation: Operation,
        answer: type[T],
        params: Model | None = None,
        body: Model | None = None,
        patience: float = ANSWER_TIMEOUT,
    ) -> T:
        data = None if body is None else encode(body)
        with unreachable():
            async with (
                asyncio.timeout(patience),
                self.transport.exchange(operation.method, operation.target(params), data) as response,
            ):
                return await read_answer(response, answer)

    async def stream(
        self, operation: Operation, target: str, body: bytes | None = None, headers: Headers = ()
    ) -> AsyncGenerator[ServerEvent, None]:
        """Events until the consumer has enough; the end of the stream is always ``EngineUnreachable``."""
        with unreachable():
            async with self.transport.exchange(operation.method, target, body, headers) as response:
                if response.status >= 400:
                    await read_answer(response, ErrorBody)
                parser = SseParser()
                chunks = response.chunks()
                while True:
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        raise TransportError("it ended the stream")
                    for event in parser.feed(chunk):
                        yield event


class Retry:
    """How often a broken stream is opened again before the engine counts as gone."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._delays = iter(RECONNECT_DELAYS)

    def reset(self) -> None:
        self._delays = iter(RECONNECT_DELAYS)

    async def pause(self, error: EngineUnreachable) -> None:
        delay = next(self._delays, None)
        if delay is None or self._transport.closed:
            raise error
        await asyncio.sleep(delay)
