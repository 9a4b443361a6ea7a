"""The floor: what any Textual application costs."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Input


class Hello(App[None]):
    """One line to type in."""

    def compose(self) -> ComposeResult:
        line = Input("gatewright-bench")
        line.cursor_blink = False
        yield line


if __name__ == "__main__":
    Hello().run()
