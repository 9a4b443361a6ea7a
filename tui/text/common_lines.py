"""Which lines two texts have in common."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

EXACT_LINES = 2_000
"""Of two texts together, up to which every line is compared with every other one."""

COMPARED_LINES = 20_000
"""Without a line that stands once in both, more than so many count as one change: they would take seconds."""

Block = tuple[int, int, int]
"""An equal run of lines: place in a, place in b, length."""


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
    """difflib's matcher for texts of any length.

    Equal lines at both ends are set apart. What is long between them is cut at lines that stand once in both texts, so
    that difflib only ever sees pieces that it can compare quickly.
    """

    def __init__(
        self,
        isjunk: Callable[[str], bool] | None = None,
        a: Sequence[str] = "",
        b: Sequence[str] = "",
        autojunk: bool = True,
    ) -> None:
        self._isjunk, self._a, self._b, self._autojunk = isjunk, a, b, autojunk

    def get_matching_blocks(self) -> list[Block]:
        """Equal runs in order, with an empty one at the end."""
        a, b = self._a, self._b
        head, tail = equal_ends(a, b)
        end_a, end_b = len(a) - tail, len(b) - tail
        found = [(0, 0, head)]
        row_a, row_b = head, head
        for at_a, at_b in self._anchors(head, end_a, end_b):
            if row_a < at_a and row_b < at_b:
                found += self._between(row_a, at_a, row_b, at_b)
            found.append((at_a, at_b, 1))
            row_a, row_b = at_a + 1, at_b + 1
        found += self._between(row_a, end_a, row_b, end_b)
        found.append((end_a, end_b, tail))
        return [*_joined(found), (len(a), len(b), 0)]

    def _anchors(self, head: int, end_a: int, end_b: int) -> list[tuple[int, int]]:
        """Lines that stand once in each text, in the same order in both; none if the texts are short."""
        if end_a + end_b - 2 * head <= EXACT_LINES:
            return []
        places_a, places_b = _once(self._a, head, end_a), _once(self._b, head, end_b)
        return _in_order([(row, places_b[line]) for line, row in places_a.items() if line in places_b])

    def _between(self, row_a: int, end_a: int, row_b: int, end_b: int) -> Iterator[Block]:
        a, b = self._a[row_a:end_a], self._b[row_b:end_b]
        total = len(a) + len(b)
        if a and b and total <= COMPARED_LINES:
            autojunk = self._autojunk and total > EXACT_LINES
            for block in difflib.SequenceMatcher(self._isjunk, a, b, autojunk=autojunk).get_matching_blocks():
                yield row_a + block.a, row_b + block.b, block.size


def _once(lines: Sequence[str], first: int, end: int) -> dict[str, int]:
    """Lines that stand there once, in order, with their rows."""
    counts = Counter(lines[first:end])
    return {lines[row]: row for row in range(first, end) if counts[lines[row]] == 1}


def _in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs, whose first places rise, in which the second ones rise as well."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [number]
    found = []
    number = last[-1] if last else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Without empty runs, and with runs that go on in both texts as one."""
    joined: list[Block] = []
    for a, b, size in blocks:
        if joined and joined[-1][0] + joined[-1][2] == a and joined[-1][1] + joined[-1][2] == b:
            joined[-1] = (joined[-1][0], joined[-1][1], joined[-1][2] + size)
        elif size:
            joined.append((a, b, size))
    return joined
