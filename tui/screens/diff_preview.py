"""What decisions about differences would do, before they are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.models import DiffOutcome
from tui.screens.dialog import Dialog
from tui.terminal_guard import sanitise_line
from tui.widgets.row_list import Row, RowList

TAB = 8
_TONES = {"-": "danger", "+": "accent", "@": "dim"}


class PreviewScreen(Dialog[bool]):
    """True when the user wants it done; None for Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "apply", "Apply", show=False)]

    def __init__(self, outcomes: Sequence[DiffOutcome]) -> None:
        super().__init__()
        self._outcomes = outcomes
        self._lines = RowList(id="preview")

    def compose(self) -> ComposeResult:
        possible = sum(outcome.done for outcome in self._outcomes)
        title = f"{possible} of {len(self._outcomes)} would be done" if possible else "Nothing of it can be done"
        with Vertical(classes="dialog--box -tall"):
            yield Static(title, classes="dialog--title", markup=False)
            yield self._lines
            keys = "a do it   Esc back, nothing is done" if possible else "Esc back"
            yield Static(keys, classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self._lines.set_rows(list(preview_rows(self._outcomes)))
        self.set_focus(self._lines)

    def action_apply(self) -> None:
        if any(outcome.done for outcome in self._outcomes):
            self.dismiss(True)


def preview_rows(outcomes: Sequence[DiffOutcome]) -> Iterator[Row]:
    """A line for each decision, and below it what it would change."""
    for number, outcome in enumerate(outcomes):
        name = sanitise_line(outcome.path or "scripts")
        lead = "" if outcome.done else "not possible: "
        yield Row(f"{number}", f" {name}", tone="" if outcome.done else "danger")
        yield Row(f"{number}.s", f"   {lead}{sanitise_line(outcome.sentence)}", tone="dim")
        for line_number, line in enumerate(outcome.diff.split("\n")[2:] if outcome.diff else []):
            text = sanitise_line(line.expandtabs(TAB))
            yield Row(f"{number}.{line_number}", f"   {text}", tone=_TONES.get(line[:1], ""))
