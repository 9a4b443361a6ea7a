"""What the console does about default scripts: tells of newer texts, shows the screen, restores."""

from __future__ import annotations

from typing import Protocol

from textual.screen import Screen

from engine.registry.defaults import DEFAULTS_LIST, DEFAULTS_RESTORE
from tui.connection import EngineConnection, problems_told
from tui.screens.defaults import DefaultsScreen, offered_text, restored_text


class DefaultsHost(Protocol):
    """The screen from which the user comes."""

    async def push_screen_wait(self, screen: Screen[None]) -> None:
        """Show a screen until it is left."""

    def notify(self, text: str) -> None:
        """Tell the user what happened."""

    def notify_error(self, text: str) -> None:
        """Tell the user what did not work."""


class DefaultScriptsActions:
    def __init__(self, host: DefaultsHost, connection: EngineConnection) -> None:
        self._host = host
        self._connection = connection

    async def tell(self) -> None:
        """Say that there are newer texts of edited scripts, if there are; nothing is changed by itself."""
        with problems_told(self._host.notify_error):
            text = offered_text(await self._connection.client.call(DEFAULTS_LIST))
            if text:
                self._host.notify(text)

    async def show(self) -> None:
        """All default scripts, their differences and what can be done."""
        await self._host.push_screen_wait(DefaultsScreen(self._connection))

    async def restore(self) -> None:
        """Write those that are missing."""
        with problems_told(self._host.notify_error):
            self._host.notify(restored_text(await self._connection.client.call(DEFAULTS_RESTORE)))
