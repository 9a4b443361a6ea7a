"""How much room the project's disk has, and whether that is enough to go on writing what can be done without."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.errors import FULL
from store.sizes import describe_size

LOOK_EVERY = 1.0
"""Seconds for which an answer of the file system is good."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What stays free: ``bytes``, or ``share`` of the whole disk where that is more."""

    bytes: int = 500 << 20
    share: float = 0.02

    def of(self, total: int) -> float:
        """Bytes of a disk of ``total`` bytes that stay free."""
        return max(self.bytes, self.share * total)


class DiskSpace:
    """Asks the file system of one folder, at most once a second, and only when somebody wants to know.

    Args:
        folder: On the disk in question.
        floor: What stays free.
        statvfs: Asks the file system.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        floor: Floor | None = None,
        *,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._floor = floor or Floor()
        self._statvfs = statvfs
        self._clock = clock
        self._looked_at: float | None = None
        self._short: str | None = None

    read_only = False
    hint = "Free some space. What is kept free is set under [disk] in settings.toml."

    def short(self) -> str | None:
        """Why there is too little room, to follow "because" or a colon; None while there is enough.

        A file system that does not tell is taken to have room: what cannot be written is then refused by itself.
        """
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= LOOK_EVERY:
            self._looked_at, self._short = now, self._look()
        return self._short

    def _look(self) -> str | None:
        try:
            found = self._statvfs(self._folder)
        except OSError:
            return None
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        floor = self._floor.of(total)
        if total == 0 or free >= floor:
            return None
        return f"the disk has only {describe_size(free)} free ({describe_size(floor)} are kept free)"


def has_room(folder: Path, size: int) -> bool:
    """Whether ``size`` more bytes can be written in ``folder``, tried for real: a quota shows in no figure.

    The trial has no name (open(2), O_TMPFILE) and leaves nothing. Where it cannot be made, what the file system says
    of itself decides; one that does not tell is taken to have room.
    """
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error.errno not in FULL and _says_it_has(folder, size)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        return error.errno not in FULL
    finally:
        os.close(descriptor)
    return True


def _says_it_has(folder: Path, size: int) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return True
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return free * found.f_frsize >= size


class Reserve:
    """Room that is kept for the one moment in which the disk is full: removing old records needs some, too.

    Args:
        folder: The project's private folder.
    """

    SIZE = 2 << 20
    NAME = "reserve"

    def __init__(self, folder: Path) -> None:
        self._file = folder / self.NAME

    def keep(self) -> None:
        """Take the room, unless it is taken. A file system that does not give it is none of anybody's business."""
        with suppress(OSError):
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.SIZE)
            except OSError:
                self._file.unlink()
            finally:
                os.close(descriptor)

    def release(self) -> None:
        """Give the room back to the disk."""
        with suppress(OSError):
            self._file.unlink()


class ReadOnlySpace:
    """Nothing can be written at all.

    Args:
        why: As ``DiskSpace.short`` gives it.
        hint: What to do about it.
    """

    read_only = True

    def __init__(self, why: str, hint: str) -> None:
        self._why = why
        self.hint = hint

    def short(self) -> str | None:
        return self._why
