"""A question with a few answers, each named by what it does."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui.screens.dialog import Dialog
from tui.terminal_guard import sanitise_line
from tui.widgets.row_list import Row, RowList

DIFFERENCE = "d"
"""Key of the line that shows the difference."""

COMPARED_LINES = 20_000
"""Texts longer than this are not compared line by line: it would take seconds."""


_LEGEND = Row("legend", " -  on disk     +  unsaved", tone="dim")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its key, and what it does in plain words."""

    key: str
    text: str


class ChoiceScreen(Dialog[str]):
    """Asks; the result is the key of an answer, or None for Esc.

    Args:
        question: One sentence.
        answers: In the order shown.
        back: What Esc does, in plain words.
        compare: What is on disk and what is unsaved, if a difference can be shown; called when it is asked for.
    """

    def __init__(
        self,
        question: str,
        answers: Sequence[Answer],
        back: str,
        compare: Callable[[], tuple[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self._question = sanitise_line(question)
        self._answers = answers
        self._back = back
        self._compare = compare

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(self._question, classes="dialog--title", markup=False)
            yield RowList(id="answers")
            yield RowList(id="difference", empty="No difference.")

    def on_mount(self) -> None:
        rows = [Row(item.key, f" {item.key:<4}{sanitise_line(item.text)}") for item in self._answers]
        if self._compare is not None:
            rows.append(Row(DIFFERENCE, f" {DIFFERENCE:<4}show the difference"))
        rows.append(Row("", f" Esc {self._back}", tone="dim"))
        answers = self.query_one("#answers", RowList)
        answers.styles.height = len(rows)
        answers.set_rows(rows)
        self.set_focus(answers)
        self.query_one("#difference").display = False

    async def on_key(self, event: events.Key) -> None:
        keys = {item.key for item in self._answers}
        if event.character in keys or (event.character == DIFFERENCE and self._compare is not None):
            event.stop()
            await self._answer(event.character or "")

    async def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        if event.row_list.id == "answers":
            await self._answer(event.key)

    async def _answer(self, key: str) -> None:
        if key == DIFFERENCE and self._compare is not None:
            await self._show_difference(*self._compare())
        else:
            self.dismiss(key or None)

    async def _show_difference(self, old: str, new: str) -> None:
        rows = [_LEGEND, *await asyncio.to_thread(difference_rows, old, new)]
        view = self.query_one("#difference", RowList)
        view.display = True
        view.set_rows(rows)
        self.set_focus(view)


def difference_rows(old: str, new: str) -> list[Row]:
    """The unified difference of two texts as rows, removed lines in the danger tone, added ones in the accent."""
    before, after = old.split("\n"), new.split("\n")
    if len(before) + len(after) > COMPARED_LINES:
        return [Row("0", f" {len(before)} lines before, {len(after)} after: too long to compare here.")]
    tones = {"-": "danger", "+": "accent", "@": "dim"}
    lines = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return [Row(str(i), f" {sanitise_line(line)}", tone=tones.get(line[:1], "")) for i, line in enumerate(lines)]
