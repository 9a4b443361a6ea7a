"""Texts in the history folder that no script's history names: what a crash put there, or a save without a record."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from store import disk
from store.errors import from_os_error

_NAME = re.compile(r"[0-9a-f]{64}")


def size_of(history: Path) -> tuple[int, int]:
    """How many texts the history folder holds, and their bytes.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        with os.scandir(history) as found:
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in found if _NAME.fullmatch(entry.name)]
    except OSError as error:
        raise from_os_error(error, "look at the history") from error
    return len(sizes), sum(sizes)


def older_than(history: Path, before: float) -> list[str]:
    """Hashes of texts that came into the history, or were written into there, before ``before``.

    The time is that of the last change of the inode (ctime), which renaming sets (rename(2)); nobody can set it back.

    Raises:
        StoreError: The history cannot be read.
    """
    try:
        with os.scandir(history) as found:
            return [
                entry.name
                for entry in found
                if _NAME.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_ctime < before
            ]
    except OSError as error:
        raise from_os_error(error, "look at the history") from error


def remove(history: Path, digests: Iterable[str], before: float) -> int:
    """Remove those of ``digests`` that are still older than ``before``; how many.

    Raises:
        StoreError: The disk or the rights did not allow it.
    """
    try:
        with disk.open_folder(history) as folder, disk.locked(folder):
            return sum(_remove(folder, digest, before) for digest in digests)
    except OSError as error:
        raise from_os_error(error, "clear away old versions") from error


def _remove(folder: int, digest: str, before: float) -> bool:
    try:
        if os.stat(digest, dir_fd=folder, follow_symlinks=False).st_ctime >= before:
            return False
        os.unlink(digest, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def batches(digests: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    """``digests`` in pieces of ``size``."""
    return (digests[start : start + size] for start in range(0, len(digests), size))
