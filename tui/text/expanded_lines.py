"""A text and what macros made of it, as lines to be shown: which are the text's own, and which were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from tui.text.common_lines import LineMatcher


class Origin(Enum):
    """Where a shown line is from."""

    OWN = "own"
    """The text has it as it is."""
    TAG = "tag"
    """The text has it, and macros made something else of it."""
    MADE = "made"
    """Macros made it."""


@dataclass(frozen=True, slots=True)
class ExpandedLine:
    """A line.

    Attributes:
        text: The line without its end.
        origin: Where it is from.
        row: Of the text, from 0: where it stands, or where what made it begins.
    """

    text: str
    origin: Origin
    row: int


def expanded_lines(text: str, expanded: str, *, with_tags: bool) -> list[ExpandedLine]:
    """Return the lines of ``expanded``.

    Args:
        text: As it was before.
        expanded: What macros made of it.
        with_tags: Show the lines with tags as well, each above what became of it.
    """
    return list(_lines(text.split("\n"), expanded.split("\n"), with_tags=with_tags))


def _lines(old: Sequence[str], new: Sequence[str], *, with_tags: bool) -> Iterator[ExpandedLine]:
    row = at = 0
    for old_first, new_first, size in LineMatcher(None, old, new).get_matching_blocks():
        if with_tags:
            yield from (ExpandedLine(old[one], Origin.TAG, one) for one in range(row, old_first))
        last = max(row, old_first - 1)
        begins = last if with_tags else row  # places never go back
        for number, made in enumerate(range(at, new_first)):
            yield ExpandedLine(new[made], Origin.MADE, min(begins + number, last))
        yield from (ExpandedLine(old[old_first + one], Origin.OWN, old_first + one) for one in range(size))
        row, at = old_first + size, new_first + size
