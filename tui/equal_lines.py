"""Which lines two texts have in common."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

COMPARED_LINES = 20_000
"""Of two texts, without what is equal at their beginnings and ends; more would take seconds and count as one change."""

EXACT_LINES = 2_000
"""Up to so many, lines that stand in a text often are compared like all others."""


def equal_ends(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """How many lines are equal at the beginnings of two texts, and how many of the others at their ends."""
    shorter = min(len(a), len(b))
    head = 0
    while head < shorter and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    return head, tail


class LineMatcher:
    """difflib's matcher, told only of what lies between the equal lines at both ends, and never of too much."""

    def __init__(
        self,
        isjunk: Callable[[str], bool] | None = None,
        a: Sequence[str] = "",
        b: Sequence[str] = "",
        autojunk: bool = True,
    ) -> None:
        self._isjunk, self._a, self._b, self._autojunk = isjunk, a, b, autojunk

    def get_matching_blocks(self) -> list[tuple[int, int, int]]:
        """Equal runs of lines as (place in a, place in b, length), in order, with an empty one at the end."""
        a, b = self._a, self._b
        head, tail = equal_ends(a, b)
        blocks = [(0, 0, head)]
        for place_a, place_b, size in self._between(a[head : len(a) - tail], b[head : len(b) - tail]):
            blocks.append((head + place_a, head + place_b, size))
        blocks.append((len(a) - tail, len(b) - tail, tail))
        return [block for block in blocks if block[2]] + [(len(a), len(b), 0)]

    def _between(self, a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int]]:
        total = len(a) + len(b)
        if total > COMPARED_LINES:
            return []
        autojunk = self._autojunk and total > EXACT_LINES
        matcher = difflib.SequenceMatcher(self._isjunk, a, b, autojunk=autojunk)
        return [(block.a, block.b, block.size) for block in matcher.get_matching_blocks()]
