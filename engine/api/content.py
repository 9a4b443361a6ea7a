"""An answer that is a file's content, which nobody should take for anything else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from starlette.types import Send

OCTETS = b"application/octet-stream"

PIECE = 256 << 10
"""Bytes that are sent at once: the next ones when the client has taken most of those before."""


@dataclass(frozen=True, slots=True)
class Content:
    """Raw bytes under a name that may hold anything."""

    name: str
    data: bytes | memoryview


async def respond(send: Send, status: int, content: Content) -> None:
    """Send it as a download: a browser neither guesses its type nor shows it."""
    headers = [
        (b"content-type", OCTETS),
        (b"content-length", str(len(content.data)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"content-disposition", disposition(content.name).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    with memoryview(content.data) as data:
        for start in range(0, len(data), PIECE):
            piece = bytes(data[start : start + PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def disposition(name: str) -> str:
    """Content-Disposition with the last part of ``name``, once in plain ASCII and once whole (RFC 6266, RFC 8187)."""
    last = name.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", last).lstrip(".") or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"
