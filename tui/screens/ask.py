"""Asks for one line of text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui.screens.dialog import Dialog
from tui.terminal_guard import sanitise_line


class AskScreen(Dialog[str]):
    """The result is the line, or None for Esc.

    Args:
        question: What is asked for.
        value: What the line holds at first.
        problem: Why the previous answer was refused.
    """

    def __init__(self, question: str, value: str = "", problem: str = "") -> None:
        super().__init__()
        self._question = sanitise_line(question)
        self._value = value
        self._problem = sanitise_line(problem)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(self._question, classes="dialog--title", markup=False)
            yield Input(self._value, compact=True, select_on_focus=False, id="answer")
            yield Static(self._problem, classes="dialog--problem", markup=False)
            yield Static("Enter goes on   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#answer"))
        self.query_one(".dialog--problem").display = bool(self._problem)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if answer := event.value.strip():
            self.dismiss(answer)
