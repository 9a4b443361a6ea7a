"""What of a text is another one in a new version of it, and where its rows went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui.text.common_lines import LineMatcher, equal_ends


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``first:old_end`` of one text became rows ``first:new_end`` of the other; neither is empty."""

    first: int
    old_end: int
    new_end: int


def changed_span(old: Sequence[str], new: Sequence[str]) -> Span:
    """The smallest run of rows that holds every difference. Both texts have a line, and they differ."""
    head, tail = equal_ends(old, new)
    if head + tail == min(len(old), len(new)):  # only added or only removed: take a row beside it in
        if head:
            head -= 1
        else:
            tail -= 1
    return Span(head, len(old) - tail, len(new) - tail)


def row_follower(old: Sequence[str], new: Sequence[str]) -> Callable[[int], int]:
    """Says for rows of ``old`` where they are in ``new``; for one that is not there any more, where it would be."""
    blocks = LineMatcher(None, old, new).get_matching_blocks()

    def follow(row: int) -> int:
        before = 0  # where in ``new`` the equal rows above end
        for old_first, new_first, size in blocks:
            if row < old_first:
                return min(before, len(new) - 1)
            if row < old_first + size:
                return new_first + row - old_first
            before = new_first + size
        return len(new) - 1

    return follow
