"""Pick one of many by typing a part of it, the best matches first: the palette and quick open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from tui.screens.dialogs import Dialog
from tui.widgets.row_list import Row, RowList

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PickerEntry:
    """Something to pick.

    Attributes:
        text: Shown and searched; like ``right`` free of control characters.
        right: Shown beside it.
        words: Searched as well.
    """

    key: str
    text: str
    right: str = ""
    words: str = ""


class PickerScreen(Dialog[str]):
    """The result is the key of the entry, or None for Esc. Movement keys work while typing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "rows('move', -1)", "Up", show=False, priority=True),
        Binding("down", "rows('move', 1)", "Down", show=False, priority=True),
        Binding("pageup", "rows('page', -1)", "Page up", show=False, priority=True),
        Binding("pagedown", "rows('page', 1)", "Page down", show=False, priority=True),
    ]

    def __init__(self, prompt: str, entries: Sequence[PickerEntry]) -> None:
        super().__init__()
        self._prompt = prompt
        self._entries = entries

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box -tall"):
            yield Input(placeholder=self._prompt, compact=True, id="query")
            yield RowList(empty="Nothing matches.", classes="-driven", id="matches")

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#query"))
        self._show("")

    def action_rows(self, how: str, by: int) -> None:
        rows = self.query_one(RowList)
        (rows.action_move if how == "move" else rows.action_page)(by)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._show(event.value)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.query_one(RowList).action_choose()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        self.dismiss(event.key)

    def _show(self, query: str) -> None:
        found = best_matches(query, self._entries, lambda entry: f"{entry.text} {entry.words}")
        rows = self.query_one(RowList)
        rows.set_rows([Row(entry.key, f" {entry.text}", entry.right) for entry in found])
        rows.action_edge(False)


def best_matches(query: str, items: Iterable[T], text_of: Callable[[T], str]) -> list[T]:
    """The items whose text has the query's characters in order, best first: one piece before scattered letters.

    An empty query keeps all items in their order.
    """
    letters = [re.escape(character) for character in query.casefold() if not character.isspace()]
    if not letters:
        return list(items)
    pattern = re.compile(".*?".join(letters), re.DOTALL)
    plain = query.casefold().strip()
    scored = []
    for index, item in enumerate(items):
        text = text_of(item).casefold()
        found = pattern.search(text)
        if found is not None:
            scored.append((_cost(plain, text, found), index, item))
    scored.sort(key=lambda entry: entry[:2])
    return [item for *_, item in scored]


def _cost(plain: str, text: str, found: re.Match[str]) -> tuple[int, int, int]:
    """Lower is better: the query in one piece, at the start of a word, in a short text."""
    at = text.find(plain)
    if at < 0:
        return (2, found.end() - found.start(), len(text))
    at_word = at == 0 or not text[at - 1].isalnum()
    return (0 if at_word else 1, at, len(text))
