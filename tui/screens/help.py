"""Every key there is, from the one table of actions, and what scripts may import, from the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.checks import ModuleReport
from tui.actions import Scope, in_scope
from tui.background import in_background
from tui.keymap import key_label
from tui.screens.dialogs import Dialog
from tui.text.modules import described
from tui.text.sanitise import sanitise_line

_INTRO = (
    "Keys go to the pane that has the focus. Scripts run in the engine: runs go on when the console is closed, and "
    "their output is there when it is opened again. In a shell, gatewright help has pages on macros and other subjects."
)

_MARKS = (
    ("M  T  L", "Macro, transform, shared code; a utility has none"),
    ("*", "Has unsaved edits"),
    ("~", "Changed by others since you opened it"),
    ("^", "Waits for the approval of its permissions: F9"),
    ("!", "Cannot be used: the reason is below the list"),
    ("?", "Its name makes trouble elsewhere: see below the list"),
    ("x", "Its last run failed"),
)
_KEYS_WIDTH = 16


class HelpScreen(Dialog[None]):
    """The help.

    Args:
        editor: Bindings of the editor, which has keys of its own.
        modules: Asks the engine what scripts may import.
        scope: Of the screen that it is opened on, whose keys are shown first; all others are reached by scrolling.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1,q", "give_up", "Back", show=False)]

    def __init__(
        self,
        editor: Iterable[BindingType] = (),
        modules: Callable[[], Awaitable[ModuleReport]] | None = None,
        scope: Scope | None = None,
    ) -> None:
        super().__init__()
        self._scope = scope
        self._editor = editor
        self._modules = modules
        self._imports = Static("", markup=False)
        self._wanted = Static("", markup=False)
        """From the wanted section on."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box -tall"):
            yield Static("Keys", classes="dialog--title", markup=False)
            with VerticalScroll():
                before, after = self._texts()
                yield Static(before, markup=False)
                self._wanted.update(after)
                yield self._wanted
                yield self._imports
            yield Static("Up and Down scroll   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        scroll = self.query_one(VerticalScroll)
        self.set_focus(scroll)
        if self._scope is not None:
            self.call_after_refresh(scroll.scroll_to_widget, self._wanted, animate=False, top=True)
        if self._modules is not None:
            in_background(self, "modules", self._show_modules, self._modules)

    async def _show_modules(self, ask: Callable[[], Awaitable[ModuleReport]]) -> None:
        text = Text("\n").append("What scripts may import\n", "bold")
        try:
            report = await ask()
        except (EngineError, EngineUnreachable) as error:
            text.append(f" {sanitise_line(error.message)}\n")
        else:
            width = self.query_one(VerticalScroll).scrollable_content_region.width
            text.append(f"{described(report, width)}\n")
        self._imports.update(text)

    def _texts(self) -> tuple[Text, Text]:
        """Return what stands before the wanted section, and the rest."""
        text = before = Text(_INTRO + "\n")
        for scope in Scope:
            if scope is self._scope:
                text = Text()
            lines = (([key_label(key) for key in item.keys], item.help) for item in in_scope(scope))
            _section(text, scope.value, lines)
            if scope is Scope.LIST:
                _section(text, "Marks in the list", (([mark], meaning) for mark, meaning in _MARKS))
        _section(text, "Editor", _described(self._editor))
        return before, Text() if text is before else text


def _section(text: Text, title: str, lines: Iterable[tuple[list[str], str]]) -> None:
    text.append(f"\n{title}\n", "bold")
    for keys, what in lines:
        text.append(f" {' '.join(keys):<{_KEYS_WIDTH}} {what}\n")


def _described(bindings: Iterable[BindingType]) -> Iterable[tuple[list[str], str]]:
    for binding in bindings:
        if isinstance(binding, Binding) and binding.description:
            yield [key_label(key) for key in binding.key.split(",")], binding.description
