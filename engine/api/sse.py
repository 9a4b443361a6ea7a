"""Server-sent events: written as fast as the client reads, never faster, and over when the engine stops.

A slow client holds up only itself: what it has not read waits in the source's own bounded place (the event ring, a
run's output), not in a queue of this connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Send

log = logging.getLogger("engine.api")

KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment shows that the engine lives."""

SEND_TIMEOUT = 60.0
"""Seconds for which a client may leave its connection full."""

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


async def respond(stream: EventStream, receive: Receive, send: Send, stopping: asyncio.Event) -> None:
    """Send ``stream`` until it ends, the client leaves or the engine stops."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    pump = asyncio.ensure_future(_pump(stream.events, send))
    gone = asyncio.ensure_future(_until_gone(receive))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((pump, gone, stop), return_when=asyncio.FIRST_COMPLETED)
        if not pump.done() and not gone.done():
            await asyncio.wait((pump, gone), timeout=FAREWELL, return_when=asyncio.FIRST_COMPLETED)
        left = gone.done()
    finally:
        for task in (pump, gone, stop):
            task.cancel()
        await asyncio.wait((pump, gone, stop))
    if not _failed(pump) and not left:
        # A connection that is full is cut without an end: nobody reads it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _failed(pump: asyncio.Future[None]) -> bool:
    """Whether the stream broke on our side. Its end is then not announced: the client sees the cut and resumes."""
    error = None if pump.cancelled() else pump.exception()
    if isinstance(error, TimeoutError):
        log.warning("closed an event stream whose client had not read for %g seconds", SEND_TIMEOUT)
    elif error is not None:
        log.error("an event stream broke", exc_info=error)
    return error is not None


async def _pump(events: AsyncGenerator[bytes, None], send: Send) -> None:
    async with aclosing(events):
        following = asyncio.ensure_future(anext(events, b""))
        try:
            while True:
                done, _ = await asyncio.wait((following,), timeout=KEEP_ALIVE)
                chunk = following.result() if done else COMMENT
                if not chunk:
                    return
                if done:
                    following = asyncio.ensure_future(anext(events, b""))
                async with asyncio.timeout(SEND_TIMEOUT):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            following.cancel()
            await asyncio.wait((following,))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
