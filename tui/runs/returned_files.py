"""Files and buffers that a run left, written where the caller wants them and with the caller's rights.

The names come from a script by way of an engine: neither is trusted. Each is walked component by component below the
chosen folder, no symbolic link is followed, and nothing that exists is ever replaced. Console and command line both
write files with this.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from contextlib import aclosing
from typing import BinaryIO

from engine.client.calls import MAX_FILE
from engine.client.client import EngineClient
from engine.models.runs import RunFile, RunInfo
from engine.registry.runs import RUNS_FILE, RunFileParams

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_INNER_FOLDER = _FOLDER | os.O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NotWritten(Exception):
    """A file or the folder for it could not be written; the message says which and why, without a full stop.

    Attributes:
        taken: Something is there already.
    """

    def __init__(self, what: str, error: OSError) -> None:
        self.taken = error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ELOOP)
        super().__init__(f"{what}: {_reason(error)}")


async def save_files(
    client: EngineClient,
    run: RunInfo,
    folder: str,
    *,
    begun: Callable[[RunFile], None],
    written: Callable[[RunFile], None],
) -> None:
    """Write every file of a run into a folder, made if it is missing.

    Args:
        client: Of the engine that has them.
        run: Whose files.
        folder: Where they go.
        begun: Told of each file before it is fetched.
        written: Told of each file that is on disk.

    Raises:
        NotWritten: The folder cannot be used or a file not be written; those told of before are there.
        EngineError: The engine does not hand out a file.
        EngineUnreachable: There is no engine.
    """
    opened = await asyncio.to_thread(open_folder, folder)
    room = MAX_FILE
    try:
        for file in run.files:
            begun(file)
            content = await client.call(RUNS_FILE, RunFileParams(run_id=run.id, name=file.name))
            room -= len(content)
            if room < 0:
                too_much = OSError(errno.EFBIG, f"no run leaves more than {MAX_FILE:,} bytes")
                raise NotWritten(f"{file.name} of run {run.id} was not written", too_much)
            try:
                await asyncio.to_thread(write_file, opened, file.name, content)
            except OSError as error:
                raise NotWritten(f"{file.name} of run {run.id} was not written", error) from None
            written(file)
    finally:
        os.close(opened)


async def save_buffer(client: EngineClient, run_id: int, name: str, path: str) -> int:
    """Write a buffer of a run to a file that is not there yet, piece by piece, and return its bytes.

    Raises:
        NotWritten: The file is there or cannot be written; what was begun is removed.
        EngineError: The engine does not hand the buffer out.
        EngineUnreachable: There is no engine, or it went away meanwhile.
    """
    what = f"the buffer {name} of run {run_id} was not written to {path}"
    size = 0
    try:
        file = await asyncio.to_thread(_new_file, path)
    except OSError as error:
        raise NotWritten(what, error) from None
    try:
        with file:
            async with aclosing(client.download_buffer(run_id, name)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                    size += len(piece)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(file.name)
        if isinstance(error, OSError):
            raise NotWritten(what, error) from None
        raise
    return size


def _new_file(path: str) -> BinaryIO:
    return open(os.path.expanduser(path), "xb")


def open_folder(path: str) -> int:
    """The folder itself is the caller's word: links on the way to it are theirs.

    Raises:
        NotWritten: It cannot be made or opened.
    """
    try:
        os.makedirs(path, exist_ok=True)
        return os.open(path, _FOLDER)
    except OSError as error:
        raise NotWritten(f"the folder {path} cannot be used", error) from None


def write_file(folder: int, name: str, content: bytes) -> None:
    """Write one file below ``folder``; what was begun and failed is removed.

    Raises:
        OSError: It exists, lies behind a symbolic link, or cannot be written.
    """
    *parents, last = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*parents, last)):
        raise OSError(errno.EINVAL, "the name would lead out of the folder")
    at = os.dup(folder)
    try:
        for part in parents:
            outer, at = at, _inner_folder(at, part)
            os.close(outer)
        _create(at, last, content)
    finally:
        os.close(at)


def _inner_folder(folder: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return os.open(name, _INNER_FOLDER, dir_fd=folder)


def _create(folder: int, name: str, content: bytes) -> None:
    fd = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
    try:
        with open(fd, "wb") as file:
            file.write(content)
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise


def _reason(error: OSError) -> str:
    if error.errno == errno.EEXIST:
        return "it exists already"
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return "a file or a symbolic link is where its folder should be"
    return error.strerror or "it failed"
