"""Where each row of the text is on the screen, without a list of all rows when nothing wraps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rich.text import Text
from textual.widgets.text_area import WrappedDocument

if TYPE_CHECKING:
    from textual.widgets.text_area import DocumentBase, Location

Item = TypeVar("Item")


class _Rows(Sequence[Item]):
    """A sequence as long as the document whose items are made when asked for."""

    def __init__(self, document: DocumentBase, item: Callable[[int], Item]) -> None:
        self._document = document
        self._item = item

    def __len__(self) -> int:
        return self._document.line_count

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        rows = range(len(self))
        if isinstance(index, slice):
            return [self._item(row) for row in rows[index]]
        return self._item(rows[index])


def _no_offsets(_row: int) -> list[int]:
    return []


class FlatWrapped(WrappedDocument):
    """Without wrapping every row is its own line: nothing is stored and an edit renumbers nothing. With it, Textual's
    code."""

    _wrap_offsets: Any
    _line_index_to_offsets: Any
    _offset_to_line_info: Any
    _tab_width_cache: Any

    def wrap(self, width: int, tab_width: int | None = None) -> None:
        if width:
            super().wrap(width, tab_width)
            return
        self._width = 0
        if tab_width:
            self._tab_width = tab_width
        document = self.document
        self._wrap_offsets = _Rows(document, _no_offsets)
        self._tab_width_cache = _Rows(document, _no_offsets)
        self._line_index_to_offsets = _Rows(document, lambda row: [row])
        self._offset_to_line_info = _Rows(document, lambda row: (row, 0))

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        if self._width:
            super().wrap_range(start, old_end, new_end)

    @property
    def height(self) -> int:
        """Lines on the screen; Textual sums over the document, and asks for each line it draws."""
        return len(self._offset_to_line_info)

    def get_sections(self, line_index: int) -> list[str]:
        """The row's sections as they are shown, so that a column is where the cursor is drawn."""
        line = self.document.get_line(line_index)
        offsets = self._wrap_offsets[line_index]
        return [line] if not offsets else [section.plain for section in Text(line, end="").divide(offsets)]
