"""Server-sent events: written as fast as the client reads, never faster, and over when the engine stops.

A slow client holds up only itself: what it has not read waits in the source's own bounded place (the event ring, a
run's output), not in a queue of this connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Send

log = logging.getLogger("engine.api")

KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment shows that the engine lives."""

SEND_TIMEOUT = 60.0
"""Seconds for which a client may leave its connection full."""

LOOKS = 3
"""How often within these times a stream is looked at."""

FAREWELL = 0.3
"""Seconds for the last events when the engine stops."""

COMMENT = b":\n\n"
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that goes on: encoded events, one or more at a time."""

    events: AsyncGenerator[bytes, None]


def encode(kind: str, data: bytes, event_id: str = "") -> bytes:
    """One event. ``data`` is JSON, so it holds no line break."""
    head = f"id: {event_id}\nevent: {kind}\ndata: " if event_id else f"event: {kind}\ndata: "
    return head.encode() + data + b"\n\n"


async def respond(
    stream: EventStream,
    receive: Receive,
    send: Send,
    stopping: asyncio.Event,
    counts: Callable[[], bool] | None = None,
) -> None:
    """Send ``stream`` until it ends, the client leaves or the engine stops.

    Args:
        stream: What to send.
        receive: Tells when the client leaves.
        send: Where to.
        stopping: Set when the engine stops.
        counts: Whether the caller may still have it; looked at now and then also while nothing happens.
    """
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    writer = _Writer(send)
    pump = asyncio.ensure_future(_pump(stream.events, writer))
    watch = asyncio.ensure_future(writer.watch(counts))
    gone = asyncio.ensure_future(_until_gone(receive))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((pump, watch, gone, stop), return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            await asyncio.wait((pump, watch, gone), timeout=FAREWELL, return_when=asyncio.FIRST_COMPLETED)
        left = gone.done()
    finally:
        for task in (pump, watch, gone, stop):
            task.cancel()
        await asyncio.wait((pump, watch, gone, stop))
    if not _failed(pump) and not _failed(watch) and not left:
        # A connection that is full is cut without an end: nobody reads it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Writer:
    """Sends chunks and knows how long the client has been quiet, or busy with one of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._busy = False

    async def write(self, chunk: bytes) -> None:
        self._busy, self._since = True, self._loop.time()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._busy, self._since = False, self._loop.time()

    async def watch(self, counts: Callable[[], bool] | None) -> None:
        """Comment on silence, until the caller's right ends. A look now and then is cheaper than timers for each chunk.

        Raises:
            TimeoutError: The client leaves its connection full.
        """
        while True:
            await asyncio.sleep(min(KEEP_ALIVE, SEND_TIMEOUT) / LOOKS)
            if counts is not None and not counts():
                return
            quiet = self._loop.time() - self._since
            if self._busy and quiet >= SEND_TIMEOUT:
                raise TimeoutError
            if not self._busy and quiet >= KEEP_ALIVE:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await self.write(COMMENT)


async def _pump(events: AsyncGenerator[bytes, None], writer: _Writer) -> None:
    async with aclosing(events):
        async for chunk in events:
            await writer.write(chunk)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _failed(task: asyncio.Future[None]) -> bool:
    """Whether the stream broke on our side. Its end is then not announced: the client sees the cut and resumes."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, TimeoutError):
        log.warning("closed an event stream whose client had not read for %g seconds", SEND_TIMEOUT)
    elif error is not None:
        log.error("an event stream broke", exc_info=error)
    return error is not None
