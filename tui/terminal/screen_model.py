"""What the terminal shows, and the least output that brings it to the next frame.

A frame, as Textual writes it, is a row of chunks: a cursor move (CUP) and what is drawn from there, colours included.
A chunk that says again what was last written at its place is skipped; that is most of them. The rest is compared cell
by cell.

Terminals disagree about the width of many characters. Only characters that every terminal draws one cell wide are
compared by cell. A chunk with any other is *opaque*: it is rewritten whole when it changes, and what lies beside it
on its row is no longer known, so that such a row always ends up as it would without this model.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rich.cells import cell_len

from tui.terminal.sgr import PLAIN, TextStyle, transition

_MOVE = re.compile(r"\x1b\[(\d+);(\d+)H")
_TOKEN = re.compile(r"\x1b\[([0-9;]*)m|\x1b\](8;[^\x07\x1b]*)\x1b\\|([^\x00-\x1f\x7f-\x9f]+)")
_ONE_CELL = re.compile(
    "[\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff"  # ASCII and Latin, without the soft hyphen
    "\u0370-\u0482\u048a-\u052f"  # Greek and Cyrillic, without combining signs
    "\u2010-\u2027\u2190-\u2199\u2400-\u2426"  # dashes, dots, arrows, pictures of controls
    "\u2500-\u25fc\u2713-\u2718\u2800-\u28ff]*"  # lines, blocks, shapes, ticks, Braille
)
_SHORT_GAP = 4
"""Cells that are cheaper to write again than to jump over."""
_OVERHANG = 4
"""Cells beyond the right edge that an opaque chunk may cover when its width is in doubt."""


class _Cell(NamedTuple):
    """A cell that is known: one character, or (``style`` None) a part of the opaque chunk ``text``."""

    style: TextStyle | None
    text: str


_Row = list[_Cell | None]
"""None: not known."""


class _Chunk(NamedTuple):
    cells: list[_Cell]
    opaque: bool


def is_frame(data: str) -> bool:
    """Whether ``data`` looks like a frame: it begins by moving the cursor somewhere absolute."""
    return _MOVE.match(data) is not None


class ScreenModel:
    """The cells of one terminal, as far as they are known."""

    def __init__(self) -> None:
        self.width = self.height = 0
        self.forget()

    def forget(self) -> None:
        """Nothing is known: the next frame is written whole."""
        self._rows: dict[int, _Row] = {}
        self._written: dict[int, dict[int, tuple[int, str]]] = {}
        """Row -> column -> where the chunk written there ends, and the chunk."""
        self._cursor: tuple[int, int] | None = None

    def resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.forget()

    def reduce(self, data: str) -> str | None:
        """What to write in place of a frame; None if it is not understood, and then the model must ``forget``."""
        before, *moves = _MOVE.split(data)
        if before or not moves:
            return None
        pen = _Pen()
        cursor: tuple[int, int] | None = None
        for index in range(0, len(moves), 3):
            y, x, raw = int(moves[index]) - 1, int(moves[index + 1]) - 1, moves[index + 2].removesuffix("\n")
            cursor = None if raw else (y, x)
            if raw and not self._draw(y, x, raw, pen):
                return None
        pen.finish()
        if cursor is not None and (pen.out or cursor != self._cursor):
            pen.move(*cursor)
        self._cursor = cursor
        return "".join(pen.out)

    def _draw(self, y: int, x: int, raw: str, pen: _Pen) -> bool:
        """Write what of a chunk is not there yet; False if the chunk is not understood."""
        written = self._written.setdefault(y, {})
        before = written.get(x)
        if before is not None and before[1] == raw:
            return True
        chunk = _parse(raw)
        if chunk is None:
            return False
        end = x + len(chunk.cells)
        if y >= self.height or (end > self.width and not chunk.opaque):
            return False  # drawn for another size
        row = self._row(y)
        was = row[x:end]
        _drop_overlapping(written, x, end)
        if chunk.opaque or any(cell is not None and cell.style is None for cell in was):
            pen.write_whole(y, x, raw)
            _distrust_neighbours(row, written, x, end)
        else:
            pen.write_changes(y, x, was, chunk.cells)
        row[x:end] = chunk.cells
        written[x] = (end, raw)
        return True

    def _row(self, y: int) -> _Row:
        row = self._rows.get(y)
        if row is None:
            row = self._rows[y] = [None] * (self.width + _OVERHANG)
        return row


class _Pen:
    """Collects output and knows in which style the terminal writes."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._style = PLAIN

    def move(self, y: int, x: int) -> None:
        self.out.append(f"\x1b[{y + 1};{x + 1}H")

    def finish(self) -> None:
        """Back to plain, as every chunk of Textual's ends."""
        self._change(PLAIN)

    def write_whole(self, y: int, x: int, raw: str) -> None:
        self._change(PLAIN)
        self.move(y, x)
        self.out.append(raw)

    def write_changes(self, y: int, x: int, was: _Row, cells: list[_Cell]) -> None:
        """Write the cells that differ, in runs."""
        at: int | None = None
        index, count = 0, len(cells)
        while index < count:
            if was[index] == cells[index]:
                index += 1
                continue
            if at is None:
                self.move(y, x + index)
            elif index > at:
                self._skip(cells[at:index])
            start = index
            while index < count and was[index] != cells[index]:
                index += 1
            self._write(cells[start:index])
            at = index

    def _write(self, cells: list[_Cell]) -> None:
        for style, text in cells:
            if style is not None and style != self._style:
                self._change(style)
            self.out.append(text)

    def _skip(self, gap: list[_Cell]) -> None:
        if len(gap) <= _SHORT_GAP and all(cell.style == self._style for cell in gap):
            self.out += [cell.text for cell in gap]
        else:
            self.out.append(f"\x1b[{len(gap)}C" if len(gap) > 1 else "\x1b[C")

    def _change(self, style: TextStyle) -> None:
        if style != self._style:
            self.out.append(transition(self._style, style))
            self._style = style


def _parse(raw: str) -> _Chunk | None:
    """The cells that a chunk draws; None if it does anything else."""
    sgr = link = ""
    texts: list[str] = []
    cells: list[_Cell] = []
    opaque = False
    position = 0
    for match in _TOKEN.finditer(raw):
        if match.start() != position:
            return None
        position = match.end()
        new_sgr, new_link, text = match.groups()
        if text is not None:
            texts.append(text)
            opaque = opaque or _ONE_CELL.fullmatch(text) is None
            if not opaque:
                style = TextStyle(sgr, link)
                cells += [_Cell(style, character) for character in text]
        elif new_sgr is not None:
            sgr = "" if new_sgr in ("", "0") else new_sgr
        else:
            link = "" if new_link == "8;;" else new_link
    if position != len(raw) or sgr or link:
        return None  # a chunk ends plain, or what follows would be drawn in its style
    if opaque:
        cells = [_Cell(None, raw)] * cell_len("".join(texts))
    return _Chunk(cells, opaque)


def _drop_overlapping(written: dict[int, tuple[int, str]], start: int, end: int) -> None:
    for column in [column for column, (to, _raw) in written.items() if column < end and to > start]:
        del written[column]


def _distrust_neighbours(row: _Row, written: dict[int, tuple[int, str]], start: int, end: int) -> None:
    """Around an opaque chunk forget what it may have moved: all to its right, and opaque cells that touch it on the
    left."""
    left = start
    while left and (cell := row[left - 1]) is not None and cell.style is None:
        left -= 1
    for first, last in ((left, start), (end, len(row))):
        if last > first:
            row[first:last] = [None] * (last - first)
            _drop_overlapping(written, first, last)
