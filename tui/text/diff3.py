"""A three-way merge of lines: diff3, as Khanna, Kunal and Pierce describe it (A Formal Investigation of Diff3, 2007).

Lines that all three texts share, by the equal runs of the base with each side, are stable. What stands between two
stable chunks is unstable: one chunk, however many changes it holds, so that changes right beside each other conflict,
as in git.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tui.text.common_lines import LineMatcher


class Chunk(NamedTuple):
    """Lines of the three texts that belong together.

    Attributes:
        mine: As they stand in mine.
        theirs: As they stand in theirs.
        merged: What comes of them; None for a conflict: both sides changed the base, each in its own way.
    """

    mine: Sequence[str]
    theirs: Sequence[str]
    merged: Sequence[str] | None


def diff3(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> Iterator[Chunk]:
    """Yield the chunks of a merge in order. No chunk is empty in all three texts."""
    row = row_mine = row_theirs = 0
    for at, at_mine, at_theirs, size in _stable(base, mine, theirs):
        before = base[row:at], mine[row_mine:at_mine], theirs[row_theirs:at_theirs]
        if any(before):
            yield _merge_unstable(*before)
        row, row_mine, row_theirs = at + size, at_mine + size, at_theirs + size
        if size:
            lines = base[at:row]
            yield Chunk(lines, lines, lines)


def _merge_unstable(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> Chunk:
    if mine == theirs or theirs == base:
        return Chunk(mine, theirs, mine)
    return Chunk(mine, theirs, theirs if mine == base else None)


def _stable(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the runs that are equal in all three: places and length. The last one is empty, at the ends."""
    blocks_mine = LineMatcher(None, base, mine).get_matching_blocks()
    blocks_theirs = LineMatcher(None, base, theirs).get_matching_blocks()
    number_mine = number_theirs = 0
    while number_mine < len(blocks_mine) and number_theirs < len(blocks_theirs):
        base_mine, at_mine, size_mine = blocks_mine[number_mine]
        base_theirs, at_theirs, size_theirs = blocks_theirs[number_theirs]
        first = max(base_mine, base_theirs)
        end_mine, end_theirs = base_mine + size_mine, base_theirs + size_theirs
        if first < min(end_mine, end_theirs):
            yield first, at_mine + first - base_mine, at_theirs + first - base_theirs, min(end_mine, end_theirs) - first
        if end_mine <= end_theirs:
            number_mine += 1
        if end_theirs <= end_mine:
            number_theirs += 1
    yield len(base), len(mine), len(theirs), 0
