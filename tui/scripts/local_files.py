"""Files outside the project, read and written with the caller's own rights. No symbolic link is followed.

What stands on the command line is opened as the caller names it; what lies below, component by component.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

MAX_SIZE = 2 << 20
"""Bytes of a script."""
MAX_DEPTH = 16
SUFFIX = ".py"
SKIPPED = frozenset({"__pycache__"})

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalFileError(Exception):
    """One sentence, without a full stop, about a file that cannot be read or written."""


class TakenError(LocalFileError):
    """Another file has that name."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that is to be imported, or why it cannot be."""

    file: str
    """As the caller would name it."""
    path: str
    """Relative to the folder that the caller named; the file's own name if it was named itself."""
    text: str = ""
    problem: str | None = None


def gather(name: str) -> Iterator[LocalFile]:
    """The script that ``name`` is, or every one in the folder that it is, by name."""
    name = name.rstrip("/") or "/"
    try:
        kind = os.lstat(name).st_mode
        if not stat.S_ISDIR(kind):
            yield _read(name, None, name, os.path.basename(name))
            return
        with _opened(name, None) as folder:
            yield from _walk(folder, name, "", 0)
    except OSError as error:
        yield LocalFile(name, "", problem=_reason(error))


def write_new(out: str, path: str, data: bytes) -> bool:
    """Write a file below the folder ``out``, which is made if need be. Nothing is ever overwritten.

    Returns:
        False if a file with exactly this content is there already.

    Raises:
        TakenError: Another file is there.
        LocalFileError: It cannot be written.
    """
    *parts, name = path.split("/")
    if {"", ".", ".."} & {*parts, name}:
        raise LocalFileError("that is no path below a folder")
    try:
        os.makedirs(out, exist_ok=True)
        with ExitStack() as stack:
            folder = stack.enter_context(_opened(os.path.realpath(out), None))
            for part in parts:
                _make_folder(part, folder)
                folder = stack.enter_context(_opened(part, folder))
            try:
                descriptor = os.open(name, _NEW, 0o666, dir_fd=folder)
            except FileExistsError:
                if _content(name, folder) == data:
                    return False
                raise TakenError("another file of that name is there; it was left alone") from None
            _fill(descriptor, name, folder, data)
    except OSError as error:
        raise LocalFileError(_reason(error)) from None
    return True


def _walk(folder: int, shown: str, prefix: str, depth: int) -> Iterator[LocalFile]:
    for entry in sorted(os.listdir(folder)):
        if entry.startswith(".") or entry in SKIPPED:
            continue
        kind = os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(kind):
            yield from _walk_folder(folder, entry, shown, prefix, depth)
        elif entry.endswith(SUFFIX):
            yield _read(entry, folder, f"{shown}/{entry}", prefix + entry)


def _walk_folder(parent: int, name: str, shown: str, prefix: str, depth: int) -> Iterator[LocalFile]:
    file = f"{shown}/{name}"
    if depth >= MAX_DEPTH:
        yield LocalFile(file, "", problem=f"it is more than {MAX_DEPTH} folders deep")
        return
    try:
        with _opened(name, parent) as folder:
            yield from _walk(folder, file, f"{prefix}{name}/", depth + 1)
    except OSError as error:
        yield LocalFile(file, "", problem=_reason(error))


def _read(name: str, folder: int | None, file: str, path: str) -> LocalFile:
    try:
        return LocalFile(file, path, _content(name, folder).decode("utf-8"))
    except UnicodeDecodeError as error:
        return LocalFile(file, path, problem=f"it is not UTF-8 text (byte {error.start})")
    except LocalFileError as error:
        return LocalFile(file, path, problem=str(error))
    except OSError as error:
        return LocalFile(file, path, problem=_reason(error))


def _content(name: str, folder: int | None) -> bytes:
    """What an ordinary file holds; a link, a pipe or a device is not even opened."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    _refuse_special(found)
    with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
        _refuse_special(os.fstat(file.fileno()))
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise LocalFileError(f"it is larger than a script may be ({MAX_SIZE:,} bytes)")
    return data


def _refuse_special(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise LocalFileError("it is a symbolic link, and those are not followed")
    if not stat.S_ISREG(found.st_mode):
        raise LocalFileError("it is not an ordinary file")


def _fill(descriptor: int, name: str, folder: int, data: bytes) -> None:
    """Write it whole, or leave nothing of it."""
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise


def _make_folder(name: str, folder: int) -> None:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return


@contextmanager
def _opened(name: str, parent: int | None) -> Iterator[int]:
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
