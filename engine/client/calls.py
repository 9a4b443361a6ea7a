"""One call, one stream: what every call to an engine is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, TypeVar, overload

from engine.client.answers import EngineUnreachable, encode, read_answer, read_content, unreachable
from engine.client.sse_parser import ServerEvent, SseParser
from engine.client.transport import IN_ANSWER, EngineLostError, Headers, Response, Transport
from engine.models.base import ErrorBody, Model
from engine.registry.operation import NoParams, Operation

A = TypeVar("A")
P = TypeVar("P", bound=Model)
B = TypeVar("B", bound=Model)

MAX_FILE = 256 << 20
"""Bytes of a file that a run left: the most that an engine can be told to keep of one run."""

UNAUTHORIZED, FORBIDDEN = 401, 403

SILENCE_TIMEOUT = 45.0
"""Seconds without a byte after which a stream counts as dead: the engine sends a comment every 15."""

RECONNECT_DELAYS = (0.0, 0.1, 0.3, 0.6, 1.0)
"""Seconds to wait before each attempt to resume a broken stream."""


class Calls:
    """The connection of a client.

    Args:
        transport: Carries its requests to the engine.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.on_doubt: Callable[[], None] | None = None
        """Called when the caller may have another role than before: something was refused, or events were resumed."""

    def _look_at(self, response: Response) -> None:
        if response.status in (UNAUTHORIZED, FORBIDDEN):
            self.doubt()

    def doubt(self) -> None:
        """Say that the caller's role may be another one now."""
        if self.on_doubt is not None:
            self.on_doubt()

    async def close(self) -> None:
        """Close every connection; calls and streams that still go on end with ``EngineUnreachable``."""
        await self.transport.close()

    @overload
    async def call(self, operation: Operation[A, NoParams, None]) -> A: ...

    @overload
    async def call(self, operation: Operation[A, P, None], params: P) -> A: ...

    @overload
    async def call(self, operation: Operation[A, NoParams, B], *, body: B) -> A: ...

    @overload
    async def call(self, operation: Operation[A, P, B], params: P, body: B) -> A: ...

    async def call(self, operation: Operation[Any, Any, Any], params: Any = None, body: Any = None) -> Any:
        """Ask for an operation and return its answer; a cancelled call closes its connection.

        Raises:
            EngineError: The engine refused.
            EngineUnreachable: It cannot be reached, or does not answer within the operation's patience.
        """
        data = None if body is None else encode(body)
        with unreachable(harmless=operation.method == "GET", when_silent=self.transport.when_silent):
            async with (
                asyncio.timeout(operation.patience),
                self.transport.exchange(operation.method, operation.target(params), data) as response,
            ):
                self._look_at(response)
                if operation.raw_answer:
                    return await read_content(response, MAX_FILE)
                if operation.texts:
                    return (await read_content(response, MAX_FILE)).decode()
                return await read_answer(response, operation.answer)

    async def download(self, operation: Operation[bytes, P, Any], params: P, write: Callable[[bytes], object]) -> None:
        """Hand over the content that an operation answers with as it arrives, however much it is.

        Raises:
            EngineError: The engine refused.
            EngineUnreachable: It cannot be reached, or the content broke off: what was handed over is not all.
        """
        with unreachable(harmless=True, when_silent=self.transport.when_silent):
            exchange = self.transport.exchange(operation.method, operation.target(params), None)
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(operation.patience):
                    response = await stack.enter_async_context(exchange)
                self._look_at(response)
                if response.status >= 400:
                    await read_content(response, MAX_FILE)
                chunks = response.chunks()
                while True:
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        return
                    write(chunk)

    async def send(
        self,
        operation: Operation[A, P, Any],
        params: P,
        chunks: Iterable[bytes] | AsyncIterable[bytes],
        size: int | None = None,
    ) -> A:
        """Hand content to an operation that takes a file, and return its answer.

        Raises:
            EngineError: The engine refused.
            EngineUnreachable: It cannot be reached, or does not answer within the operation's patience.
        """
        with unreachable(harmless=False, when_silent=self.transport.when_silent):
            async with (
                asyncio.timeout(operation.patience),
                self.transport.upload(operation.method, operation.target(params), chunks, size) as response,
            ):
                self._look_at(response)
                return await read_answer(response, operation.answer)

    async def stream(
        self, operation: Operation[Any, P, Any], params: P, body: Model | None = None, headers: Headers = ()
    ) -> AsyncGenerator[ServerEvent, None]:
        """Events until the consumer has enough; the end of the stream is always ``EngineUnreachable``."""
        data = None if body is None else encode(body)
        with unreachable(harmless=True, when_silent=self.transport.when_silent):
            async with self.transport.exchange(operation.method, operation.target(params), data, headers) as response:
                self._look_at(response)
                if response.status >= 400:
                    await read_answer(response, ErrorBody)
                parser = SseParser()
                chunks = response.chunks()
                while True:
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        raise EngineLostError(IN_ANSWER)
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
