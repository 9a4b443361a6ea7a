"""The editor with its find bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical

from tui.widgets.banner import Banner
from tui.widgets.editor.editor import Editor
from tui.widgets.editor.find_bar import FindBar, Purpose

if TYPE_CHECKING:
    from textual.app import ComposeResult


class EditorPane(Vertical):
    """An editor, and below it, when asked for, the bar that finds text and goes to lines.

    The banner above it says what is not settled between the text and its file.

    Args:
        editor: The editor to show.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+g", "go_to_line", show=False)]

    def __init__(
        self,
        editor: Editor,
        *,
        id: str | None = None,  # noqa: A002  (Textual's name)
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.editor = editor
        self.banner = Banner()
        self.find_bar = FindBar()

    def compose(self) -> ComposeResult:
        yield self.banner
        yield self.editor
        yield self.find_bar

    def action_find(self) -> None:
        """Open the bar, with the selected text if it is on one line."""
        selected = self.editor.selected_text
        self.find_bar.open(Purpose.FIND, selected if selected and "\n" not in selected else None)

    def action_go_to_line(self) -> None:
        self.find_bar.open(Purpose.LINE)

    def on_find_bar_asked(self, event: FindBar.Asked) -> None:
        event.stop()
        if event.purpose is Purpose.LINE:
            self._go_to_line(event.text)
            return
        found = self.editor.find(event.text, forward=event.forward, again=event.again)
        self.find_bar.show_result(f"{found.number} of {found.total}" if found.total else "none" if event.text else "")

    def _go_to_line(self, text: str) -> None:
        total = self.editor.document.line_count
        if text.strip().isdecimal():
            self.editor.go_to_line(int(text))
        self.find_bar.show_result(f"of {total}")

    def go_to(self, row: int, column: int) -> None:
        """Put the cursor on a row and column, counted from 0, in the middle of the editor, and the focus there."""
        row = min(row, self.editor.document.line_count - 1)
        self.editor.move_cursor((row, min(column, len(self.editor.document[row]))), center=True)
        self.editor.focus()

    def on_find_bar_closed(self, event: FindBar.Closed) -> None:
        event.stop()
        self.editor.focus()
