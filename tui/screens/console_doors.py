"""The ways from the console to default scripts and the run history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.background import in_background
from tui.screens.other_screens import OtherScreens

if TYPE_CHECKING:
    from tui.widgets.script_list import ScriptList


class ConsoleDoors(OtherScreens):
    """What the console screen inherits; each door is opened by the part that knows what is behind it."""

    def on_script_list_defaults_requested(self, event: ScriptList.DefaultsRequested) -> None:
        if (parts := self._parts) is not None:
            work = parts.defaults.restore if event.restore else parts.defaults.show
            in_background(self, "defaults", work)
