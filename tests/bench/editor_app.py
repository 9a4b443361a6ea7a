"""The smallest application around the editor: ``editor_app.py FILE [--stock] [--no-diff]``."""

from __future__ import annotations

import sys
from pathlib import Path

from textual.app import App, ComposeResult

from tui.terminal.diff_driver import driver_class
from tui.widgets.editor.editor import Editor
from tui.widgets.editor.pane import EditorPane


class EditorApp(App[None]):
    """A file in an editor, and nothing else."""

    def __init__(self, text: str, *, fast: bool, diff: bool) -> None:
        super().__init__(driver_class=driver_class(diff=diff))
        # As in the console: the first paint does not wait for the grammar.
        self.editor = Editor(text, language=None, fast=fast)

    def compose(self) -> ComposeResult:
        yield EditorPane(self.editor)

    def on_mount(self) -> None:
        self.editor.focus()
        self.call_after_refresh(setattr, self.editor, "language", "python")


if __name__ == "__main__":
    file = next(argument for argument in sys.argv[1:] if not argument.startswith("--"))
    EditorApp(
        Path(file).read_text(encoding="utf-8"), fast="--stock" not in sys.argv, diff="--no-diff" not in sys.argv
    ).run()
