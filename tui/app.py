"""The console application: theme, signals, the connection, and messages handed to the screens."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import App
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme

from tui.actions import Scope, action, bindings, scope_of
from tui.background import in_background
from tui.console.screen import ConsoleScreen
from tui.console.visits import Visit, Visits
from tui.editing.recovery import RecoveryJournal
from tui.key_queue import KeyQueue
from tui.terminal.bursts import KeyBurst
from tui.terminal.diff_driver import DiffDriver, driver_class
from tui.terminal.guard import HostileTextFilter
from tui.widgets.header_bar import HeaderBar
from tui.widgets.key_hints import KeyHints

if TYPE_CHECKING:
    from engine.client.target import Target
    from tui.connection import EngineConnection
    from tui.screens.gateways import GatewayChoice

STYLES = Path(__file__).parent / "styles"
FOR_SIXTEEN_COLOURS = STYLES / "sixteen.tcss"

GONE_WITHIN = 1.5
"""Seconds between a hangup and the end of the process, whatever hangs: on a dead terminal writes fail or block."""

DARK = Theme(
    name="gatewright",
    primary="#00afd7",
    accent="#00afd7",
    secondary="#5f87af",
    warning="#ff5f5f",
    error="#ff5f5f",
    success="#00afd7",
    foreground="#d0d0d0",
    background="#1c1c1c",
    surface="#1c1c1c",
    panel="#303030",
    dark=True,
)
"""One accent colour, one danger colour, greys. All are in the 256-colour table, and of the 16 colours they become cyan,
bright red, black, dark grey and light grey."""

NO_FIELD = "Several letters at once count as pasted text: nothing was done with them here"
"""Also what a person reads whose line bunched the keys that they typed."""

SIXTEEN_COLOURS = Theme(
    name="gatewright-16",
    primary="#00aaaa",
    accent="#00aaaa",
    secondary="#55ffff",
    warning="#ff5555",
    error="#ff5555",
    success="#00aaaa",
    foreground="#aaaaaa",
    background="#000000",
    surface="#000000",
    panel="#0000aa",
    dark=True,
    variables={
        "text-muted": "#aaaaaa",
        "text-error": "#ff5555",
        "panel-lighten-2": "#aaaaaa",
        "panel-lighten-3": "#ffffff",
    },
)
"""For terminals with 8 or 16 colours: exactly theirs, so that none becomes another one on its way. The rest is in
``sixteen.tcss`` and in the editor's colours."""

OFF = frozenset({"0", "off", "no", "false"})


