"""Which part of a row has which colour, asked of the tree when the row is first drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.widgets.editor.syntax import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Query

    from tui.widgets.editor.document import FlatDocument

Span = tuple[int, int | None, str]
"""First byte, end byte (None: the rest of the row) and the name of a capture."""
Row = tuple[Span, ...]

_BLOCK = 16
"""Rows asked for in one query: scrolling meets the following ones next."""


class LineHighlights(Mapping[int, Row]):
    """Row -> its spans, in the order in which they are painted: what the query names later is painted over.

    An edit forgets the rows it touched and moves the others; a parse forgets the rows whose syntax changed.
    """

    def __init__(self, document: FlatDocument, query: Query) -> None:
        self._document = document
        self._query = query
        count: int = query.capture_count  # type: ignore[assignment]  # a property; the stub says method
        self._rank = {query.capture_name(index): index for index in range(count)}
        self._rows: dict[int, Row] = {}
        self._touched: tuple[int, int] | None = None
        """Rows edited since the last parse."""

    def __bool__(self) -> bool:
        """True: Textual asks for a row only if there are highlights."""
        return True

    def __len__(self) -> int:
        return self._document.line_count

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __getitem__(self, row: int) -> Row:
        spans = self._rows.get(row)
        if spans is None:
            self._query_from(row)
            spans = self._rows[row]
        return spans

    def edited(self, first: int, old_last: int, new_last: int) -> None:
        """Rows ``first`` to ``old_last`` became ``first`` to ``new_last``."""
        shift = new_last - old_last
        self._touch(first, old_last, new_last)
        if not shift:
            for row in range(first, new_last + 1):
                self._rows.pop(row, None)
            return
        kept = ((row, spans) for row, spans in self._rows.items() if not first <= row <= old_last)
        self._rows = {row if row < first else row + shift: spans for row, spans in kept}

    def sync(self) -> None:
        """Parse, if the text changed, and forget what that made wrong."""
        syntax = self._document.syntax
        if syntax is None or not syntax.stale:
            return
        changed = syntax.sync()
        if self._touched is not None:
            changed.append(self._touched)
            self._touched = None
        for first, last in changed:
            self._forget(first, last)

    def _touch(self, first: int, old_last: int, new_last: int) -> None:
        if self._touched is None:
            self._touched = (first, new_last)
            return
        top, bottom = self._touched
        moved = bottom + new_last - old_last if bottom > old_last else new_last
        self._touched = (min(top, first), max(new_last, moved))

    def _forget(self, first: int, last: int) -> None:
        if last - first > len(self._rows):
            self._rows = {row: spans for row, spans in self._rows.items() if not first <= row <= last}
            return
        for row in range(first, last + 1):
            self._rows.pop(row, None)

    def _query_from(self, row: int) -> None:
        end = row + 1
        while end < row + _BLOCK and end not in self._rows:
            end += 1
        found: dict[int, list[Span]] = {each: [] for each in range(row, end)}
        captures = self._document.query_syntax_tree(self._query, (row, 0), (end, 0))
        for name in sorted(captures, key=self._rank.__getitem__):
            # Nodes come in no certain order; the same syntax has to give the same spans.
            for node in sorted(captures[name], key=_place):
                _add(found, node, name)
        for each, spans in found.items():
            self._rows[each] = self._as_shown(each, spans)

    def _as_shown(self, row: int, spans: list[Span]) -> Row:
        """The spans counted in bytes of the row as it is shown, where a control character is a picture of three
        bytes."""
        document = self._document
        if not spans or row >= document.line_count:
            return tuple(spans)
        line, shown = document[row], document.get_line(row)
        if shown == line:
            return tuple(spans)
        places = _byte_places(line, shown)
        return tuple((places[start], None if end is None else places[end], name) for start, end, name in spans)


def _place(node: Node) -> tuple[int, int]:
    return (node.start_byte, -node.end_byte)


def _add(found: dict[int, list[Span]], node: Node, name: str) -> None:
    """Put a node's part of each row there; a part without length is left out, it would colour the whole row."""
    (first, left), (last, right) = node.start_point, node.end_point
    if first == last:
        if first in found and left != right:
            found[first].append((left, right, name))
        return
    for row in range(max(first, min(found)), min(last, max(found)) + 1):
        if row == last and not right:
            continue
        found[row].append((left if row == first else 0, right if row == last else None, name))


def _byte_places(line: str, shown: str) -> dict[int, int]:
    """Byte offset of each character of ``line`` -> that of the same character of ``shown``."""
    places = {0: 0}
    here = there = 0
    for character, picture in zip(line, shown, strict=True):
        here += len(encode(character))
        there += len(encode(picture))
        places[here] = there
    return places
