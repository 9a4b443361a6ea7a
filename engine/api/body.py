"""Reading a request's body, never more of it than allowed, compressed or not (gzip, RFC 1952)."""

from __future__ import annotations

import gc
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

from starlette.types import Receive

from engine.api.load import RequestShare
from engine.services.access import ServiceError

MAX_JSON = 16 << 20
"""Bytes, decompressed. A table of 50,000 rows and 4 columns has 2 MiB."""

LARGE = 256 << 10
"""Bytes from which on decoding takes so long that it matters."""

PIECE = 1 << 20
"""Bytes that are decompressed at a time."""

IDLE = 1 << 20
"""Bytes that a compressed body may have more than what it holds: gzip adds 0.1 percent to what cannot be compressed."""

GZIP = zlib.MAX_WBITS | 16


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


def chunks(receive: Receive, headers: Mapping[bytes, bytes]) -> AsyncIterator[bytes]:
    """Return the body as it arrives, decompressed piece by piece.

    Raises:
        ServiceError: It is compressed in a way that is not known here.
    """
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding in (b"", b"identity"):
        return _received(receive)
    if encoding in (b"gzip", b"x-gzip"):
        return _inflated(_received(receive))
    raise ServiceError(
        "bad_encoding",
        f"The body is encoded as {encoding[:40].decode('latin-1')!r}, which the engine does not read.",
        hint="Send it with Content-Encoding: gzip, or as it is.",
        status=415,
    )


async def read(receive: Receive, headers: Mapping[bytes, bytes], share: RequestShare) -> bytes:
    """Return the whole body.

    Args:
        receive: Where it comes from.
        headers: Of its request.
        share: What it is counted in.

    Raises:
        ServiceError: ``too_large``, or ``busy`` where there is no room for one more large body.
    """
    pieces = chunks(receive, headers)
    announced = int(headers.get(b"content-length", b"0"))
    if announced > MAX_JSON:
        raise _too_large()
    share.check(announced)
    body = bytearray()
    async for piece in pieces:
        if len(body) + len(piece) > MAX_JSON:
            raise _too_large()
        share.hold(len(piece))
        body += piece
    return bytes(body)


@contextmanager
def many_values(data: bytes) -> Iterator[None]:
    """Decode a large body without looking for cycles meanwhile: JSON makes none, and the loop waits.

    16 MiB of rows take 0.14 s so, 0.5 s else.
    """
    if len(data) < LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _received(receive: Receive) -> AsyncGenerator[bytes, None]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


async def _inflated(compressed: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Decompress; several members one after the other are one text, as gzip(1) has it."""
    member = zlib.decompressobj(GZIP)
    begun = False
    taken = given = 0
    async for received in compressed:
        taken += len(received)
        data, piece = received, b""
        # A full piece may be followed by more, also where all of the input is taken.
        while data or len(piece) == PIECE:
            begun = begun or bool(data)
            try:
                piece = member.decompress(data, PIECE)
            except zlib.error:
                raise ServiceError("bad_request", "The body is not what gzip makes.") from None
            data = member.unconsumed_tail
            if member.eof:
                data, member, begun = member.unused_data, zlib.decompressobj(GZIP), False
            if piece:
                given += len(piece)
                yield piece
        if taken > given + IDLE + (given >> 8):  # members that hold nothing cost time all the same
            raise _too_large()
    if begun:
        raise ServiceError("bad_request", "The body ends in the middle of what gzip made.")


def _too_large() -> ServiceError:
    return ServiceError(
        "too_large",
        f"The request is larger than {MAX_JSON >> 20} MiB.",
        hint="Hand large data to a run as a file: it is uploaded, not sent along.",
        status=413,
    )
