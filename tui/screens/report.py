"""What became of something with many parts: a line for each that is worth one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui.screens.dialog import Dialog
from tui.terminal_guard import sanitise_line
from tui.widgets.row_list import Row, RowList

LEAST_ROOM = 20


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
