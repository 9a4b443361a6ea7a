"""Every key there is, from the one table of actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from tui.actions import Scope, in_scope
from tui.keymap import key_label
from tui.screens.dialogs import Dialog

_INTRO = (
    "Keys go to the pane that has the focus. Scripts run in the engine: runs go on when the console is closed, and "
    "their output is there when it is opened again."
)
_KEYS_WIDTH = 16


class HelpScreen(Dialog[None]):
    """The help.

    Args:
        editor: Bindings of the editor, which has keys of its own.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1,q", "give_up", "Back", show=False)]

    def __init__(self, editor: Iterable[BindingType] = ()) -> None:
        super().__init__()
        self._editor = editor

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box -tall"):
            yield Static("Keys", classes="dialog--title", markup=False)
            with VerticalScroll():
                yield Static(self._text(), markup=False)
            yield Static("Up and Down scroll   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(VerticalScroll))

    def _text(self) -> Text:
        text = Text(_INTRO + "\n")
        for scope in Scope:
            lines = (([key_label(key) for key in item.keys], item.help) for item in in_scope(scope))
            _section(text, scope.value, lines)
        _section(text, "Editor", _described(self._editor))
        return text


def _section(text: Text, title: str, lines: Iterable[tuple[list[str], str]]) -> None:
    text.append(f"\n{title}\n", "bold")
    for keys, what in lines:
        text.append(f" {' '.join(keys):<{_KEYS_WIDTH}} {what}\n")


def _described(bindings: Iterable[BindingType]) -> Iterable[tuple[list[str], str]]:
    for binding in bindings:
        if isinstance(binding, Binding) and binding.description:
            yield [key_label(key) for key in binding.key.split(",")], binding.description
