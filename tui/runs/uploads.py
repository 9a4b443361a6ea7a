"""File parameters: read here, with the rights of whoever asks, and handed to the engine as buffers (DESIGN 1.9).

The engine never learns the path: nobody borrows its rights to read a file.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from engine.client.client import EngineClient

CHUNK = 1 << 20

Sent = Callable[[int, int | None], None]
"""Told how many bytes were sent, and of how many if that is known."""


class FileInputError(Exception):
    """A file cannot be read; the message is a sentence."""


async def upload_all(client: EngineClient, files: Mapping[str, Path]) -> dict[str, str]:
    """Upload each file; the ids of the buffers by parameter.

    Raises:
        FileInputError: A file cannot be read; nothing was run.
    """
    return {name: await _upload(client, file) for name, file in files.items()}


async def upload(client: EngineClient, stream: BinaryIO, name: str, sent: Sent | None = None) -> str:
    """Upload what an open file holds; the id of the buffer.

    Raises:
        FileInputError: It became shorter meanwhile.
        OSError: It cannot be read.
    """
    status = os.fstat(stream.fileno())
    # Files of /proc and pipes tell no size; of a growing log the part that is there now is read.
    size = status.st_size if stat.S_ISREG(status.st_mode) and status.st_size else None
    return (await client.upload(name, _chunks(stream, size, sent), size)).id


async def _upload(client: EngineClient, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return await upload(client, stream, file.name)
    except OSError as error:
        raise FileInputError(f"{file} cannot be read: {error.strerror}.") from error


async def _chunks(stream: BinaryIO, size: int | None, sent: Sent | None) -> AsyncIterator[bytes]:
    done = 0
    while size is None or done < size:
        data = await asyncio.to_thread(stream.read, CHUNK if size is None else min(CHUNK, size - done))
        if not data:
            break
        yield data
        done += len(data)
        if sent is not None:
            sent(done, size)
    if size is not None and done < size:
        raise FileInputError(f"{stream.name} became shorter while it was read; run again.")
