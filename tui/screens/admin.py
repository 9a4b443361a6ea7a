"""The question before ADMIN: what it means, for how long."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from tui.screens.dialog import Dialog
from tui.step_up import STEP_UP
from tui.terminal_guard import sanitise_line


class AdminScreen(Dialog[bool]):
    """True for yes, None for Esc.

    Args:
        account: The account that the engine runs as.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,y", "confirm", "Yes", show=False)]

    def __init__(self, account: str) -> None:
        super().__init__()
        self._account = sanitise_line(account)

    def compose(self) -> ComposeResult:
        minutes = f"{STEP_UP / 60:g} minutes"
        with Vertical(classes="dialog--box -danger"):
            yield Static("ADMIN", classes="dialog--title", markup=False)
            yield Static(
                f"ADMIN runs are a shell as the engine's account {self._account}: no sandbox; time and memory are "
                f"watched. Runs you start in the next {minutes} are ADMIN.",
                markup=False,
            )
            yield Static("Enter or y goes on   Esc back", classes="dialog--keys", markup=False)

    def action_confirm(self) -> None:
        self.dismiss(True)
