"""How much room the project's disk has, and whether that is enough to go on writing what can be done without."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


class ReadOnlySpace:
    """Nothing can be written at all.

    Args:
        why: As ``DiskSpace.short`` gives it.
    """

    read_only = True
    hint = "Have the file system mounted for writing, or get the right to write to the project."

    def __init__(self, why: str) -> None:
        self._why = why

    def short(self) -> str | None:
        return self._why
