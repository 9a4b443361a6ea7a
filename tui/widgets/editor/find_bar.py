"""One line below a text to find something in it or to go to a line of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Purpose(StrEnum):
    """What the bar is open for; the value is its label."""

    FIND = "find"
    LINE = "line"


class FindBar(Horizontal):
    """Asks while the user types and again for each Enter; whoever shows the text answers with ``show_result``."""

    DEFAULT_CSS = """
    FindBar {
        display: none;
        height: 1;
        background: $panel;
        &.open { display: block; }
        & > Label { padding: 0 1; width: auto; }
        & > Input { width: 1fr; border: none; height: 1; padding: 0; background: $surface; }
        & > Input:focus { border: none; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("down", "ask(True)", show=False),
        Binding("up,shift+enter", "ask(False)", show=False),
    ]

    @dataclass
    class Asked(Message):
        """The user wants an occurrence shown.

        Attributes:
            bar: Who asks.
            purpose: What ``text`` is.
            text: What was typed.
            forward: Which way to look.
            again: Whether the occurrence shown now does not count; False while the text is being typed.
        """

        bar: FindBar
        purpose: Purpose
        text: str
        forward: bool
        again: bool

        @property
        def control(self) -> FindBar:
            return self.bar

    @dataclass
    class Closed(Message):
        """The user is done with the bar."""

        bar: FindBar

        @property
        def control(self) -> FindBar:
            return self.bar

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  (Textual's name)
        super().__init__(id=id, classes=classes)
        self.purpose = Purpose.FIND

    def compose(self) -> ComposeResult:
        yield Label(Purpose.FIND, id="purpose", markup=False)
        text = Input(id="text", select_on_focus=True)
        text.cursor_blink = False
        yield text
        yield Label("", id="result", markup=False)

    @property
    def is_open(self) -> bool:
        return self.has_class("open")

    def open(self, purpose: Purpose = Purpose.FIND, text: str | None = None) -> None:
        """Show the bar and put the cursor in it; without ``text`` what was asked last stays."""
        entry = self.query_one(Input)
        if purpose is not self.purpose:
            self.purpose = purpose
            self.query_one("#purpose", Label).update(purpose)
            text = text or ""
        if text is not None:
            with entry.prevent(Input.Changed):
                entry.value = text
        self.show_result("")
        self.add_class("open")
        entry.focus()

    def show_result(self, text: str) -> None:
        self.query_one("#result", Label).update(text)

    def action_close(self) -> None:
        self.remove_class("open")
        self.post_message(self.Closed(self))

    def action_ask(self, forward: bool) -> None:
        self._ask(forward=forward, again=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._ask(forward=True, again=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.purpose is Purpose.LINE:
            self.action_close()
        else:
            self._ask(forward=True, again=True)

    def _ask(self, *, forward: bool, again: bool) -> None:
        self.post_message(self.Asked(self, self.purpose, self.query_one(Input).value, forward, again))
