"""Numbers of runs: each is handed out once, whatever ends the engine.

They come from memory and cost no transaction. Every commit of records notes the highest one in table ``meta``. A small
file beside the database is written with each number and never synced: the kernel keeps it when the engine is killed,
so the next number after that is the last one plus one. When the machine itself went down, the file may be older than
what clients were told; then as many numbers are left out as can have been handed out without a commit.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

NAME = "run-number"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

_DIGITS = 19
_LARGEST = 1 << 62
"""Beyond it SQLite has no room for the rows of more runs; no engine ever comes near."""

_LINE = re.compile(rb"([0-9]{19}) ([0-9a-f-]{36})\n")


@dataclass(frozen=True, slots=True)
class NotedNumber:
    """What the file says."""

    number: int = 0
    exact: bool = False
    """Whether the kernel that it was written to still runs: then no higher number was handed out."""


class NumberFile:
    """The file. Where there can be none, nothing is noted, and nothing found the next time."""

    def __init__(self, path: Path) -> None:
        self.found = NotedNumber()
        self._boot = _boot_id()
        self._fd: int | None = None
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("the numbers of runs cannot be noted in %s: %s", path, error)
            return
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            log.warning("the numbers of runs cannot be noted in %s: it is no ordinary file", path)
            os.close(fd)
            return
        self._fd = fd
        line = _LINE.match(os.pread(fd, 100, 0))
        if line and int(line[1]) < _LARGEST:
            self.found = NotedNumber(int(line[1]), exact=line[2] == self._boot != b"")

    @property
    def usable(self) -> bool:
        """Whether what is handed out from now on will be in it."""
        return self._fd is not None

    def begin(self, number: int) -> None:
        """Note the highest number that was handed out before, and for which kernel's time that holds."""
        self._write(b"%0*d %s\n" % (_DIGITS, number, self._boot))

    def note(self, number: int) -> None:
        """Note a number that is about to be handed out: a write into the page cache, about a microsecond."""
        self._write(b"%0*d" % (_DIGITS, number))

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            return
        try:
            os.pwrite(self._fd, data, 0)
        except OSError as error:
            # What it says is too low from here on: better nothing than that.
            log.warning("the numbers of runs are not noted any more: %s", error)
            self._forget()

    def _forget(self) -> None:
        if self._fd is not None:
            try:
                os.ftruncate(self._fd, 0)
            except OSError as error:
                log.warning("what was noted of them cannot be removed: %s", error)
        self.close()


def _boot_id() -> bytes:
    """Return what tells this start of the kernel from others, nothing where that cannot be known."""
    try:
        return Path(BOOT_ID).read_bytes().strip()
    except OSError:
        return b""
