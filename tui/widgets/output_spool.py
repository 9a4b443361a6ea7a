"""Output kept in a file instead of memory, readable by line number.

The file has no name (``tempfile.TemporaryFile``): it is gone with the console, however that ends. For every 64 KiB
there is one entry in memory, the place of a line and its number, so a line is found by bisection and one read. The
oldest part goes when there is more than ``KEPT_BYTES``; a line longer than ``LONGEST_LINE`` is continued on the next
one.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO

LONGEST_LINE = 8192
"""Characters."""
SEGMENT_BYTES = 32 << 20
KEPT_BYTES = 256 << 20

_BLOCK_BYTES = 64 << 10
_CACHED_BLOCKS = 16
_CONTINUES = 0x10


class Mark(IntEnum):
    """What a line is; the first byte of each line in the file."""

    OUTPUT = 1
    ERROR = 2
    NOTE = 3


@dataclass(frozen=True, slots=True)
class SpoolLine:
    """A line as it was written.

    Attributes:
        mark: Where it came from.
        text: Without its line end.
        continues: Whether it goes on with the line before it.
    """

    mark: Mark
    text: str
    continues: bool = False


class _Segment:
    """One file and where its lines are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.ended_lines = 0
        self._starts = array("Q", [0])
        self._rows = array("Q", [0])

    def append(self, data: bytes) -> None:
        """Write ``data``, all of it or (``OSError``) nothing that counts."""
        fd = self._file.fileno()
        written = 0
        while written < len(data):
            written += os.pwrite(fd, data[written:], self.size + written)
        first_end = data.find(b"\n")
        if first_end >= 0 and self.size + first_end + 1 - self._starts[-1] >= _BLOCK_BYTES:
            self._starts.append(self.size + first_end + 1)
            self._rows.append(self.ended_lines + 1)
        self.size += len(data)
        self.ended_lines += data.count(b"\n")

    def block_of(self, row: int) -> int:
        return bisect_right(self._rows, row) - 1

    @property
    def block_count(self) -> int:
        return len(self._starts)

    def first_row(self, block: int) -> int:
        return self._rows[block]

    def end(self, block: int) -> int:
        return self._starts[block + 1] if block + 1 < len(self._starts) else self.size

    def read(self, block: int) -> list[bytes]:
        start = self._starts[block]
        data = os.pread(self._file.fileno(), self.end(block) - start, start)
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines

    def close(self) -> None:
        self._file.close()


