r"""The text being edited, kept so that an edit costs what it changes, not what the file holds.

Textual's own ``Document`` measures every line and encodes every line above the cursor on each key, and it splits
lines with ``str.splitlines``, which loses form feeds, vertical tabs and U+2028. Here lines end at line ends only:

* A file with one style of line end (``\n``, ``\r\n`` or ``\r``) is edited in that style.
* A file with several is split at ``\n`` alone; its carriage returns stay in the text as visible characters.

Either way ``text`` gives back exactly what was loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, overload

from rich.cells import cell_len
from textual.expand_tabs import expand_tabs_inline
from textual.geometry import Size
from textual.widgets.text_area import DocumentBase, EditResult

from tui.terminal.guard import code_pictures
from tui.text.newlines import _LINE_END, Newline, newline_of

if TYPE_CHECKING:
    from textual.widgets.text_area import Location
    from tree_sitter import Node, Query

    from tui.widgets.editor.syntax import SyntaxTree

Edited = Callable[[int, int, int], None]
"""Rows ``first`` to ``old_last`` became rows ``first`` to ``new_last``."""


class FlatDocument(DocumentBase):
    """Lines, their widths and, if there is a grammar, a syntax tree that follows each edit.

    Attributes:
        syntax: The tree, or None for plain text.
        edited: Called after every edit with the rows it touched.
    """

    def __init__(self, text: str) -> None:
        self._newline: Newline = newline_of(text)
        self._lines = text.split(self._newline)
        self._tab_width: int | None = None
        self._widths: Counter[int] = Counter()
        self.edited: Edited | None = None
        self.syntax: SyntaxTree | None = None

    # Reading.

    @property
    def text(self) -> str:
        return self._newline.join(self._lines)

    @property
    def newline(self) -> Newline:
        return self._newline

    @property
    def lines(self) -> list[str]:
        return self._lines

    @property
    def line_count(self) -> int:
        return len(self._lines)

    @property
    def start(self) -> Location:
        return (0, 0)

    @property
    def end(self) -> Location:
        return (len(self._lines) - 1, len(self._lines[-1]))

    @overload
    def __getitem__(self, line_index: int) -> str: ...

    @overload
    def __getitem__(self, line_index: slice) -> list[str]: ...

    def __getitem__(self, line_index: int | slice) -> str | list[str]:
        return self._lines[line_index]

    def get_line(self, index: int) -> str:
        """The line as it is shown: as many characters as the line has, control characters as pictures."""
        return code_pictures(self._lines[index])

    def get_text_range(self, start: Location, end: Location) -> str:
        (first, left), (last, right) = self._clamped(start, end)
        if first == last:
            return self._lines[first][left:right]
        middle = self._lines[first + 1 : last]
        return self._newline.join([self._lines[first][left:], *middle, self._lines[last][:right]])

    def get_size(self, indent_width: int) -> Size:
        """The widest line and the number of lines; the widths are counted once and then kept by each edit."""
        if self._tab_width != indent_width:
            self._tab_width = indent_width
            self._widths = Counter(map(self._width, self._lines))
        return Size(max(self._widths, default=0), len(self._lines))

    # Editing.

    def replace_range(self, start: Location, end: Location, text: str) -> EditResult:
        """Put ``text`` in place of a range. It is split at this document's line end and at ``\\n``, never
        elsewhere."""
        (first, left), (last, right) = self._clamped(start, end)
        replaced = self.get_text_range((first, left), (last, right))
        inserted = self._split(text)
        if self.syntax is not None:
            self.syntax.replace((first, left), (last, right), inserted)
        rows = inserted.copy()
        rows[0] = self._lines[first][:left] + rows[0]
        end_column = len(rows[-1])
        rows[-1] += self._lines[last][right:]
        self._count_widths(self._lines[first : last + 1], rows)
        self._lines[first : last + 1] = rows
        new_last = first + len(rows) - 1
        if self.edited is not None:
            self.edited(first, last, new_last)
        return EditResult((new_last, end_column), replaced)

    def _split(self, text: str) -> list[str]:
        return text.split("\n") if self._newline == "\n" else _LINE_END.split(text)

    def _clamped(self, start: Location, end: Location) -> tuple[Location, Location]:
        """The range in order, inside the text; a row below the last means the end."""
        top, bottom = sorted((start, end))
        return self._clamp(top), self._clamp(bottom)

    def _clamp(self, location: Location) -> Location:
        row, column = location
        if row >= len(self._lines):
            return self.end
        return (row, min(column, len(self._lines[row])))

    def _count_widths(self, removed: list[str], added: list[str]) -> None:
        if self._tab_width is None:
            return
        widths = self._widths
        for line in removed:
            width = self._width(line)
            widths[width] -= 1
            if not widths[width]:
                del widths[width]
        for line in added:
            widths[self._width(line)] += 1

    def _width(self, line: str) -> int:
        if line.isascii() and line.isprintable():
            return len(line)
        return cell_len(expand_tabs_inline(code_pictures(line), self._tab_width or 1))

    # Syntax.

    def use_syntax(self, syntax: SyntaxTree) -> None:
        syntax.load(self._lines)
        self.syntax = syntax

    def prepare_query(self, query: str) -> Query | None:
        return None if self.syntax is None else self.syntax.prepare(query)

    def query_syntax_tree(
        self, query: Query, start_point: tuple[int, int] | None = None, end_point: tuple[int, int] | None = None
    ) -> dict[str, list[Node]]:
        if self.syntax is None:
            return {}
        last = (self.line_count, 0)
        return self.syntax.captures(query, start_point or (0, 0), end_point or last)
