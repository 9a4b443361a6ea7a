"""Where a text occurs in a document."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widgets.text_area import Location


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence among all.

    Attributes:
        start: Where it starts; None if there is none.
        number: Which one it is, from 1; 0 if there is none.
        total: How many there are.
    """

    start: Location | None
    number: int
    total: int


def occurrences(lines: Sequence[str], pattern: str) -> list[Location]:
    """Every place where ``pattern`` starts, in order. Capitals count if it has any."""
    if not pattern:
        return []
    if pattern != pattern.lower():
        return [
            (row, match.start())
            for row, line in enumerate(lines)
            if pattern in line
            for match in re.finditer(re.escape(pattern), line)
        ]
    expression = re.compile(re.escape(pattern), re.IGNORECASE)
    return [
        (row, match.start())
        for row, line in enumerate(lines)
        if pattern in line.lower()
        for match in expression.finditer(line)
    ]


def next_occurrence(places: Sequence[Location], here: Location, *, forward: bool, again: bool) -> Occurrence:
    """The first of ``places`` from ``here`` on, or back, around the end if need be.

    ``again`` leaves out one that starts at ``here`` itself.
    """
    if not places:
        return Occurrence(None, 0, 0)
    if forward:
        index = bisect_right(places, here) if again else bisect_left(places, here)
    else:
        index = (bisect_left(places, here) if again else bisect_right(places, here)) - 1
    index %= len(places)
    return Occurrence(places[index], index + 1, len(places))
