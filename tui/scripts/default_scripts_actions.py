"""What the console does about default scripts: tells of newer texts, shows the screen, restores."""

from __future__ import annotations

from engine.registry.defaults import DEFAULTS_LIST, DEFAULTS_RESTORE
from tui.connection import EngineConnection, problems_told
from tui.host import Host
from tui.screens.defaults import DefaultsScreen, offered_text, restored_text


class DefaultScriptsActions:
    """Asks the engine about them.

    Args:
        host: Shows the screen and sentences.
        connection: May be away; then the user is told.
    """

    def __init__(self, host: Host, connection: EngineConnection) -> None:
        self._host = host
        self._connection = connection

    async def tell(self) -> None:
        """Say that there are newer texts of edited scripts, if there are; nothing is changed by itself."""
        with problems_told(self._host.notify_error):
            if self._connection.narrow:
                return  # a caller who may not see them has not asked for them either
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
