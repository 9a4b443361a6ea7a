"""What a person sees of a task of the engine while it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from engine.client.client import EngineClient
from engine.models.base import Event
from tui.commands.streams import Streams
from tui.commands.task import _show_progress

EVENTS = [
    ("task", {"id": 1, "kind": "rebuild", "doing": "reading", "done": 3}),
    ("task_output", {"id": 1, "text": "of another task"}),
    ("task", {"id": 2, "kind": "packages"}),
    ("task", {"id": 2, "kind": "packages", "doing": "resolving"}),
    ("task_output", {"id": 2, "text": "Resolved 2 packages"}),
    ("run", None),
    ("task", {"id": 2, "kind": "packages", "doing": "installing", "done": 1_500}),
]


class Client:
    async def events(self) -> AsyncIterator[Event]:
        for number, (kind, data) in enumerate(EVENTS):
            yield Event(seq=number, type=kind, at=0.0, data=data)


class Terminal:
    """Keeps what is written to a terminal: lines, and the one that is written over and over."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.current = ""

    def overwrite(self, text: str) -> None:
        self.current = text

    def line(self) -> None:
        self.lines.append(self.current)


class Shown:
    def __init__(self) -> None:
        self.err = Terminal()


async def test_lines_of_a_task_stay_and_its_progress_goes() -> None:
    shown: Any = Shown()
    await _show_progress(cast("EngineClient", Client()), cast("Streams", shown), "packages")
    assert shown.err.lines == ["Resolved 2 packages"]
    assert shown.err.current == "", "nothing of the progress is left"
