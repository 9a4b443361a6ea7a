"""What the palette offers: every action, and every script and document to open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual.app import App

from tui.actions import ACTIONS
from tui.screens.picker import PickerEntry, PickerScreen
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.models.documents import DocumentInfo
    from engine.models.scripts import ScriptInfo

ACTION, SCRIPT = "action:", "script:"


def action_entries() -> list[PickerEntry]:
    """An entry per action that the table marks for the palette."""
    return [PickerEntry(ACTION + item.name, item.help, f"{item.key} ", item.hint) for item in ACTIONS if item.palette]


def script_entries(scripts: Iterable[ScriptInfo | DocumentInfo], *, verb: str = "") -> list[PickerEntry]:
    """An entry per script or document: its path, and its title at the right."""
    lead = f"{verb} " if verb else ""
    return [
        PickerEntry(SCRIPT + script.path, lead + sanitise_line(script.path), f"{sanitise_line(script.title)[:36]} ")
        for script in scripts
    ]


def pick_script(app: App[int], scripts: Iterable[ScriptInfo | DocumentInfo], chosen: Callable[[str], None]) -> None:
    """Let the user pick a script or document by a part of its name."""

    def picked(key: str | None) -> None:
        if key is not None:
            chosen(key.removeprefix(SCRIPT))

    app.push_screen(PickerScreen("open a script or document: type a part of its name", script_entries(scripts)), picked)
