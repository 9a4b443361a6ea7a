"""Two runs side by side: what they were given, their texts, results and outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from engine.models.runs import RunComparison, RunInfo
from tui.actions import Scope, bindings, footer_hints
from tui.screens.full_screen import FullScreen
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line
from tui.widgets.diff_rows import unified_rows
from tui.widgets.key_hints import KeyHints
from tui.widgets.row_list import Row, RowList
from tui.widgets.task_pane import state_text, time_text


class ComparisonScreen(FullScreen[None]):
    """One list: a heading for each subject, and below it the difference or that there is none."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.COMPARISON)

    def __init__(self, found: RunComparison) -> None:
        super().__init__()
        self._found = found
        self._lines = RowList(id="comparison")

    def compose(self) -> ComposeResult:
        for sign, run in (("-", self._found.run), ("+", self._found.other)):
            yield Static(f" {sign} {_run(run)}", classes="comparison--run", markup=False)
        yield self._lines
        yield KeyHints(footer_hints(Scope.COMPARISON))
        yield self.too_small

    def on_mount(self) -> None:
        self.set_focus(self._lines)
        self.call_after_refresh(self._fill)

    def action_leave_comparison(self) -> None:
        self.dismiss(None)

    async def _fill(self) -> None:
        width = self._lines.size.width - 2
        self._lines.set_rows(await asyncio.to_thread(lambda: list(_rows(self._found, width))))


def _rows(found: RunComparison, width: int) -> Iterable[Row]:
    for title, difference in (
        ("inputs", found.inputs),
        ("text", found.code),
        ("result", found.result),
        ("output", found.output),
    ):
        yield Row(title, f" {title}: {'different' if difference else 'the same'}", tone="accent" if difference else "")
        yield from unified_rows(difference, width, key=f"{title}.")
    for number, note in enumerate(found.notes):
        yield Row(f"note.{number}", f" {sanitise_line(note)}", tone="dim")


def _run(run: RunInfo) -> str:
    return sanitise_line(
        f"#{run.id} {run.name}   {state_text(run)}   {time_text(run)}   {run.actor}   {clock(run.queued_at)}"
    )
