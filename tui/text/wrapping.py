"""Where a sentence is broken so that it fits a width: between words, and within a word that is too long for a line."""

from __future__ import annotations

import re

from rich.cells import cell_len

INDENT = 2
"""Cells before every line of a sentence but its first."""

_LEAST_WIDTH = 10
_WORD = re.compile(r"\s*\S+\s*")


def line_starts(text: str, width: int) -> list[int]:
    """Return where in ``text`` each of its lines begins, the first one at 0.

    Args:
        text: A sentence, without line ends.
        width: Cells of a line, the indent of later lines among them. Blanks at the end of a line do not count.
    """
    room, later = max(width, _LEAST_WIDTH), max(width, _LEAST_WIDTH) - INDENT
    starts, used = [0], 0
    for word in _WORD.finditer(text):
        whole = word.group()
        if used and used + cell_len(whole.rstrip()) > room:
            starts.append(word.start())
            used, room = 0, later
        if used + cell_len(whole.rstrip()) <= room:
            used += cell_len(whole)
            continue
        for at, character in enumerate(whole.rstrip(), word.start()):
            if used + cell_len(character) > room:
                starts.append(at)
                used, room = 0, later
            used += cell_len(character)
        used += len(whole) - len(whole.rstrip())
    return starts
