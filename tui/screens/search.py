"""Search in the texts of all scripts and documents: every word, wherever it stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from tui.background import in_place_of_the_last
from tui.connection import problems_told
from tui.screens.dialogs import Dialog
from tui.text.sanitise import sanitise_line
from tui.widgets.row_list import Row, RowList

SEARCH_AFTER = 0.15
"""Seconds after the last key."""

NOTHING_ASKED = "Type words: texts that have all of them are listed. The last word may be a beginning."
NOTHING_FOUND = "No script and no document has all these words."


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """Where something was found.

    Attributes:
        path: Of the script or document.
        line: From 1; 0 when the words are in its name, title or tags only.
        text: That line, or the title.
    """

    path: str
    line: int
    text: str


class SearchScreen(Dialog[FoundPlace]):
    """The result is the place to go to, or None for Esc. Movement keys work while typing.

    Args:
        search: Finds the places of words; whether there are more than it returns.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "rows('move', -1)", "Up", show=False, priority=True),
        Binding("down", "rows('move', 1)", "Down", show=False, priority=True),
        Binding("pageup", "rows('page', -1)", "Page up", show=False, priority=True),
        Binding("pagedown", "rows('page', 1)", "Page down", show=False, priority=True),
    ]

    def __init__(self, search: Callable[[str], Awaitable[tuple[Sequence[FoundPlace], bool]]]) -> None:
        super().__init__()
        self._search = search
        self._places: Sequence[FoundPlace] = ()
        self._due: Timer | None = None
        self._rows = RowList(empty=NOTHING_ASKED, classes="-driven", id="places")
        self._remark = Static("", classes="dialog--problem", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box -tall"):
            yield Input(placeholder="search in scripts and documents", compact=True, id="query")
            yield self._rows
            yield self._remark
            yield Static("Enter goes there   Esc back", classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self._remark.display = False
        self.set_focus(self.query_one("#query"))

    def action_rows(self, how: str, by: int) -> None:
        (self._rows.action_move if how == "move" else self._rows.action_page)(by)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._due is not None:
            self._due.stop()
        self._due = self.set_timer(SEARCH_AFTER, lambda: self._find(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._rows.action_choose()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.dismiss(self._places[int(event.key)])

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()

    def _find(self, words: str) -> None:
        in_place_of_the_last(self, "search", self._show, words.strip())

    async def _show(self, words: str) -> None:
        self._tell("")
        places: Sequence[FoundPlace] = ()
        more = False
        if words:
            with problems_told(self._tell):
                places, more = await self._search(words)
        self._places = places
        self._rows.set_empty(NOTHING_FOUND if words else NOTHING_ASKED)
        self._rows.set_rows([_row(number, place) for number, place in enumerate(places)])
        self._rows.action_edge(False)
        if more:
            self._tell("There are more: another word makes them fewer.")

    def _tell(self, sentence: str) -> None:
        self._remark.update(sanitise_line(sentence))
        self._remark.display = bool(sentence)


def _row(number: int, place: FoundPlace) -> Row:
    where = f"{sanitise_line(place.path)}:{place.line}" if place.line else sanitise_line(place.path)
    return Row(str(number), f" {where:<28} {sanitise_line(place.text.strip())}")
