"""The way from the console to the screens beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.screens.too_small import FullScreen

if TYPE_CHECKING:
    from tui.console_parts import ConsoleParts
    from tui.screens.settings import SettingsScreen


class OtherScreens(FullScreen[None]):
    """What of the console screen opens settings and tasks."""

    _parts: ConsoleParts | None = None

    def action_settings(self) -> None:
        self.show_settings()

    def show_settings(self) -> SettingsScreen | None:
        """Open it; None before the console knows its engine."""
        if self._parts is None:
            return None
        screen = self._parts.settings_screen()
        self.app.push_screen(screen)
        return screen
