"""Two terminals that share no code with the driver under test: one of our own, and pyte.

Both understand what frames are made of, and nothing else. ``junk`` fills the screen with something nobody paints, so
that a cell that was left out shows.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Protocol

import pyte
from pty_session import clean_for_pyte
from rich.cells import cell_len

_TOKEN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<right>\d*)C"
    r"|\x1b\[(?P<sgr>[\d;]*)m"
    r"|\x1b\](?P<link>8;[^\x07\x1b]*)\x1b\\"
    r"|(?P<newline>\n)"
    r"|(?P<other>\x1b\[[?<>=][^a-zA-Z]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x07)"
    r"|(?P<character>.)",
    re.DOTALL,
)
_JOINERS = "\u200d\ufe0f"
Style = tuple[Hashable, ...]
Cell = tuple[str, Hashable]
Grid = list[list[Cell]]


class Terminal(Protocol):
    def resize(self, columns: int, rows: int) -> None: ...
    def junk(self) -> None: ...
    def feed(self, data: str) -> None: ...
    def cells(self) -> Grid: ...

    @property
    def cursor(self) -> tuple[int, int]: ...


class ReferenceTerminal:
    """A terminal that blanks the other half of a wide character when one half is overwritten."""

    def __init__(self, columns: int, rows: int) -> None:
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.junk()

    def junk(self) -> None:
        self._cells: Grid = [[("#", "junk")] * self.columns for _ in range(self.rows)]
        self.x = self.y = 0
        self._style: dict[str, Hashable] = {}
        self._link = ""

    @property
    def cursor(self) -> tuple[int, int]:
        return self.y, self.x

    def cells(self) -> Grid:
        return [list(row) for row in self._cells]

    def feed(self, data: str) -> None:
        for token in _TOKEN.finditer(data):
            kind, value = token.lastgroup, token[token.lastgroup or 0]
            if kind == "column":
                self.y = min(int(token["row"]) - 1, self.rows - 1)
                self.x = min(int(value) - 1, self.columns - 1)
            elif kind == "right":
                self.x = min(self.columns - 1, self.x + int(value or 1))
            elif kind == "sgr":
                self._select(value)
            elif kind == "link":
                self._link = "" if value == "8;;" else value
            elif kind == "newline":
                self.y, self.x = min(self.y + 1, self.rows - 1), 0
            elif kind == "character":
                self._put(value)

    def _select(self, parameters: str) -> None:
        codes = [int(code or 0) for code in parameters.split(";")]
        index = 0
        while index < len(codes):
            code = codes[index]
            length = (5 if codes[index + 1] == 2 else 3) if code in (38, 48) else 1
            chosen = tuple(codes[index : index + length])
            if code == 0:
                self._style.clear()
            elif code == 38 or 30 <= code <= 37 or 90 <= code <= 97:
                self._style["foreground"] = chosen
            elif code == 48 or 40 <= code <= 47 or 100 <= code <= 107:
                self._style["background"] = chosen
            elif code in (39, 49):
                self._style.pop("foreground" if code == 39 else "background", None)
            else:
                self._style[f"attribute {code}"] = True
            index += length

    def _put(self, character: str) -> None:
        row = self._cells[self.y]
        width = cell_len(character)
        if not width or character in _JOINERS:
            self._combine(row, character)
            return
        self.x = min(self.x, self.columns - width)
        self._blank_halves(row, width)
        style = (tuple(sorted(self._style.items())), self._link.partition(";")[2].partition(";")[2])
        row[self.x] = (character, style)
        if width == 2:
            row[self.x + 1] = ("", style)
        self.x += width

    def _combine(self, row: list[Cell], character: str) -> None:
        if not 0 < self.x <= self.columns:
            return
        at = self.x - 1
        at -= row[at][0] == "" and at > 0
        row[at] = (row[at][0] + character, row[at][1])

    def _blank_halves(self, row: list[Cell], width: int) -> None:
        if row[self.x][0] == "" and self.x:
            row[self.x - 1] = (" ", row[self.x - 1][1])
        after = self.x + width
        if after < self.columns and row[after][0] == "":
            row[after] = (" ", row[after][1])


class PyteTerminal:
    """pyte, as an independent opinion about plain rows."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.junk()

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        self.junk()

    def junk(self) -> None:
        self._screen.reset()
        self._screen.draw("#" * (self._screen.columns * self._screen.lines))

    def feed(self, data: str) -> None:
        self._screen.reset_mode(pyte.modes.DECAWM)
        # Its newline would move or scroll; what follows one in a frame says itself where it goes.
        self._stream.feed(clean_for_pyte(data.encode()).replace(b"\n", b""))

    @property
    def cursor(self) -> tuple[int, int]:
        """Only rows and columns of plain rows mean anything to it; the other terminal has the cursor."""
        return (0, 0)

    def cells(self) -> Grid:
        screen = self._screen
        rows = ([screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines))
        return [[(cell.data, cell) for cell in row] for row in rows]


def differences(ours: Grid, theirs: Grid, rows: Sequence[int] | None = None) -> list[tuple[int, int, Cell, Cell]]:
    """Row, column and both contents of each cell that differs."""
    return [
        (y, x, one, other)
        for y in (range(len(ours)) if rows is None else rows)
        if ours[y] != theirs[y]
        for x, (one, other) in enumerate(zip(ours[y], theirs[y], strict=True))
        if one != other
    ]
