"""An application that lets one hostile text through to its terminal: ``leaking_app.py NUMBER``."""

from __future__ import annotations

import sys

from hostile_project import ATTACKS
from textual.app import App, ComposeResult
from textual.widgets import Label

from tui.terminal.diff_driver import driver_class


class LeakingApp(App[None]):
    """Draws as the console does, and then writes past everything that guards it."""

    def compose(self) -> ComposeResult:
        yield Label("whatever")

    def on_mount(self) -> None:
        self.call_after_refresh(self._leak)

    def _leak(self) -> None:
        assert self._driver is not None
        self._driver.write(f"{ATTACKS[int(sys.argv[1])]}LEAKED")


if __name__ == "__main__":
    LeakingApp(driver_class=driver_class()).run()
