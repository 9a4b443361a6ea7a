"""The end of a gateway's wrapper.log: by how much its clock drifted, and for how long it collected garbage.

The file is another program's, and an account that can write to it may write anything. So it is opened only as what it
has to be, a file under its own name; a look takes a bounded part of its end; nothing of it is kept but durations, and
nothing of it is shown. What is forged there can let the pool rest, and never below one slot.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MOST = 256 << 10
"""Bytes that are taken at one look; of more than that the end."""

LONGEST_LINE = 4 << 10
"""Bytes of a line that are looked at, and kept of one whose end has not been written yet."""

MOST_SECONDS = 3600.0
"""What a line says is taken for no more than this."""

_DRIFTS = (
    re.compile(rb"actual deviation=(\d{1,9})ms"),
    re.compile(rb"fell behind the (?:system clock|timer) by (\d{1,9})ms"),
)
"""Of Ignition's ClockDriftDetector, and of the Java Service Wrapper itself."""

_PAUSE = re.compile(rb" (\d{1,9}(?:[.,]\d{1,9})?)ms\s*$")
"""How a pause ends that the JVM logs with -Xlog:gc (JEP 271): ``Pause Young (Normal) 512M->256M(2048M) 123.456ms``."""

_SECONDS = re.compile(rb"[ =](\d{1,6}[.,]\d{1,9}) secs\]")
"""The same before Java 9: ``[Full GC (Ergonomics) 512M->256M(2048M), 1.2345678 secs]``."""

_TAIL = 200
"""Bytes at a line's end in which these are looked for."""


class UnreadableLog(Exception):
    """The log cannot be used. The message is a clause that follows its name."""


@dataclass(frozen=True, slots=True)
class _Place:
    device: int
    inode: int
    offset: int


_NOWHERE = _Place(0, 0, 0)


class WrapperLog:
    """Follows one log, from where it ends when it is looked at for the first time.

    Args:
        path: Its file. A link in its place is not followed; folders above may be links.
        window: Seconds for which what a line says counts, from when it was read.
        clock: Seconds, never going back.
    """

    def __init__(self, path: Path, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._window = window
        self._clock = clock
        self._place: _Place | None = None
        self._rest = b""
        self._skipping = False
        self._drifts: deque[tuple[float, float]] = deque()
        self._pauses: deque[tuple[float, float]] = deque()

    @property
    def drift(self) -> float:
        """Seconds by which the clock has drifted in the window."""
        return _sum(self._drifts, self._clock() - self._window)

    @property
    def collections(self) -> float:
        """Seconds for which garbage collections have held the gateway up in the window."""
        return _sum(self._pauses, self._clock() - self._window)

    def look(self) -> None:
        """Take what has been written since the last look. Blocks.

        A file that stands in place of the one from before is read from its beginning, and one that became shorter.

        Raises:
            UnreadableLog: It is not there, not a file, or may not be read.
        """
        fd = self._opened()
        try:
            self._take(fd)
        except OSError as error:
            raise UnreadableLog(f"cannot be read: {error.strerror}") from None
        finally:
            os.close(fd)

    def _opened(self) -> int:
        if not self.path.is_absolute():
            raise UnreadableLog("is no absolute path")
        try:
            # Before it is opened: what opening a device or a pipe may do is not ours to do.
            _check(os.lstat(self.path))
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            self._place = _NOWHERE  # what comes is new, also where the file system gives its inode again
            raise UnreadableLog(f"cannot be read: {error.strerror}") from None
        except PermissionError:
            raise UnreadableLog("may not be read by the engine's account (put that into the log's group)") from None
        except OSError as error:
            raise UnreadableLog(f"cannot be read: {error.strerror}") from None
        try:
            _check(os.fstat(fd))  # it may have been exchanged meanwhile
        except UnreadableLog:
            os.close(fd)
            raise
        return fd

    def _take(self, fd: int) -> None:
        info = os.fstat(fd)
        before, same = self._place, False
        if before is not None:
            same = (before.device, before.inode) == (info.st_dev, info.st_ino) and before.offset <= info.st_size
        offset = before.offset if before is not None and same else 0
        if before is None:
            offset = info.st_size  # what was written before the engine's start is not of now
        if not same:
            self._rest, self._skipping = b"", False
        if info.st_size - offset > MOST:
            offset, self._rest, self._skipping = info.st_size - MOST, b"", True
        data = os.pread(fd, min(MOST, info.st_size - offset), offset)
        self._place = _Place(info.st_dev, info.st_ino, offset + len(data))
        self._read_lines(data)

    def _read_lines(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        last = lines.pop()
        for line in lines:
            if self._skipping:
                self._skipping = False  # of a line whose beginning was left out
            else:
                self._read_line(line)
        if len(last) > LONGEST_LINE:
            last, self._skipping = b"", True
        self._rest = last

    def _read_line(self, line: bytes) -> None:
        line = line.rstrip(b"\r")
        head, tail = line[:LONGEST_LINE], line[-_TAIL:]
        now = self._clock()
        for drift in _DRIFTS:
            if (match := drift.search(head)) is not None:
                _note(self._drifts, now, int(match[1]) / 1000)
                return
        if b"Pause " in head and (match := _PAUSE.search(tail)) is not None:
            _note(self._pauses, now, _number(match[1]) / 1000)
        elif b"GC" in head and (found := _SECONDS.findall(tail)):
            _note(self._pauses, now, _number(found[-1]))


def _check(info: os.stat_result) -> None:
    if stat.S_ISLNK(info.st_mode):
        raise UnreadableLog("is a symbolic link, which could lead anywhere: name the file itself")
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableLog("is no file")


def _note(events: deque[tuple[float, float]], now: float, seconds: float) -> None:
    """Add to what was read at the same time, so that a log full of them takes no memory."""
    seconds = min(seconds, MOST_SECONDS)
    if events and events[-1][0] == now:
        seconds += events.pop()[1]
    events.append((now, seconds))


def _sum(events: deque[tuple[float, float]], since: float) -> float:
    while events and events[0][0] <= since:
        events.popleft()
    return sum(seconds for _, seconds in events)


def _number(digits: bytes) -> float:
    return float(digits.replace(b",", b"."))
