"""Which rows of the output take several lines of the screen, and so where every row is.

Rows and lines are counted from the first one that was ever written. Rows that are wrapped are few: only they are kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate


class WrappedRows:
    """Rows that are wrapped, each with where its lines begin.

    Attributes:
        forgotten: Lines, beyond one a row, of rows that are no longer kept.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._rows: list[int] = []
        self._starts: list[Sequence[int]] = []
        self._count()
        self.forgotten = 0

    @property
    def extra(self) -> int:
        """Lines that all these rows take beyond one each."""
        return self._before[-1]

    def add(self, row: int, starts: Sequence[int]) -> None:
        """Add a row behind those that are there."""
        self._rows.append(row)
        self._starts.append(starts)
        self._first_lines.append(row + self.extra)
        self._before.append(self.extra + len(starts) - 1)

    def wrap_again(self, starts: Callable[[int], Sequence[int]]) -> None:
        """Ask for every row anew where its lines begin."""
        self._starts = [starts(row) for row in self._rows]
        self._count()

    def forget(self, before: int) -> None:
        """Rows before this one are no longer there."""
        gone = bisect_left(self._rows, before)
        if gone:
            self.forgotten += self._before[gone]
            del self._rows[:gone], self._starts[:gone]
            self._count()

    def starts(self, row: int) -> Sequence[int] | None:
        """Where the lines of a row begin; None for a row that is not wrapped."""
        index = bisect_left(self._rows, row)
        return self._starts[index] if index < len(self._rows) and self._rows[index] == row else None

    def line(self, row: int) -> int:
        """The first line of a row."""
        return row + self._before[bisect_left(self._rows, row)]

    def row(self, line: int) -> tuple[int, int]:
        """The row that a line is of, and which line of it."""
        index = bisect_right(self._first_lines, line) - 1
        if index < 0:
            return line, 0
        part, lines = line - self._first_lines[index], len(self._starts[index])
        return (self._rows[index], part) if part < lines else (self._rows[index] + 1 + part - lines, 0)

    def _count(self) -> None:
        self._before = [0, *accumulate(len(starts) - 1 for starts in self._starts)]
        self._first_lines = [row + before for row, before in zip(self._rows, self._before, strict=False)]
