"""System calls on files and folders, relative to a folder's descriptor and never through a symbolic link.

Everything the store writes goes through here: a temporary file with a name nobody else uses, written and synced, then
put in place by one atomic call. See open(2), link(2), rename(2) and flock(2) for what the kernel promises.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

TEMP_SUFFIX = ".gatewright-tmp"
TEMP_NAME = re.compile(r"\..+\.[0-9a-f]{12}" + re.escape(TEMP_SUFFIX))
"""Only names of this whole pattern are ours to clear away."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)

_libc = ctypes.CDLL(None, use_errno=True)


class ExchangeUnsupportedError(OSError):
    """This kernel or file system has no renameat2(2), or not what was asked of it."""


@contextlib.contextmanager
def open_folder(path: str | Path, dir_fd: int | None = None) -> Iterator[int]:
    """A descriptor of a folder. The last component must not be a link (ENOTDIR if it is)."""
    descriptor = os.open(path, _FOLDER, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def walk_to(root: int, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder ``parts`` below ``root``, each component opened without following links."""
    with contextlib.ExitStack() as stack:
        folder = root
        for part in parts:
            if create:
                make_folder(part, folder)
            folder = stack.enter_context(open_folder(part, folder))
        yield folder


def make_folder(name: str, dir_fd: int, mode: int = 0o777) -> None:
    """Make a folder, durably, unless it is there already."""
    try:
        os.mkdir(name, mode, dir_fd=dir_fd)
    except FileExistsError:
        return
    os.fsync(dir_fd)


def temp_name(name: str) -> str:
    """A name beside ``name`` that nobody else uses, and that the next start clears away."""
    return f".{name}.{secrets.token_hex(6)}{TEMP_SUFFIX}"


def write_temp(folder: int, name: str, data: bytes, mode: int | None) -> str:
    """Write ``data`` to a new temporary file beside ``name``, down to the disk; returns the temporary file's name.

    After a failed fsync the kernel may count the pages as clean, so a second one would prove nothing: the file is
    dropped. ``mode`` None: what the process's umask gives.
    """
    temp = temp_name(name)
    descriptor = os.open(temp, _NEW, 0o666 if mode is None else 0o600, dir_fd=folder)
    try:
        try:
            write_all(descriptor, data)
            if mode is not None:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        remove_quietly(folder, temp)
        raise
    return temp


def write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def create_file(folder: int, name: str, data: bytes, mode: int | None) -> bool:
    """Make a whole new file in one step; False, and nothing changed, if the name is taken."""
    if exists(folder, name):
        return False
    temp = write_temp(folder, name, data, mode)
    try:
        os.link(temp, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        remove_quietly(folder, temp)
    os.fsync(folder)
    return True


def exists(folder: int, name: str) -> bool:
    """Whether the name is taken, be it by a dangling link."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def replace_file(folder: int, name: str, data: bytes, mode: int) -> None:
    """Write a file that only we write, whatever it held before."""
    temp = write_temp(folder, name, data, mode)
    try:
        os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove_quietly(folder, temp)
        raise
    os.fsync(folder)


def exchange(folder: int, first: str, second: str) -> None:
    """Swap two names in one step (renameat2(2), RENAME_EXCHANGE).

    Raises:
        ExchangeUnsupportedError: Not possible here; nothing was changed.
    """
    _renameat2(folder, first, folder, second, _RENAME_EXCHANGE)


def rename_new(source: int, first: str, target: int, second: str) -> None:
    """Give a file another name, perhaps in another folder, unless that name is taken (RENAME_NOREPLACE).

    Where the file system cannot do it in one step it is done in two: both names exist for an instant, never none.

    Raises:
        FileExistsError: The name is taken, be it by a folder or a dangling link; nothing was changed.
    """
    try:
        _renameat2(source, first, target, second, _RENAME_NOREPLACE)
    except ExchangeUnsupportedError:
        os.link(first, second, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        os.unlink(first, dir_fd=source)


def _renameat2(source: int, first: str, target: int, second: str, flags: int) -> None:
    renameat2 = getattr(_libc, "renameat2", None)
    if renameat2 is None:
        raise ExchangeUnsupportedError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(source, os.fsencode(first), target, os.fsencode(second), flags) == 0:
        return
    code = ctypes.get_errno()
    kind = ExchangeUnsupportedError if code in _UNSUPPORTED else OSError
    raise kind(code, os.strerror(code), second)


def sync(folder: int, name: str) -> None:
    """Make sure that a file and its name are on the disk."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.fsync(folder)


def remove_quietly(folder: int, name: str) -> None:
    """Remove a temporary file. What cannot be removed now is found and cleared at the next start."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def remove_temps(folder: int) -> None:
    """Remove the temporary files that a crash left in a folder."""
    for name in os.listdir(folder):
        if TEMP_NAME.fullmatch(name):
            remove_quietly(folder, name)


@contextlib.contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Hold the lock of an open file or folder. Others wait; the kernel releases it when its holder dies."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