@dataclass(frozen=True, slots=True)
class Preferences:
    """How to draw, for terminals that do not agree with the console's own ways.

    These come from the environment of whoever looks and are not settings of the project: the engine's owner and the
    person at the terminal may be different people.
    """

    diff: bool = True
    """Send the terminal only the cells that changed. ``GATEWRIGHT_CONSOLE_DIFF=off``: whole frames, as Textual does."""

    sixteen_colours: bool | None = None
    """Draw with the sixteen colours of old terminals; None: if the terminal has no more (``TERM``, ``COLORTERM``)."""

    fast_editor: bool = True
    """Draw the editor's visible lines only. ``GATEWRIGHT_CONSOLE_FAST_EDITOR=off``: Textual's own text area."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Preferences:
        return cls(
            diff=environ.get("GATEWRIGHT_CONSOLE_DIFF", "").lower() not in OFF,
            fast_editor=environ.get("GATEWRIGHT_CONSOLE_FAST_EDITOR", "").lower() not in OFF,
        )


class GatewrightApp(App[int]):
    """The console of one project.

    Args:
        target: Its engine.
        open_script: Script to open first.
        journal: Where unsaved text is kept.
        place: Project as the header shows it; the target's name if not given.
        preferences: How to draw.
    """

    TITLE = "gatewright"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = sorted(set(STYLES.glob("*.tcss")) - {FOR_SIXTEEN_COLOURS})
    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.EVERYWHERE)

    def __init__(
        self,
        target: Target,
        open_script: str | None = None,
        journal: RecoveryJournal | None = None,
        place: str | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        preferences = preferences or Preferences()
        super().__init__(driver_class=driver_class(diff=preferences.diff))
        self._preferences = preferences
        self._journal = journal or RecoveryJournal(target.key)
        fast = preferences.fast_editor
        first = Visit(self, target, self._journal, place or target.name, open_first=open_script, fast_editor=fast)
        self._visits = Visits(self, first, self._visit)
        self._quitting = False
        self._keys = KeyQueue(super().on_event, lambda: self.focused or self.screen, self._refuse_text)
        self.animation_level = "none"
        self.register_theme(DARK)
        self.register_theme(SIXTEEN_COLOURS)
        sixteen = preferences.sixteen_colours
        if sixteen is None:
            sixteen = self.console.color_system == "standard"
        self.theme = SIXTEEN_COLOURS.name if sixteen else DARK.name
        if sixteen:
            self.css_path.append(FOR_SIXTEEN_COLOURS)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What is drawn by others' text never holds control characters (DESIGN 1.8)."""
        return [*super().get_line_filters(), HostileTextFilter()]

    async def on_mount(self) -> None:
        self._listen_to_signals()
        in_background(self, "keys", self._keys.run)
        self.install_screen(self._console, "visit-0")  # else it would end when another gateway's is shown
        await self.push_screen(self._console)
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        """After the first paint: everything that takes time."""
        await self._visits.first.begin()
        gc.freeze()
        gc.enable()

    @property
    def _console(self) -> ConsoleScreen:
        """The one of the gateway where the user is."""
        return self._visits.current.console

    @property
    def _connection(self) -> EngineConnection | None:
        return self._visits.current.connection

    def _visit(self, target: Target, name: str, number: int) -> Visit:
        """Make the visit of a gateway where the user was not before."""
        journal = self._journal.of(target.key, number)
        return Visit(self, target, journal, name, fast_editor=self._preferences.fast_editor)

    async def on_event(self, event: events.Event) -> None:
        """Keys and pasted text take effect in the order in which they come; ``is_forwarded`` ones are on their way."""
        if isinstance(event, events.Key | events.Paste | KeyBurst) and not event.is_forwarded:
            self._keys.put(event)
        else:
            await super().on_event(event)

    def _refuse_text(self) -> None:
        self.screen.notify(NO_FIELD)

    def publish(self, message: Message) -> None:
        """Hand what happens at the gateway where the user is to every screen."""
        self._visits.current.publish(message)

    # Actions.

    def action_help(self) -> None:
        from engine.registry.scripts import MODULES, ModuleParams
        from tui.screens.help import HelpScreen
        from tui.widgets.editor.editor import Editor

        connection = self._connection
        ask = None if connection is None else lambda: connection.client.call(MODULES, ModuleParams())
        self.push_screen(HelpScreen(Editor.BINDINGS, ask, scope_of(self.screen)))

    def action_palette(self) -> None:
        from tui.console.palette import ACTION, SCRIPT, action_entries, script_entries
        from tui.screens.picker import PickerScreen

        async def picked(key: str | None) -> None:
            if key is None:
                return
            if key.startswith(SCRIPT):
                self._console.open_script(key.removeprefix(SCRIPT))
            else:
                await self.do(key.removeprefix(ACTION))

        if self._back_to_console():
            entries = [*action_entries(), *script_entries(self._console.texts, verb="open")]
            self.push_screen(PickerScreen("what to do: type a part of it", entries), picked)

    def _back_to_console(self) -> bool:
        """Leave the screens that lie over the console; False if a question is asked there."""
        while self.screen is not self._console and not self.screen.is_modal:
            self.pop_screen()
        return self.screen is self._console

    def action_gateways(self) -> None:
        from tui.screens.gateways import GatewaysScreen

        if isinstance(self.screen, GatewaysScreen):
            self.screen.dismiss(None)
        elif self._back_to_console():
            self._show_gateways()

    def _show_gateways(self) -> Screen[GatewayChoice]:
        from tui.screens.gateways import GatewayPlace, GatewaysScreen, identity_of

        here = self._visits.current
        visited = [GatewayPlace(visit.name, visit.target.name, target=visit.target) for visit in self._visits]
        if visited[0].target is not None and visited[0].target.folder is not None:
            visited[0] = replace(visited[0], name="this project")
        screen = GatewaysScreen(visited, identity_of(here.target), here.connection, self._visits.unsaved)
        self.push_screen(screen, self._chosen)
        return screen

    async def _chosen(self, choice: GatewayChoice | None) -> None:
        if choice is None:
            return
        if choice.run:
            targets = {place.name: place.target or place.problem for place in choice.places}
            self._console.run_on(targets, choice.named)
        elif (target := choice.places[0].target) is not None:
            await self._visits.go(target, choice.places[0].name)

    async def do(self, name: str) -> None:
        """Do an action by its name, wherever it belongs."""
        scope = action(name).scope
        if scope is Scope.GATEWAYS:
            await self.run_action(name, self._show_gateways())
            return
        owner = {Scope.EVERYWHERE: self, Scope.CONSOLE: self._console}.get(scope)
        await self.run_action(name, owner or self._console.owner_of(scope))

    def action_redraw(self) -> None:
        """Draw everything anew: another program wrote over the screen."""
        if isinstance(self._driver, DiffDriver):
            self._driver.forget()
        self.screen.refresh(layout=True)

    def action_retry(self) -> None:
        if self._connection is not None:
            self._connection.retry()

    async def action_quit(self) -> None:
        if self._back_to_console() and not self._quitting:
            self._quitting = True
            in_background(self, "quit", self._quit)

    async def _quit(self) -> None:
        try:
            if await self._visits.may_quit():
                self.exit(0)
        finally:
            self._quitting = False

    @on(KeyHints.Pressed)
    @on(HeaderBar.Pressed)
    async def _pressed(self, event: KeyHints.Pressed | HeaderBar.Pressed) -> None:
        await self.run_action(event.action, self.screen if hasattr(self.screen, f"action_{event.action}") else self)

    # The end.

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self._hang_up, number)

    def _hang_up(self, number: signal.Signals) -> None:
        """The terminal is gone, or somebody wants us gone: keep the text, then leave, orderly if that still works."""
        code = 128 + number
        watchdog = threading.Timer(GONE_WITHIN, os._exit, (code,))
        watchdog.daemon = True
        watchdog.start()
        self._visits.hang_up()
        self.exit(code, return_code=code)

    def on_unmount(self) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
