"""The line at the top: project, open script, mode, and the Run and Stop buttons."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui.actions import action


class HeaderBar(Widget):
    """``gatewright  gw-01:/srv/plant-a  log_digest.py *     RESTRICTED  Run F5``; the button works by mouse as well."""

    project: reactive[str] = reactive("")
    script: reactive[str] = reactive("")
    dirty: reactive[bool] = reactive(False)
    mode: reactive[str] = reactive("RESTRICTED")
    running: reactive[bool] = reactive(False)

    @dataclass
    class Pressed(Message):
        """The button was clicked."""

        action: str

    @property
    def _button(self) -> str:
        item = action("stop" if self.running else "run")
        return f" {item.hint.capitalize()} {item.key} "

    def render(self) -> Text:
        button = self._button
        right = f"  {self.mode}  "
        room = self.size.width - len(right) - len(button)
        script = f"{self.script or 'unnamed'}{' *' if self.dirty else ''}"
        brand = " gatewright  "
        left = Text(no_wrap=True, overflow="crop")
        left.append(brand, "bold")
        place = _shorten(self.project, max(0, room - len(brand) - cell_len(script) - 2))
        left.append(f"{place}  " if place else "", self._style("dim"))
        left.append(set_cell_size(script, max(0, room - cell_len(left.plain))), "bold" if self.script else "")
        left.append(right, self._style("danger") if self.mode.startswith("ADMIN") else self._style("dim"))
        left.append(button, self._style("stop" if self.running else "run"))
        return left

    def on_click(self, event: events.Click) -> None:
        if event.x >= self.size.width - len(self._button):
            self.post_message(self.Pressed("stop" if self.running else "run"))

    COMPONENT_CLASSES = {"header-bar--dim", "header-bar--danger", "header-bar--run", "header-bar--stop"}  # noqa: RUF012

    def _style(self, name: str) -> str:
        return str(self.get_component_rich_style(f"header-bar--{name}"))


def _shorten(place: str, room: int) -> str:
    """Keep the end of a path, which tells projects apart; nothing at all when only crumbs would fit."""
    if cell_len(place) <= room:
        return place
    return f"..{place[-(room - 2) :]}" if room >= 8 else ""
