"""An editor among things that cover and move it. f2 dialog, f3 side pane, f4 other screen, f5 theme, f6 hide, f12
redraw, ctrl+r say when all is quiet."""

from __future__ import annotations

from typing import ClassVar

from quiet import say_when_quiet
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.screen import ModalScreen, Screen
from textual.widgets import Label, Static

from tui.terminal.diff_driver import DiffDriver
from tui.widgets.editor.editor import Editor
from tui.widgets.editor.pane import EditorPane

TEXT = "\n".join(f"def function_{n}(x):\n    return [x, 'text {n}', ({n})]  # note" for n in range(60))


class Cover(ModalScreen[None]):
    CSS = "Cover { align: center middle; } Label { width: 30; height: 7; background: $panel; }"

    def compose(self) -> ComposeResult:
        yield Label("READY dialog")


class Other(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Static("READY other screen\n" * 40)


class PaintingApp(App[None]):
    CSS = "#side { width: 20; }"
    BINDINGS: ClassVar = [
        Binding("f2", "cover", priority=True),
        Binding("f3", "side", priority=True),
        Binding("f4", "other", priority=True),
        Binding("f5", "next_theme", priority=True),
        Binding("f6", "hide", priority=True),
        Binding("f7", "change_covered", priority=True),
        Binding("f12", "redraw", priority=True),
        Binding("ctrl+r", "say_when_quiet", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__(driver_class=DiffDriver)
        self.editor = Editor(TEXT)

    def compose(self) -> ComposeResult:
        yield Static("READY", id="head")
        with Horizontal():
            yield Static("side", id="side")
            yield EditorPane(self.editor)
        yield Static("foot", id="foot")

    def on_mount(self) -> None:
        self.editor.focus()

    def _toggle(self, screen: Screen[None]) -> None:
        if isinstance(self.screen, type(screen)):
            self.pop_screen()
        elif len(self.screen_stack) == 1:
            self.push_screen(screen)

    def action_cover(self) -> None:
        self._toggle(Cover())

    def action_other(self) -> None:
        self._toggle(Other())

    def action_side(self) -> None:
        side = self.screen_stack[0].query_one("#side")
        side.display = not side.display

    def action_hide(self) -> None:
        self.editor.display = not self.editor.display
        self.editor.focus()

    def action_next_theme(self) -> None:
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"

    def action_change_covered(self) -> None:
        """Edits come from elsewhere too, whatever is in front, together with changes above and below."""
        self.editor.replace("é", (self.editor.scroll_offset.y + 5, 0), (self.editor.scroll_offset.y + 5, 2))
        base = self.screen_stack[0]
        base.query_one("#head", Static).update(f"READY {len(self.editor.text)}")
        base.query_one("#foot", Static).update(f"foot {len(self.editor.text)}")

    def action_redraw(self) -> None:
        driver = self._driver
        assert isinstance(driver, DiffDriver)
        driver.forget()
        self.screen.refresh(layout=True)

    def action_say_when_quiet(self) -> None:
        say_when_quiet(self)


if __name__ == "__main__":
    PaintingApp().run()
