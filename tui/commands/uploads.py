"""``--file NAME=PATH``: read here, with the caller's rights, and sent to the engine as a buffer.

The engine never learns the path: nobody borrows its rights to read a file.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from engine.client import EngineClient
from tui.commands import exit_codes
from tui.commands.invocation import CommandError
from tui.commands.streams import Streams
from tui.formats import size as size_text

CHUNK = 256 * 1024
QUIET_SECONDS = 0.5
"""A transfer that is done by then shows no progress."""


async def upload_files(client: EngineClient, files: Mapping[str, str], streams: Streams) -> dict[str, str]:
    """Send every file; returns the buffers' ids by parameter name.

    Args:
        client: Connected.
        files: Paths by parameter name; ``-`` is the standard input.
        streams: For the progress of a slow transfer, if stderr is a terminal.

    Raises:
        CommandError: A file cannot be read.
    """
    sent: dict[str, str] = {}
    for name, path in files.items():
        with _open(path) as file:
            length = _length(file)
            chunks = _progress(_read(file, path, length), name, length, streams)
            sent[name] = (await client.upload(os.path.basename(path), chunks, length)).id
    return sent


def _open(path: str) -> BinaryIO:
    try:
        if path == "-":
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
        return open(os.path.expanduser(path), "rb", buffering=0)
    except OSError as error:
        raise _unreadable(path, error) from None


def _length(file: BinaryIO) -> int | None:
    """The size of a regular file; None where only reading tells, as for pipes and the files of /proc, which say 0."""
    found = os.fstat(file.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_size else None


def _read(file: BinaryIO, path: str, length: int | None) -> Iterator[bytes]:
    """The content, up to ``length``: a log that grows meanwhile is cut where it was when we looked."""
    left = length
    while left is None or left > 0:
        try:
            data = file.read(CHUNK if left is None else min(CHUNK, left))
        except OSError as error:
            raise _unreadable(path, error) from None
        if not data:
            break
        if left is not None:
            left -= len(data)
        yield data
    if left:
        raise CommandError(f"{path} became shorter while it was read; try again")


def _progress(chunks: Iterator[bytes], name: str, length: int | None, streams: Streams) -> Iterator[bytes]:
    """Pass ``chunks`` on, and tell a waiting person how far they are."""
    begun = shown = time.monotonic()
    sent = 0
    for chunk in chunks:
        yield chunk
        sent += len(chunk)
        now = time.monotonic()
        if streams.err.is_terminal and now - begun > QUIET_SECONDS and now - shown > 0.1:
            shown = now
            streams.err.overwrite(f"sending {name}: {size_text(sent)}{f' of {size_text(length)}' if length else ''}")
    if shown > begun:
        streams.err.overwrite("")


def _unreadable(path: str, error: OSError) -> CommandError:
    return CommandError(f"{path} cannot be read: {error.strerror}", exit_code=exit_codes.USAGE, code="unreadable")
