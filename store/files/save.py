"""The save protocol on one file: replace it (swap, verify, keep or swap back), rename it, remove it; history first."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from store import disk
from store.errors import Conflict, StoreError

MAX_SIZE = 2 << 20
"""Bytes of a script or a document."""

MAX_SWAPS = 16
"""How often a save gives way to somebody who keeps replacing the same file at the same instant."""

_CHUNK = 1 << 16
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}

Version = tuple[int, int, str | None]
"""Device, inode, SHA-256 of the content; no hash for what is not an ordinary file."""


class FileLocation(NamedTuple):
    """Where a file is: descriptor of its folder, its name there, its path for messages, the history folder."""

    folder: int
    name: str
    path: str
    history: int


@dataclass(frozen=True, slots=True)
class FileContent:
    data: bytes
    mode: int


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(folder: int, name: str, path: str) -> FileContent:
    """The content of a regular file; a link, pipe or device is not even opened."""
    refuse_special(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
    descriptor = os.open(name, _READ, dir_fd=folder)
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        refuse_special(found, path)
        # One byte more than allowed: the file may grow while it is read.
        data = _read_up_to(file.fileno(), MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise StoreError(f"{path} is too large: it may have {MAX_SIZE:,} bytes.")
    return FileContent(data, stat.S_IMODE(found.st_mode))


def read_listed(folder: int, name: str, path: str, found: os.stat_result) -> bytes:
    """The content of a regular file that ``found`` was just told of: as ``read``, with the fewest system calls."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        opened = os.fstat(descriptor)
        refuse_special(opened, path)
        # One byte more than there is: a file that grew meanwhile is read on, up to the limit.
        data = os.read(descriptor, found.st_size + 1)
        if len(data) > found.st_size:
            data += _read_up_to(descriptor, MAX_SIZE + 1 - len(data))
    finally:
        os.close(descriptor)
    if len(data) > MAX_SIZE:
        raise StoreError(f"{path} is too large: it may have {MAX_SIZE:,} bytes.")
    return data


def special(found: os.stat_result) -> str | None:
    """What a file is if not an ordinary one: ``"a symbolic link"``."""
    if stat.S_ISREG(found.st_mode):
        return None
    return _KINDS.get(stat.S_IFMT(found.st_mode), "a device")


def refuse_special(found: os.stat_result, path: str) -> None:
    if kind := special(found):
        raise StoreError(f"{path} is {kind}; only ordinary files are used.")


def replace(place: FileLocation, data: bytes, base_sha256: str) -> None:
    """Put ``data`` where the content with hash ``base_sha256`` is, or change nothing."""
    current = read(place.folder, place.name, place.path)
    if current.data == data:
        # Perhaps the answer to an earlier save was lost before the disk had it.
        disk.sync(place.folder, place.name)
        return
    require_seen(place, current, base_sha256)
    temp = disk.write_temp(place.folder, place.name, data, current.mode & 0o777)
    try:
        mine = _version(place.folder, temp)
        disk.exchange(place.folder, temp, place.name)
    except disk.ExchangeUnsupportedError:
        _replace_unchecked(place, temp, base_sha256)
    except BaseException:
        disk.remove_quietly(place.folder, temp)
        raise
    else:
        _settle(place, temp, mine, base_sha256)
    os.fsync(place.folder)
    os.fsync(place.history)


