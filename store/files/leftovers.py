"""Texts in the history folder that no file's history names: what a crash put there, or a save without a record."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from store import disk
from store.errors import from_os_error

_NAME = re.compile(r"[0-9a-f]{64}")


def size_of(history: Path) -> int:
    """Bytes of the texts that the history folder holds.

    Raises:
        StoreError: It cannot be read.
    """
    return sum(found.st_size for _, found in _texts(history))


def older_than(history: Path, before: float) -> list[str]:
    """Hashes of texts that came into the history, or were written into there, before ``before``.

    The time is that of the last change of the inode (ctime), which renaming sets (rename(2)); nobody can set it back.

    Raises:
        StoreError: The history cannot be read.
    """
    return [name for name, found in _texts(history) if found.st_ctime < before]


def _texts(history: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every text with what is known of its file; saves may remove some meanwhile."""
    try:
        with os.scandir(history) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        yield entry.name, entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # a project of an earlier version, opened for reading only, lacks some
        return
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
