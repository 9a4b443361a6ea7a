"""``--file NAME=PATH``: the content goes to the engine, and a person who waits for it sees how far it is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from engine.client.client import EngineClient
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.params import STANDARD_INPUT, standard_input
from tui.commands.streams import Streams
from tui.runs.uploads import FileInputError, upload
from tui.text.formats import size as size_text

STANDARD_INPUT_NAME = "stdin"

QUIET_SECONDS = 0.5
"""A transfer that is done by then shows no progress."""


async def upload_files(client: EngineClient, files: Mapping[str, str], streams: Streams) -> dict[str, str]:
    """Send every file; the buffers' ids by parameter name.

    Args:
        client: Connected.
        files: Paths by parameter name; ``-`` is the standard input.
        streams: For the progress of a slow transfer, if stderr is a terminal.

    Raises:
        CommandError: A file cannot be read.
    """
    return {name: await _upload(client, name, path, os.path.basename(path), streams) for name, path in files.items()}


async def upload_standard_input(client: EngineClient, streams: Streams) -> str:
    """Send all of the standard input, to its end; the buffer's id.

    Raises:
        CommandError: It cannot be read.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        streams.notify("reading the standard input from the terminal; Ctrl+D on an empty line ends it")
    return await _upload(client, STANDARD_INPUT_NAME, STANDARD_INPUT, STANDARD_INPUT_NAME, streams)


async def _upload(client: EngineClient, what: str, path: str, name: str, streams: Streams) -> str:
    progress = _Progress(what, streams)
    try:
        with _opened(path) as file:
            return await upload(client, file, name, progress.show)
    except OSError as error:
        raise _unreadable(f"{path} cannot be read: {error.strerror}") from None
    except FileInputError as error:
        raise _unreadable(str(error)) from None
    finally:
        progress.clear()


class _Progress:
    """One line of stderr, written over and over, and only for a person."""

    def __init__(self, name: str, streams: Streams) -> None:
        self._name = name
        self._streams = streams
        self._next = time.monotonic() + QUIET_SECONDS
        self._shown = False

    def show(self, done: int, size: int | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        self._shown = True
        of_all = f" of {size_text(size)}" if size is not None else ""
        self._streams.err.overwrite(f"sending {self._name}: {size_text(done)}{of_all}")

    def clear(self) -> None:
        if self._shown:
            self._streams.err.overwrite("")


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path == STANDARD_INPUT:
        return nullcontext(standard_input())
    return open(os.path.expanduser(path), "rb")


def _unreadable(sentence: str) -> CommandError:
    return CommandError(sentence, exit_code=exit_codes.USAGE, code="unreadable")
