"""A unified difference as rows of a list, removed lines in the danger tone, added ones in the accent."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import chop_cells

from tui.text.sanitise import TAB, sanitise_code
from tui.widgets.row_list import Row

_TONES = {"-": "danger", "+": "accent", "@": "dim"}


def diff_tone(line: str) -> str:
    """The tone of a line of a unified difference."""
    return _TONES.get(line[:1], "")


def unified_rows(diff: str, width: int, key: str = "") -> Iterable[Row]:
    """The lines of ``diff``; one that is wider than ``width`` goes on below, so that nothing is hidden.

    Args:
        diff: As ``diff -u`` writes it.
        width: Cells of a line.
        key: Begins every row's key, where several differences stand in one list.
    """
    for number, line in enumerate(diff.rstrip("\n").split("\n") if diff else []):
        tone = diff_tone(line)
        for part, piece in enumerate(chop_cells(sanitise_code(line), max(TAB, width)) or [""]):
            yield Row(f"{key}{number}.{part}", f"{'>' if part else ' '}{piece}", tone=tone)
