"""An application that shows hostile text everywhere it can: ``hostile_app.py FOLDER [--no-diff]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text
from textual.app import App, ComposeResult
from textual.content import Content
from textual.filter import LineFilter
from textual.widgets import DataTable, Label, OptionList

from tui.terminal.diff_driver import driver_class
from tui.terminal.guard import HostileTextFilter
from tui.widgets.editor.editor import Editor
from tui.widgets.output_view import OutputView

ATTACKS = [
    "\x1b]52;c;QVRUQUNL\x07",  # clipboard
    "\x1b]0;ATTACK\x07",  # title
    "\x1b[?1049l",  # leave the alternate screen
    "\x1b[2J",  # clear
    "\x9b31m",  # CSI in one character
    "\x9d0;ATTACK\x9c",  # OSC in one character
    "\x90ATTACK\x9c",  # DCS
    "\x1b]8;;http://a\x07\x1b[?1049l\x1b\\link\x1b]8;;\x1b\\",  # a sequence hidden in a link
    "\x1b[6n\x05",  # questions that make the terminal type
    "bell\x07 back\x08 return\r vertical\x0b shift\x0e",
    "abc\u202edef\u2066ghi",  # reordered
    "lone \ud83d surrogate",
]


class HostileApp(App[None]):
    """Editor, output, list, table and toast; the label goes round our widgets."""

    def __init__(self, folder: Path, *, diff: bool) -> None:
        super().__init__(driver_class=driver_class(diff=diff))
        self._folder = folder
        self._guard = HostileTextFilter()

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), self._guard]

    def compose(self) -> ComposeResult:
        yield Editor("\n".join(ATTACKS), id="editor")
        yield OutputView(self._folder)
        yield OptionList(*(Content(attack) for attack in ATTACKS))
        yield DataTable()
        yield Label(Content("".join(ATTACKS)), id="label")
        yield Label(Text.from_ansi(ATTACKS[7]), id="link")

    def on_mount(self) -> None:
        for child in self.screen.children:
            child.styles.height = 14 if isinstance(child, (Editor, OutputView)) else 3
        view = self.query_one(OutputView)
        view.begin(ATTACKS[1])
        for attack in ATTACKS:
            view.feed(attack + "\n")
            view.feed(f"\x1b[31m{attack}\x1b[0m\n", "stderr")
        view.finish("end")
        table = self.query_one(DataTable)
        table.add_columns(*(Text(attack) for attack in ATTACKS[:3]))
        table.add_row(*(Text(attack) for attack in ATTACKS[3:6]))
        self.notify("".join(ATTACKS), title="".join(ATTACKS), timeout=60, markup=False)
        self.set_timer(0.5, lambda: self.query_one("#label", Label).update(Content("READY")))


if __name__ == "__main__":
    HostileApp(Path(sys.argv[1]), diff="--no-diff" not in sys.argv).run()
