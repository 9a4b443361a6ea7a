"""The ways from the console to default scripts and the run history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.background import in_background
from tui.screens.other_screens import OtherScreens

if TYPE_CHECKING:
    from tui.messages import EngineConnected
    from tui.widgets.script_list import ScriptList


class ConsoleDoors(OtherScreens):
    """What the console screen inherits; each door is opened by the part that knows what is behind it."""

    def show_run(self, run_id: int) -> None:
        """Show a run's output, from its beginning."""
        raise NotImplementedError

    def action_run_history(self) -> None:
        if (parts := self._parts) is None:
            return

        def left(run_id: int | None) -> None:
            if run_id is not None:
                self.show_run(run_id)

        self.app.push_screen(parts.runs_screen(), left)

    def on_engine_connected(self, message: EngineConnected) -> None:  # noqa: ARG002 - the same as the console's
        """Beside the console's own handler: Textual calls that of every class."""
        if (parts := self._parts) is not None:
            in_background(self, "offers", parts.defaults.tell)

    def on_script_list_defaults_requested(self, event: ScriptList.DefaultsRequested) -> None:
        if (parts := self._parts) is not None:
            work = parts.defaults.restore if event.restore else parts.defaults.show
            in_background(self, "defaults", work)
