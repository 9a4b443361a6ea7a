"""An application with a bit of everything, its driver logging each frame before and after reduction:
``kitchen_sink.py LOG``.

Keys: f1 next widget, f2 dialog, f3 toast, f4 other screen, f5 theme, f6 tab, f7 suspend, f8 output, f9 wrap, f10 mark
in the log, f11 maximize, f12 redraw, ctrl+t table, ctrl+o jump, ctrl+n resize a pane, ctrl+r say
when all is quiet.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, TextIO

from quiet import say_when_quiet
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, DataTable, Footer, Header, Input, OptionList, Static, TabbedContent, TabPane

from tui.terminal.diff_driver import DiffDriver
from tui.widgets.editor.editor import Editor
from tui.widgets.output_view import OutputView

WIDE = [
    "plain ascii line of code = 1",
    "漢字テスト 日本語の行 mixed ascii",
    "emoji 😀🎉👍🏽 family 👨‍👩‍👧 flag 🇯🇵 heart ❤️ end",
    "combining e\u0301 a\u0308 n\u0303 zalgo Z\u0351\u0343 end",
    "한국어 텍스트 and \uff46\uff55\uff4c\uff4c",
    "box ─│┌┐└┘ ▁▂▃ ░▒▓ arrows ←→↑↓",
    "tab\there\tand\tthere",
    "",
    "zero\u200bwidth\u200djoin soft\u00adhyphen",
    "rtl שלום עربى done",
    "def f(x): return '漢' + x  # 😀 comment",
    "control \x1b[31m \x9b \x07 \u202e end",
]
THEMES = ["textual-dark", "nord", "textual-light", "ansi-dark", "gruvbox"]


class LoggingDriver(DiffDriver):
    """Writes the size, what Textual sent and what is sent in its place, a line of JSON each."""

    log: TextIO

    def _reduced(self, data: str) -> str:
        reduced = super()._reduced(data)
        self.log.write(json.dumps([self._terminal_size, data, reduced]) + "\n")
        self.log.flush()
        return reduced

    @classmethod
    def note(cls, word: str) -> None:
        cls.log.write(json.dumps([word]) + "\n")
        cls.log.flush()


class Ask(ModalScreen[None]):
    CSS = """
    Ask { align: center middle; }
    #box { width: 41; height: 9; border: round $primary; background: $panel; }
    """
    BINDINGS: ClassVar = [("escape", "dismiss"), ("enter", "dismiss")]

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static("Really? 本当に? 😀 yes")
            entry = Input(placeholder="種類")
            entry.cursor_blink = False
            yield entry
            yield Button("OK 漢")


class Other(Screen[None]):
    BINDINGS: ClassVar = [("escape", "app.pop_screen")]

    def compose(self) -> ComposeResult:
        yield Header()
        yield Static("\n".join(f"other screen {row} 漢字 {'😀' * (row % 5)}" for row in range(60)))
        yield Footer()


class Sink(App[None]):
    CSS = "#left { width: 24; } #editor { height: 2fr; } TabbedContent { height: 1fr; }"
    BINDINGS: ClassVar = [
        Binding(key, action, action, priority=True)
        for key, action in {
            "f1": "focus_next",
            "f2": "dialog",
            "f3": "toast",
            "f4": "other",
            "f5": "next_theme",
            "f6": "tab",
            "f7": "suspend_it",
            "f8": "output",
            "f9": "wrap",
            "f10": "mark",
            "f11": "zoom",
            "f12": "redraw",
            "ctrl+t": "table",
            "ctrl+o": "jump",
            "ctrl+n": "resize_pane",
            "ctrl+r": "say_when_quiet",
        }.items()
    ]

    def __init__(self) -> None:
        super().__init__(driver_class=LoggingDriver)
        self._count = 0

    def compose(self) -> ComposeResult:
        yield Header()
        with Horizontal():
            yield OptionList(*[f"{'漢字' * (n % 4)}script_{n}{'😀' * (n % 3)}.py" for n in range(60)], id="left")
            with Vertical():
                code = Path(__file__).read_text(encoding="utf-8")
                yield Editor("\n".join([*WIDE * 8, code]), id="editor")
                with TabbedContent(initial="output"):
                    with TabPane("Output", id="output"):
                        yield OutputView(Path(sys.argv[1]).parent, id="view")
                    with TabPane("表 Tasks", id="tasks"):
                        yield DataTable(id="table")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("id", "名前", "state")
        for row in range(30):
            table.add_row(str(row), WIDE[row % len(WIDE)][:14].translate({7: None, 27: None}), "run")
        self.query_one("#editor").focus()

    def next(self) -> int:
        self._count += 1
        return self._count

    def base(self) -> Any:
        return self.screen_stack[0]

    def action_dialog(self) -> None:
        if isinstance(self.screen, ModalScreen):
            self.pop_screen()
        else:
            self.push_screen(Ask())

    def action_toast(self) -> None:
        self.notify(f"toast {self.next()} 漢字 😀", timeout=0.4)

    def action_other(self) -> None:
        if isinstance(self.screen, Other):
            self.pop_screen()
        elif not isinstance(self.screen, ModalScreen):
            self.push_screen(Other())

    def action_next_theme(self) -> None:
        self.theme = THEMES[self.next() % len(THEMES)]

    def action_tab(self) -> None:
        tabs = self.base().query_one(TabbedContent)
        tabs.active = "tasks" if tabs.active == "output" else "output"

    def action_suspend_it(self) -> None:
        with self.suspend():
            subprocess.run(["sh", "-c", "for i in 1 2 3; do echo SOMETHING ELSE $i; done"], check=True)

    def action_output(self) -> None:
        view = self.base().query_one(OutputView)
        for _ in range(5):
            number = self.next()
            stream = ("stdout", "stderr")[number % 2]
            view.feed(f"\x1b[3{number % 8}m{number}\x1b[0m {WIDE[number % len(WIDE)]}\n", stream)

    def action_wrap(self) -> None:
        editor = self.base().query_one(Editor)
        editor.soft_wrap = not editor.soft_wrap

    def action_mark(self) -> None:
        LoggingDriver.note("mark")

    def action_zoom(self) -> None:
        screen = self.screen
        if screen.maximized:
            screen.minimize()
        elif screen.focused:
            screen.maximize(screen.focused)

    def action_redraw(self) -> None:
        LoggingDriver.note("junk")
        driver = self._driver
        assert isinstance(driver, DiffDriver)
        driver.forget()
        self.screen.refresh(layout=True)

    def action_table(self) -> None:
        table = self.base().query_one(DataTable)
        number = self.next()
        table.update_cell_at((number % table.row_count, 2), ["run", "完了", "失敗 ❌", "ok"][number % 4])

    def action_jump(self) -> None:
        editor = self.base().query_one(Editor)
        editor.move_cursor(((self.next() * 37) % editor.document.line_count, 3), center=True)

    def action_resize_pane(self) -> None:
        self.base().query_one("#left").styles.width = 10 + (self.next() * 7) % 30

    def action_say_when_quiet(self) -> None:
        say_when_quiet(self)


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as LoggingDriver.log:
        Sink().run()
