"""Reading a request's body, never more of it than allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.types import Receive

from engine.services.access import ServiceError

MAX_JSON = 2 << 20
"""Bytes. A script's text may be 1 MiB, and JSON escapes make it longer."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


async def read(receive: Receive, announced: int | None) -> bytes:
    """The whole body.

    Args:
        receive: Where it comes from.
        announced: Its Content-Length, if the client said it.

    Raises:
        ServiceError: ``too_large``.
    """
    if announced is not None and announced > MAX_JSON:
        raise _too_large()
    body = bytearray()
    async for chunk in chunks(receive):
        body += chunk
        if len(body) > MAX_JSON:
            raise _too_large()
    return bytes(body)


def _too_large() -> ServiceError:
    return ServiceError(
        "too_large",
        f"The request is larger than {MAX_JSON >> 20} MiB.",
        hint="Hand large data to a run as a file: it is uploaded, not sent along.",
        status=413,
    )
