"""A change that the assistant proposes, before the user applies it or not."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from tui.actions import Scope, bindings, footer_hints
from tui.screens.dialogs import Dialog
from tui.text.sanitise import sanitise_line
from tui.widgets.diff_rows import unified_rows
from tui.widgets.row_list import RowList


class ProposalScreen(Dialog[bool]):
    """Shows the difference; True to apply it, None for Esc.

    Args:
        title: Whose change of what.
        diff: Unified.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.PROPOSAL)

    def __init__(self, title: str, diff: str) -> None:
        super().__init__()
        self._title = sanitise_line(title)
        self._diff = diff

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box -tall", id="approval"):
            yield Static(self._title, classes="dialog--title", markup=False)
            yield RowList(id="text-difference")
            keys = "  ".join(f"{item.key} {item.hint}" for item in footer_hints(Scope.PROPOSAL))
            yield Static(f"{keys}   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(RowList))
        self.call_after_refresh(self._fill)

    async def _fill(self) -> None:
        view = self.query_one(RowList)
        width = view.size.width - 2
        view.set_rows(await asyncio.to_thread(lambda: list(unified_rows(self._diff, width))))

    def action_apply_proposal(self) -> None:
        self.dismiss(True)
