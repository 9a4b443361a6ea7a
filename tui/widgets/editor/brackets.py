"""The partner of a bracket, looked for among close lines only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widgets.text_area import DocumentBase, Location

SEARCHED_LINES = 400
"""A bracket without a partner would otherwise be looked for to the end of the file, on every key."""

_BRACKET = re.compile(r"[()\[\]{}]")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_OPENING = {closing: opening for opening, closing in _CLOSING.items()}


def partner_of(document: DocumentBase, bracket: str, location: Location) -> Location | None:
    """Where the partner of the ``bracket`` at ``location`` is; None if it is no bracket, far away, or badly
    nested."""
    if bracket in _CLOSING:
        return _first_balanced(_forward(document, location), _CLOSING)
    if bracket in _OPENING:
        return _first_balanced(_backward(document, location), _OPENING)
    return None


def _first_balanced(brackets: Iterator[tuple[str, Location]], partners: dict[str, str]) -> Location | None:
    waiting: list[str] = []
    for bracket, location in brackets:
        if bracket in partners:
            waiting.append(partners[bracket])
        elif waiting[-1] == bracket:
            waiting.pop()
            if not waiting:
                return location
    return None


def _forward(document: DocumentBase, start: Location) -> Iterator[tuple[str, Location]]:
    first, column = start
    for row in range(first, min(first + SEARCHED_LINES, document.line_count)):
        for match in _BRACKET.finditer(document[row], column if row == first else 0):
            yield match[0], (row, match.start())


def _backward(document: DocumentBase, start: Location) -> Iterator[tuple[str, Location]]:
    first, column = start
    for row in range(first, max(first - SEARCHED_LINES, -1), -1):
        line = document[row]
        for match in reversed(list(_BRACKET.finditer(line, 0, column + 1 if row == first else len(line)))):
            yield match[0], (row, match.start())
