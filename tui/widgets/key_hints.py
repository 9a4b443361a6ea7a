"""The footer: the handful of keys that matter here, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from tui.actions import Action


class KeyHints(Widget):
    """Hints that fit are shown, from the left; a click on one does it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-hints--key", "key-hints--text"}

    @dataclass
    class Pressed(Message):
        """A hint was clicked."""

        action: str

    def __init__(self, actions: list[Action], *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._actions = actions

    def set_actions(self, actions: list[Action]) -> None:
        """Show these hints."""
        if actions != self._actions:
            self._actions = actions
            self.refresh()

    def render(self) -> Text:
        key_style = self.get_component_rich_style("key-hints--key")
        text_style = self.get_component_rich_style("key-hints--text")
        line = Text(no_wrap=True, overflow="crop")
        for item, start, end in self._spans():
            line.pad_right(start - len(line))
            line.append(item.key, key_style)
            line.append(f" {item.hint}"[: end - start], text_style)
        return line

    def on_click(self, event: events.Click) -> None:
        for item, start, end in self._spans():
            if start <= event.x < end:
                self.post_message(self.Pressed(item.name))

    def _spans(self) -> list[tuple[Action, int, int]]:
        """Where each hint that fits stands."""
        spans, at = [], 1
        for item in self._actions:
            end = at + len(item.key) + 1 + len(item.hint)
            if end > self.size.width:
                break
            spans.append((item, at, end))
            at = end + 2
        return spans