class Spool:
    """Lines of output, the newest ``kept_bytes`` of them.

    Args:
        folder: Where the file is made; if that cannot be written to, the system's folder for temporary files.
        kept_bytes: How much is kept.
        segment_bytes: How much goes at a time when there is more.
    """

    def __init__(self, folder: Path, *, kept_bytes: int = KEPT_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._kept_segments = max(2, kept_bytes // segment_bytes)
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._blocks: OrderedDict[tuple[int, int, int], list[bytes]] = OrderedDict()
        self._open: Mark | None = None
        self._open_length = 0
        self.dropped = 0
        """Lines that went because there was more than can be kept."""
        self.written = 0
        """Bytes written since the start; it grows with every change."""
        self.failure: str | None = None
        """Why nothing more is kept, in a few words."""

    @property
    def line_count(self) -> int:
        """Lines that can be read, one that has no line end yet among them."""
        return sum(segment.ended_lines for segment in self._segments) + (self._open is not None)

    def write(self, text: str, mark: Mark = Mark.OUTPUT) -> None:
        """Add text. A piece of another kind ends the line that is open; after a failure nothing is added until
        ``clear``."""
        if not text or self.failure is not None:
            return
        try:
            self._write(text, mark)
        except OSError as error:
            self.failure = error.strerror or str(error)

    def end_line(self) -> None:
        """End the line that is open, if there is one."""
        if self._open is not None:
            self.write("\n", self._open)

    def clear(self) -> None:
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._blocks.clear()
        self._open = None
        self._open_length = self.dropped = 0
        self.written += 1
        self.failure = None

    close = clear

    def __getitem__(self, row: int) -> SpoolLine:
        if row < 0:
            raise IndexError(row)
        for segment in self._segments:
            rows = segment.ended_lines + (segment is self._segments[-1] and self._open is not None)
            if row < rows:
                block = segment.block_of(row)
                return _decoded(self._block(segment, block)[row - segment.first_row(block)])
            row -= rows
        raise IndexError(row)

    def lines(self, first: int, last: int) -> Iterator[SpoolLine]:
        """Lines ``first`` to ``last``, without the latter."""
        for row in range(first, min(last, self.line_count)):
            yield self[row]

    def text(self, first: int, last: int) -> str:
        """Lines ``first`` to ``last``, without the latter, as they were before long ones were broken."""
        parts: list[str] = []
        for line in self.lines(first, last):
            if parts and not line.continues:
                parts.append("\n")
            parts.append(line.text)
        return "".join(parts)

    def find(self, pattern: str, row: int, *, forward: bool = True) -> int | None:
        """The next row from ``row`` on (or back) that holds ``pattern``; capitals count if the pattern has any."""
        folded = pattern == pattern.lower()
        wanted = pattern.encode("utf-8", "backslashreplace")
        for first, block in self._blocks_from(row, forward=forward):
            for index in range(len(block)) if forward else range(len(block) - 1, -1, -1):
                at = first + index
                if at < row if forward else at > row:
                    continue
                if wanted in (block[index].lower() if folded else block[index]):
                    return at
        return None

    def _write(self, text: str, mark: Mark) -> None:
        for start in range(0, len(text), _BLOCK_BYTES):
            self._append(text[start : start + _BLOCK_BYTES], mark)

    def _append(self, text: str, mark: Mark) -> None:
        ended = text.endswith("\n")
        lines = (text[:-1] if ended else text).split("\n")
        prefix = b""
        if self._open is None:
            prefix = bytes([mark])
            self._open_length = 0
        elif self._open != mark:
            prefix = b"\n" + bytes([mark])
            self._open_length = 0
        elif self._open_length + len(lines[0]) > LONGEST_LINE:
            prefix = b"\n" + bytes([mark | _CONTINUES])
            self._open_length = 0
        if max(map(len, lines)) > LONGEST_LINE:
            lines = [_broken(line, mark) for line in lines]
        separator = "\n" + chr(mark)
        body = separator.join(lines).encode("utf-8", "backslashreplace")
        self._segment().append(prefix + body + (b"\n" if ended else b""))
        self.written += len(text)
        last_length = len(lines[-1])
        self._open_length = last_length + (self._open_length if len(lines) == 1 else 0)
        self._open = None if ended else mark

    def _segment(self) -> _Segment:
        """The segment to write to: a new one if the last is full and no line is open in it."""
        full = bool(self._segments) and self._segments[-1].size >= self._segment_bytes
        if not self._segments or (full and self._open is None):
            self._segments.append(_Segment(_unnamed_file(self._folder)))
            if len(self._segments) > self._kept_segments:
                oldest = self._segments.popleft()
                self.dropped += oldest.ended_lines
                oldest.close()
                self._blocks.clear()
        return self._segments[-1]

    def _block(self, segment: _Segment, block: int) -> list[bytes]:
        key = (id(segment), block, segment.end(block))
        lines = self._blocks.get(key)
        if lines is None:
            lines = self._blocks[key] = segment.read(block)
            if len(self._blocks) > _CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        return lines

    def _blocks_from(self, row: int, *, forward: bool) -> Iterator[tuple[int, list[bytes]]]:
        """The blocks from the one that holds ``row`` on, or back, each with the number of its first line."""
        places: list[tuple[_Segment, int, int]] = []
        base = 0
        for segment in self._segments:
            places += [(segment, block, base + segment.first_row(block)) for block in range(segment.block_count)]
            base += segment.ended_lines
        here = max(0, bisect_right([first for _, _, first in places], row) - 1)
        for segment, block, first in places[here:] if forward else places[here::-1]:
            yield first, segment.read(block)


def _broken(line: str, mark: Mark) -> str:
    parts = [line[start : start + LONGEST_LINE] for start in range(0, max(1, len(line)), LONGEST_LINE)]
    return ("\n" + chr(mark | _CONTINUES)).join(parts)


def _decoded(line: bytes) -> SpoolLine:
    kind = line[0]
    return SpoolLine(Mark(kind & ~_CONTINUES), line[1:].decode("utf-8", "replace"), bool(kind & _CONTINUES))


def _unnamed_file(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError:
        return tempfile.TemporaryFile(buffering=0)
