"""A tree-sitter tree that follows edits, and when it is parsed.

An edit only moves the nodes behind it (``Tree.edit``); the parse comes once per frame, whatever number of edits there
were. Most parses are short, but one that changes the structure of everything below costs as much as a full parse: 200
ms at 50,000 lines. In a long file such a parse waits until the keys pause; until then the colours may be old, their
places are not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tree_sitter import Language, Parser, Query, QueryCursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widgets.text_area import Location
    from tree_sitter import Node, Tree

LONG_FILE = 10_000
"""Lines above which a parse waits for a pause between keys if the edit spanned several rows."""
SLOW_PARSE = 0.004
"""Seconds of CPU: the next parse waits when the last one took longer than this."""


def encode(text: str) -> bytes:
    """UTF-8, also of lone surrogates, which a file decoded with ``surrogateescape`` may hold."""
    return text.encode("utf-8", "surrogatepass")


def byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(encode(text))


class SyntaxTree:
    """The tree of one document, with the document's bytes beside it.

    The bytes have ``\\n`` at the end of each line whatever the file has: that is how tree-sitter counts rows.
    Rows are found by walking from the row of the last edit, because the next edit is nearly always close to it.
    """

    def __init__(self, language: Language) -> None:
        self._language = language
        self._parser = Parser(language)
        self._lines: Sequence[str] = ()
        self._bytes = bytearray()
        self._tree: Tree = self._parser.parse(b"")
        self._anchor = (0, 0)
        """A row and the offset of its first byte."""
        self._spans_rows = False
        self.stale = False
        """Whether the text changed since the last parse."""
        self.parse_seconds = 0.0

    def load(self, lines: Sequence[str]) -> None:
        """Follow ``lines``, which the document goes on to change in place."""
        self._lines = lines
        self._bytes = bytearray(encode("\n".join(lines)))
        self._anchor = (0, 0)
        self._tree = self._parse(None)

    @property
    def source(self) -> bytes:
        """The text as the parser sees it."""
        return bytes(self._bytes)

    @property
    def should_wait(self) -> bool:
        """Whether a parse now could be felt between two keys."""
        if not self.stale:
            return False
        return self.parse_seconds > SLOW_PARSE or (self._spans_rows and len(self._lines) > LONG_FILE)

    def replace(self, start: Location, end: Location, inserted: list[str]) -> None:
        """Record that the range became ``inserted``. Called before the document changes its lines."""
        (first, left), (last, right) = start, end
        first_line, last_line = self._lines[first], self._lines[last]
        row_byte = self._byte_of_row(first)
        left_bytes, right_bytes = byte_length(first_line[:left]), byte_length(last_line[:right])
        start_byte = row_byte + left_bytes
        old_end_byte = row_byte + self._bytes_between(first, last) + right_bytes
        data = encode("\n".join(inserted))
        self._bytes[start_byte:old_end_byte] = data
        end_row = first + len(inserted) - 1
        end_column = byte_length(inserted[-1]) + (left_bytes if end_row == first else 0)
        self._tree.edit(
            start_byte,
            old_end_byte,
            start_byte + len(data),
            (first, left_bytes),
            (last, right_bytes),
            (end_row, end_column),
        )
        self._anchor = (first, row_byte)
        self.stale = True
        self._spans_rows = self._spans_rows or first != last or len(inserted) > 2

    def sync(self) -> list[tuple[int, int]]:
        """Parse what changed; the rows, first and last, whose syntax is not what it was."""
        if not self.stale:
            return []
        old = self._tree
        self._tree = self._parse(old)
        return [(changed.start_point[0], changed.end_point[0]) for changed in old.changed_ranges(self._tree)]

    def prepare(self, query: str) -> Query:
        return Query(self._language, query)

    def captures(self, query: Query, start: tuple[int, int], end: tuple[int, int]) -> dict[str, list[Node]]:
        cursor = QueryCursor(query)
        cursor.set_point_range(start, end)
        return cursor.captures(self._tree.root_node)

    def _parse(self, old: Tree | None) -> Tree:
        began = time.thread_time()
        # From bytes: a read callback costs thousands of Python calls per parse. An edited tree may be given to one
        # parse only.
        tree = self._parser.parse(self._bytes) if old is None else self._parser.parse(self._bytes, old)
        self.parse_seconds = time.thread_time() - began
        self.stale = self._spans_rows = False
        return tree

    def _byte_of_row(self, row: int) -> int:
        anchor_row, anchor_byte = self._anchor
        if row >= anchor_row:
            return anchor_byte + self._bytes_between(anchor_row, row)
        return anchor_byte - self._bytes_between(row, anchor_row)

    def _bytes_between(self, first: int, last: int) -> int:
        """From the start of row ``first`` to the start of row ``last``."""
        return sum([byte_length(line) for line in self._lines[first:last]]) + last - first
