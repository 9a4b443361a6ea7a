"""What forms are made of besides inputs: a one-line field whose value is one of a few, and the rows that scroll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui.text.sanitise import sanitise_line


class ChoiceField(Widget, can_focus=True):
    """Left, right and space change the value."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "Previous", show=False),
        Binding("right,space", "turn(1)", "Next", show=False),
    ]

    value: reactive[str] = reactive("", init=False)

    class Changed(Message):
        """The value is another one."""

    def __init__(self, choices: Sequence[str], value: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._choices = list(choices) or [""]
        self.set_reactive(ChoiceField.value, value if value in self._choices else self._choices[0])

    def render(self) -> Text:
        return Text(f"< {sanitise_line(self.value)} >", no_wrap=True, overflow="ellipsis")

    def watch_value(self) -> None:
        self.post_message(self.Changed())

    def action_turn(self, by: int) -> None:
        at = self._choices.index(self.value) if self.value in self._choices else 0
        self.value = self._choices[(at + by) % len(self._choices)]

    def on_click(self) -> None:
        self.focus()
        self.action_turn(1)


class FormRows(VerticalScroll, inherit_bindings=False, can_focus=False):
    """Scrolls to the line that has the focus; Up and Down go from line to line instead of scrolling."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", "Up", show=False),
        Binding("down,enter", "app.focus_next", "Down", show=False),
    ]
