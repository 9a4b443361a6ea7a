"""File parameters: read here, with the rights of whoever sits at the console, and handed to the engine as buffers (DESIGN 1.9)."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO

from engine.client import EngineClient

CHUNK = 1 << 20


class FileInputError(Exception):
    """A file cannot be read; the message is a sentence."""


async def upload_all(client: EngineClient, files: Mapping[str, Path]) -> dict[str, str]:
    """Upload each file; the ids of the buffers by parameter.

    Raises:
        FileInputError: A file cannot be read; nothing was run.
    """
    return {name: await _upload(client, file) for name, file in files.items()}


async def _upload(client: EngineClient, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            # Files of /proc and pipes tell no size; of a growing log the part that is there now is read.
            size = status.st_size if stat.S_ISREG(status.st_mode) and status.st_size else None
            return (await client.upload(file.name, _chunks(stream, size), size)).id
    except OSError as error:
        raise FileInputError(f"{file} cannot be read: {error.strerror}.") from error


async def _chunks(stream: BinaryIO, size: int | None) -> AsyncIterator[bytes]:
    left = size
    while left is None or left > 0:
        data = await asyncio.to_thread(stream.read, CHUNK if left is None else min(CHUNK, left))
        if not data:
            break
        if left is not None:
            left -= len(data)
        yield data
    if left:
        raise FileInputError(f"{stream.name} became shorter while it was read; run again.")
