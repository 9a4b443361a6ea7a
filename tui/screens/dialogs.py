"""The dialogs that serve everywhere: ask for a line, for one of a few answers, show a report.

All dialogs share a box of modest size, Esc gives up, and they still work in a small terminal.
"""

from __future__ import annotations

import asyncio
import difflib
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.text.sanitise import sanitise_code, sanitise_line
from tui.widgets.diff_rows import diff_tone
from tui.widgets.row_list import Row, RowList

T = TypeVar("T")

DIFFERENCE = "d"
"""Key of the line that shows the difference."""

COMPARED_LINES = 20_000
"""Texts longer than this are not compared line by line: it would take seconds."""

LEAST_ROOM = 20
"""Cells of a report's line in the narrowest terminal."""

_LEGEND = Row("legend", " -  on disk     +  unsaved", tone="dim")


class Dialog(ModalScreen[T | None]):
    """A modal screen that answers None when the user gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Back", show=False)]

    def action_give_up(self) -> None:
        self.dismiss(None)


class AskScreen(Dialog[str]):
    """The result is the line, or None for Esc.

    Args:
        question: What is asked for.
        value: What the line holds at first.
        problem: Why the previous answer was refused.
        secret: What is typed is not shown, and is taken as it is.
    """

    def __init__(self, question: str, value: str = "", problem: str = "", *, secret: bool = False) -> None:
        super().__init__()
        self._secret = secret
        self._question = sanitise_line(question)
        self._value = value
        self._problem = sanitise_line(problem)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(self._question, classes="dialog--title", markup=False)
            yield Input(self._value, compact=True, select_on_focus=False, password=self._secret, id="answer")
            yield Static(self._problem, classes="dialog--problem", markup=False)
            yield Static("Enter goes on   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#answer"))
        self.query_one(".dialog--problem").display = bool(self._problem)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if answer := event.value if self._secret else event.value.strip():
            self.dismiss(answer)


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer.

    Attributes:
        key: The letter that gives it.
        text: What it does, in plain words.
        risky: It takes something away, writes over something or trusts something: only its letter gives it.
        also: A key that does the same elsewhere, and gives it here as well.
    """

    key: str
    text: str
    risky: bool = False
    also: str = ""


def answer_rows(answers: Iterable[Choice]) -> list[Row]:
    """Return a row for each answer, the risky ones in the danger tone."""
    return [
        Row(item.key, f" {item.key:<4}{sanitise_line(item.text)}", tone="danger" if item.risky else "")
        for item in answers
    ]


def safe_answer(answers: Iterable[Choice]) -> str:
    """Return the key of the row that Enter gives at first: an answer that risks nothing, else to give up."""
    return next((item.key for item in answers if not item.risky), "")


def needs_letter(answers: Iterable[Choice], key: str) -> bool:
    """Return whether the answer is one that Enter does not give."""
    return any(item.risky and item.key == key for item in answers)


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
        answers: Sequence[Choice],
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
            yield Static("", classes="dialog--problem", markup=False)
            yield RowList(id="difference", empty="No difference.")

    def on_mount(self) -> None:
        self.query_one(".dialog--problem").display = False
        rows = answer_rows(self._answers)
        if self._compare is not None:
            rows.append(Row(DIFFERENCE, f" {DIFFERENCE:<4}show the difference"))
        rows.append(Row("", f" Esc {self._back}", tone="dim"))
        answers = self.query_one("#answers", RowList)
        answers.styles.height = len(rows)
        answers.set_rows(rows, cursor=safe_answer(self._answers))
        self.set_focus(answers)
        self.query_one("#difference").display = False

    async def on_key(self, event: events.Key) -> None:
        keys = {item.key for item in self._answers}
        if same := next((item.key for item in self._answers if event.key == item.also), ""):
            event.stop()
            await self._answer(same)
        elif event.character in keys or (event.character == DIFFERENCE and self._compare is not None):
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
    lines = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return [Row(str(i), f" {line[:1]}{sanitise_code(line[1:])}", tone=diff_tone(line)) for i, line in enumerate(lines)]


def tell_letter(dialog: Dialog[T], key: str) -> None:
    """Say in a dialog that Enter does not give this answer."""
    line = dialog.query_one(".dialog--problem", Static)
    line.update(f"Enter does not do this: press {key}.")
    line.display = True


class ReportScreen(Dialog[None]):
    """Shows it; Enter and Esc go back.

    Args:
        title: The sum of it.
        lines: Each may hold anything, and is wrapped.
    """

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title = sanitise_line(title)
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(self._title, classes="dialog--title", markup=False)
            yield RowList(id="report")
            yield Static("Enter or Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        report = self.query_one(RowList)
        rows = list(_wrapped(self._lines, max(LEAST_ROOM, min(self.app.size.width, 76) - 6)))
        report.styles.height = min(len(rows), max(1, self.app.size.height - 8))
        report.set_rows(rows)
        self.set_focus(report)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.dismiss(None)


def _wrapped(lines: Iterable[str], width: int) -> Iterable[Row]:
    for number, line in enumerate(lines):
        for part, piece in enumerate(textwrap.wrap(sanitise_line(line), width) or [""]):
            yield Row(f"{number}.{part}", f" {'  ' if part else ''}{piece}")
