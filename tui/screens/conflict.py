"""What to do with two versions of a script: each answer says what becomes of which text, beside the difference."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui.screens.dialogs import (
    DIFFERENCE,
    Choice,
    Dialog,
    answer_rows,
    difference_rows,
    needs_letter,
    safe_answer,
    tell_letter,
)
from tui.text.sanitise import sanitise_line
from tui.widgets.row_list import Row, RowList

BACK = "back to editing, nothing written"


class Side(StrEnum):
    """The keys of the answers."""

    MERGE = "m"
    MINE = "k"
    THEIRS = "t"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts to show the difference of.

    Attributes:
        old_name: What the lines with ``-`` are in.
        new_name: What the lines with ``+`` are in.
    """

    old_name: str
    old: str
    new_name: str
    new: str


class ConflictScreen(Dialog[Side]):
    """Asks; the result is the answer's key, or None for Esc.

    Args:
        question: One sentence.
        answers: In the order shown.
        comparisons: The first one is shown at once, a key leads from one to the next.
    """

    def __init__(self, question: str, answers: Sequence[Choice], comparisons: Sequence[Comparison]) -> None:
        super().__init__()
        self._question = sanitise_line(question)
        self._answers = answers
        self._comparisons = comparisons
        self._shown = 0

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(self._question, classes="dialog--title", markup=False)
            yield RowList(id="answers")
            yield Static("", classes="dialog--problem", markup=False)
            yield RowList(id="difference", empty="No difference.")

    async def on_mount(self) -> None:
        self.query_one(".dialog--problem").display = False
        rows = answer_rows(self._answers)
        if len(self._comparisons) > 1:
            rows.append(Row(DIFFERENCE, f" {DIFFERENCE:<4}show the next difference; Tab goes into it"))
        rows.append(Row("", f" Esc {BACK}", tone="dim"))
        answers = self.query_one("#answers", RowList)
        answers.styles.height = len(rows)
        answers.set_rows(rows, cursor=safe_answer(self._answers))
        self.set_focus(answers)
        await self._show_difference()

    async def on_key(self, event: events.Key) -> None:
        if event.character in {item.key for item in self._answers} | {DIFFERENCE}:
            event.stop()
            await self._answer(event.character or "")

    async def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        if event.row_list.id != "answers":
            return
        if needs_letter(self._answers, event.key):
            tell_letter(self, event.key)
        else:
            await self._answer(event.key)

    async def _answer(self, key: str) -> None:
        if key == DIFFERENCE:
            self._shown = (self._shown + 1) % len(self._comparisons)
            await self._show_difference()
        else:
            self.dismiss(Side(key) if key else None)

    async def _show_difference(self) -> None:
        shown = self._comparisons[self._shown]
        rows = await asyncio.to_thread(difference_rows, shown.old, shown.new)
        legend = Row("legend", f" -  {shown.old_name}     +  {shown.new_name}", tone="dim")
        view = self.query_one("#difference", RowList)
        view.set_rows([legend, *(rows or [Row("none", " No difference.")])], cursor="legend")
