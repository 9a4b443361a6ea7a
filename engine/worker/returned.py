"""Files that a run's result names: read in the scratch folder and sent to the engine ahead of the RESULT.

A result that is a dict with a list of texts under ``files`` names them. Nothing outside the scratch folder is reached,
no symbolic link is followed, and nothing is waited for: what cannot be sent becomes a sentence in the run's note.
"""

from __future__ import annotations

import errno
import os
import stat
from os import close as _close
from os import fstat as _fstat
from os import open as _open  # by names of our own: scripts may patch those of os
from os import read as _read

from .results import clean
from .wire import CHUNK, CHUNK_DATA, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .channel import Channel

MAX_FILES = 32
MAX_NAME = 255
"""Characters of a name, folders included."""

MAX_PARTS = 8
SHOWN_NAME = 60
"""Characters of a name in a note."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = _FLAGS | os.O_DIRECTORY


class _NotTaken(Exception):
    """Why a file is not sent: the rest of a sentence that begins with its name and "was not kept:"."""


def named_files(value: dict[Any, Any]) -> list[str]:
    """The names under ``files`` of a result, each once; none if there is anything but texts."""
    names = dict.get(value, "files")
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        return []
    return list(dict.fromkeys(str.__str__(name) for name in names))


def name_problem(name: str) -> str | None:
    """What keeps ``name`` from naming a file of a run; None if nothing does."""
    if not name or len(name) > MAX_NAME:
        return f"a name has 1 to {MAX_NAME} characters"
    if not name.isprintable():
        return "its name holds control characters"
    parts = name.split("/")
    if len(parts) > MAX_PARTS:
        return f"it lies deeper than {MAX_PARTS} levels"
    if any(part in ("", ".", "..") for part in parts):
        return "a name is a plain path below the scratch folder"
    return None


def send_files(channel: Channel, scratch: str, names: list[str], limit: int) -> str:
    """Send the files ``names`` as CHUNK frames, ``limit`` bytes of them together at most.

    Returns:
        Why some of them were not sent, one sentence each; empty when all were.
    """
    problems = []
    for name in names[:MAX_FILES]:
        try:
            limit -= _send_file(channel, scratch, name, limit)
        except _NotTaken as reason:
            problems.append(f"The file {clean(name, SHOWN_NAME)!r} was not kept: {reason}.")
    if len(names) > MAX_FILES:
        problems.append(f"The result names {len(names):,} files; a run can leave {MAX_FILES}.")
    return " ".join(problems)


def _send_file(channel: Channel, scratch: str, name: str, limit: int) -> int:
    """Send one file as it is now and return its size; what is written to it meanwhile may be missing."""
    problem = name_problem(name)
    if problem is not None:
        raise _NotTaken(problem)
    fd = _open_below(scratch, name)
    try:
        status = _fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _NotTaken("it is not an ordinary file")
        if status.st_size > limit:
            raise _NotTaken(f"it has {status.st_size:,} bytes, and the run may leave {limit:,} more")
        return _send_content(channel, name.encode(), fd, status.st_size)
    finally:
        _close(fd)


def _send_content(channel: Channel, name: bytes, fd: int, size: int) -> int:
    offset = 0
    while True:
        data = _read_piece(fd, min(CHUNK_DATA, size - offset))
        if data or not offset:
            channel.send(Frame.CHUNK, CHUNK.pack(len(name), offset) + name + data)
        offset += len(data)
        if len(data) < CHUNK_DATA or offset == size:
            return offset


def _read_piece(fd: int, size: int) -> bytes:
    """``size`` bytes, fewer only when the file ends before."""
    data = _read(fd, size)
    while len(data) < size and (more := _read(fd, size - len(data))):
        data += more
    return data


def _open_below(folder: str, name: str) -> int:
    """Open ``name`` component by component, so that no symbolic link on the way is followed."""
    *parents, last = name.split("/")
    at = _opened(folder, _FOLDER)
    try:
        for part in parents:
            outer, at = at, _opened(part, _FOLDER, at)
            _close(outer)
        return _opened(last, _FLAGS, at)
    finally:
        _close(at)


def _opened(name: str, flags: int, folder: int | None = None) -> int:
    try:
        return _open(name, flags, dir_fd=folder)
    except OSError as error:
        raise _NotTaken(_reason(error)) from None


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "there is no such file"
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "its path goes over a symbolic link or something that is no folder"
    if error.errno == errno.ENXIO:
        return "it is not an ordinary file"
    return f"it cannot be opened ({os.strerror(error.errno or 0)})"