def keep(folder: int, name: str, history: int) -> None:
    """Move a file into the history, under the hash of its content."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    with open(descriptor, "rb") as file:
        digest = _digest(file.fileno())
        _make_way(history, digest)
        try:
            os.rename(name, digest, src_dir_fd=folder, dst_dir_fd=history)
            _drop_second_name(folder, name, file.fileno())
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            file.seek(0)
            disk.create_file(history, digest, file.read(), 0o600)
            os.unlink(name, dir_fd=folder)


def _drop_second_name(folder: int, name: str, descriptor: int) -> None:
    """rename(2) leaves both names where they are links of one file: a crash may have come between link and unlink.

    The bytes are kept by then: if this fails, the next start does it.
    """
    with suppress(OSError):
        if os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(descriptor)):
            os.unlink(name, dir_fd=folder)


def _make_way(history: int, digest: str) -> None:
    """A kept file that an editor has written into since is not what its name says: it gets the name that it should."""
    if disk.exists(history, digest) and (found := file_hash(history, digest)) != digest:
        with suppress(FileExistsError):  # those very bytes are kept already
            disk.rename_new(history, digest, history, found)


def _settle(place: FileLocation, temp: str, mine: Version, base_sha256: str) -> None:
    """``temp`` now names what was in place: keep it if the author had seen it, else put it back."""
    try:
        require_seen(place, read(place.folder, temp, place.path), base_sha256)
        keep(place.folder, temp, place.history)
    except BaseException:
        _put_back(place, temp, mine)
        raise


def _put_back(place: FileLocation, temp: str, mine: Version) -> None:
    """Undo a swap. Whoever wrote the file in between stays on top, and what that superseded goes to the history."""
    expected = mine
    for _ in range(MAX_SWAPS):
        placed = _version(place.folder, temp)
        try:
            disk.exchange(place.folder, temp, place.name)
        except FileNotFoundError:  # removed in between, which is the latest word on it
            break
        if _version(place.folder, temp) == expected:
            break
        expected = placed
    try:
        # Also what we wrote ourselves: an editor may have opened it while it was in place, and is about to write.
        keep(place.folder, temp, place.history)
    except OSError:
        # Nobody else's bytes: drop them. Others stay where they are and go to the history at the next start.
        if _version(place.folder, temp) == mine:
            disk.remove_quietly(place.folder, temp)
    os.fsync(place.folder)


def _replace_unchecked(place: FileLocation, temp: str, base_sha256: str) -> None:
    """Without an atomic swap: look once more, keep a copy, rename. A write in between, microseconds, would be lost."""
    try:
        current = read(place.folder, place.name, place.path)
        require_seen(place, current, base_sha256)
        disk.create_file(place.history, base_sha256, current.data, 0o600)
        os.rename(temp, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        disk.remove_quietly(place.folder, temp)
        raise


def require_seen(place: FileLocation, current: FileContent, base_sha256: str) -> None:
    """Raise ``Conflict`` unless ``current`` is what its author has seen."""
    digest = sha256(current.data)
    if digest != base_sha256:
        raise Conflict(
            f"{place.path} has changed since it was loaded; nothing was done.",
            "Load it again to see both versions, then decide which one to keep.",
            current.data,
            digest,
        )


def _version(folder: int, name: str) -> Version:
    """Which file has this name, and what it holds: an editor may replace it, or write into it."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found.st_dev, found.st_ino, None if special(found) else file_hash(folder, name)


def file_hash(folder: int, name: str) -> str:
    """The SHA-256 of what a file holds."""
    with open(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
        return _digest(file.fileno())


def _digest(descriptor: int) -> str:
    """hashlib.file_digest clears a buffer of 256 KiB first, which takes longer than reading most scripts."""
    digest = hashlib.sha256()
    while part := os.read(descriptor, _CHUNK):
        digest.update(part)
    return digest.hexdigest()


def _read_up_to(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := os.read(descriptor, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def remember(history: int, data: bytes) -> None:
    """Put a copy of ``data`` into the history, down to the disk, unless it is there."""
    digest = sha256(data)
    if disk.create_file(history, digest, data, 0o600):
        return
    if file_hash(history, digest) == digest:
        disk.sync(history, digest)
        return
    keep(history, digest, history)
    disk.create_file(history, digest, data, 0o600)


def move(place: FileLocation, folder: int, name: str, path: str, base_sha256: str) -> None:
    """Give a file another place, durably, unless that is taken or the file is not what its author has seen.

    Args:
        place: Where it is.
        folder: Descriptor of the folder it goes to.
        name: Its name there.
        path: Its new path, for messages.
        base_sha256: Hash of the content that its author has seen.
    """
    current = read(place.folder, place.name, place.path)
    require_seen(place, current, base_sha256)
    remember(place.history, current.data)
    try:
        disk.rename_new(place.folder, place.name, folder, name)
    except FileExistsError:
        taken = read(folder, name, path).data
        raise Conflict(f"{path} exists already.", "Choose another name.", taken, sha256(taken)) from None
    os.fsync(folder)
    os.fsync(place.folder)


def remove(place: FileLocation, base_sha256: str) -> None:
    """Take a file out of its folder if it is what its author has seen; its bytes are in the history before that."""
    current = read(place.folder, place.name, place.path)
    require_seen(place, current, base_sha256)
    remember(place.history, current.data)
    temp = disk.temp_name(place.name)
    os.rename(place.name, temp, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    try:
        require_seen(place, read(place.folder, temp, place.path), base_sha256)
        # The file itself too: an editor may have it open, and is about to write.
        keep(place.folder, temp, place.history)
    except BaseException:
        _undo_removal(place, temp)
        raise
    os.fsync(place.folder)
    os.fsync(place.history)


def _undo_removal(place: FileLocation, temp: str) -> None:
    """Undo a removal. Whoever made a file of that name in between has the latest word."""
    try:
        disk.rename_new(place.folder, temp, place.folder, place.name)
    except FileExistsError:
        keep(place.folder, temp, place.history)
    os.fsync(place.folder)
