"""A table of lines: a heading, rows in aligned columns, a cursor that stays on its row when the rows change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui.widgets.row_list import Row, RowList


@dataclass(frozen=True, slots=True)
class Column:
    """A column; width 0 takes the room that the others leave."""

    title: str
    width: int = 0


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row; its cells are already free of control characters."""

    key: str
    cells: tuple[str, ...]
    tone: str = ""


class LiveTable(Vertical):
    """The table. Its rows are a ``RowList``, whose messages pass through."""

    def __init__(self, columns: Sequence[Column], *, empty: str, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns = columns
        self._table: Sequence[TableRow] = ()
        self._heading = Static(classes="live-table--heading", markup=False)
        self._rows = RowList(empty=empty)

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._rows

    def on_resize(self) -> None:
        self._lay_out()

    def set_columns(self, columns: Sequence[Column], rows: Sequence[TableRow] = ()) -> None:
        """Have these columns from now on, and these rows, since each has a cell for every column."""
        if columns != self._columns:
            self._columns, self._table = columns, rows
            self._lay_out()

    def set_empty(self, text: str) -> None:
        """Say this where there are no rows."""
        self._rows.set_empty(text)

    def show_rows(self, rows: Sequence[TableRow], *, cursor: str | None = None) -> None:
        """Show these rows; the cursor stays on the row that it is on, or goes to the given one."""
        if rows != self._table or cursor is not None:
            self._table = rows
            self._lay_out(cursor)

    @property
    def current(self) -> str | None:
        """Key of the row under the cursor."""
        row = self._rows.current
        return None if row is None else row.key

    def _lay_out(self, cursor: str | None = None) -> None:
        widths = self._widths()
        self._heading.update(_line([column.title for column in self._columns], widths))
        lines = [Row(row.key, _line(row.cells, widths), tone=row.tone) for row in self._table]
        self._rows.set_rows(lines, cursor=cursor)

    def _widths(self) -> list[int]:
        taken = sum(column.width + 2 for column in self._columns if column.width)
        open_ended = max(1, sum(1 for column in self._columns if not column.width))
        # A hidden table has no width yet; it will most likely get that of the screen.
        width = self.size.width or self.app.size.width
        room = max(8, (width - 2 - taken) // open_ended - 2)
        return [column.width or room for column in self._columns]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return " " + "  ".join(_fit(cell, width) for cell, width in zip(cells, widths, strict=True))


def _fit(cell: str, width: int) -> str:
    """Cut with a visible mark: a name that is shortened must not look like another name."""
    return set_cell_size(cell, width) if cell_len(cell) <= width else set_cell_size(cell, width - 1) + "~"
