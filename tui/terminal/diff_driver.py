"""A terminal driver that sends only the cells that changed.

Over SSH the bytes of a key are its latency, and Textual repaints whole widgets. This driver sits at the one place
through which everything goes, ``Driver.write``, so the output is a pure function of what Textual would have sent.
What it does not understand it writes as it is, and then assumes nothing about the screen: if a later Textual writes
frames in another form, the console is only slower.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from textual.messages import InBandWindowResize

from tui.terminal.keyboard_driver import KeyboardDriver
from tui.terminal.screen_model import ScreenModel, is_frame

if TYPE_CHECKING:
    from textual.app import App
    from textual.driver import Driver
    from textual.message import Message

SYNC_ON, SYNC_OFF = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronized output: the terminal shows what is between them at once."""

_NEEDS_SYNC = 512
"""Characters; a shorter frame arrives in one piece anyhow, and the brackets would be a tenth of it."""

_LEAVES_CELLS = re.compile(
    r"(?:\x1b\[\?(?:7|25|1000|1002|1003|1004|1006|1015|1016|2004|2026|2048)[hl]"  # modes: cursor, mouse, paste, sync …
    r"|\x1b\[\?\d+\$p|\x1b\[[<>=]\d*u"  # questions, keyboard protocol
    r"|\x1b\](?:0|2|9|22|52|777);[^\x07\x1b]*(?:\x07|\x1b\\)|\x07)*"  # title, pointer, clipboard, notice, bell
)
"""Output after which every cell is what it was."""


class DiffDriver(KeyboardDriver):
    """The driver, with a model of the screen in front of the terminal."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._model = ScreenModel()
        self._held: list[str] | None = None
        """Output since the terminal was asked to hold back, None if it was not."""
        self._terminal_size: tuple[int, int] | None = None
        # Textual's input thread writes too: it turns modes on when the terminal has answered.
        self._lock = threading.RLock()

    def forget(self) -> None:
        """Assume nothing about the screen: for ctrl+l, before the app refreshes it."""
        with self._lock:
            self._model.forget()

    def start_application_mode(self) -> None:
        """At the start, and again after the application was suspended."""
        self.forget()
        self._held = None
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def process_message(self, message: Message) -> None:
        if isinstance(message, InBandWindowResize):
            self.forget()
        super().process_message(message)

    def write(self, data: str) -> None:
        with self._lock:
            if data == SYNC_ON:
                self._send_held(synchronized=False)
                self._held = []
            elif data == SYNC_OFF and self._held is not None:
                self._send_held(synchronized=True)
            else:
                self._send(self._reduced(data))

    def _send(self, data: str) -> None:
        if self._held is not None:
            self._held.append(data)
        elif data:
            super().write(data)

    def _send_held(self, *, synchronized: bool) -> None:
        held = "".join(self._held or ())
        self._held = None
        if held:
            super().write(f"{SYNC_ON}{held}{SYNC_OFF}" if synchronized and len(held) > _NEEDS_SYNC else held)

    def _reduced(self, data: str) -> str:
        self._follow_size()
        if is_frame(data):
            reduced = self._model.reduce(data)
            if reduced is not None:
                return reduced
            self._model.forget()
        elif not _LEAVES_CELLS.fullmatch(data):
            self._model.forget()
        return data

    def _follow_size(self) -> None:
        """Forget when the size is another one, asked before every write: the application hears of it later than the
        terminal."""
        try:
            size: tuple[int, int] = os.get_terminal_size(self.fileno)
        except OSError:
            size = (0, 0)
        if size != self._terminal_size:
            self._terminal_size = size
            self._model.resize(*size)


def driver_class(*, diff: bool = True) -> type[Driver]:
    """Return what to give to ``App(driver_class=…)``; without ``diff`` frames are sent whole, as Textual does."""
    return DiffDriver if diff else KeyboardDriver
