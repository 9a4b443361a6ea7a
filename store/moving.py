"""Renaming and removing one file, history first. Part of the save protocol of ``store.files``."""

from __future__ import annotations

import os

from store import disk
from store.errors import Conflict
from store.saving import Place, file_hash, keep, read, require_seen, sha256


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


def move(place: Place, folder: int, name: str, path: str, base_sha256: str) -> None:
    """Give a script another place, durably, unless that is taken or the script is not what its author has seen.

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


def remove(place: Place, base_sha256: str) -> None:
    """Take a script out of its folder if it is what its author has seen; its bytes are in the history before that."""
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
        _put_back(place, temp)
        raise
    os.fsync(place.folder)
    os.fsync(place.history)


def _put_back(place: Place, temp: str) -> None:
    """Undo a removal. Whoever made a file of that name in between has the latest word."""
    try:
        disk.rename_new(place.folder, temp, place.folder, place.name)
    except FileExistsError:
        keep(place.folder, temp, place.history)
    os.fsync(place.folder)
