"""What the user has marked in the metadata diff: for each difference a choice, or single keys to restore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.models.sync import DiffChoice, DiffDecision, DiffItem, DiffState, KeyDifference
from tui.text.formats import clock
from tui.text.sanitise import sanitise_line
from tui.widgets.live_table import TableRow

_BECOMES = {
    DiffChoice.KEEP_FILE: "keep file",
    DiffChoice.RESTORE: "restore",
    DiffChoice.WRITE_FILE: "write file",
    DiffChoice.DROP_ROW: "drop row",
    DiffChoice.FOLLOW: "follow",
    DiffChoice.KEEP_BOTH: "keep both",
    DiffChoice.DELETE: "delete",
    DiffChoice.ACCEPT: "accept",
}
"""In a column."""

OUTCOMES = {
    DiffChoice.KEEP_FILE: "keep the file as it is; the valid text goes into its history",
    DiffChoice.RESTORE: "save the text that was valid; the invalid one goes into the history",
    DiffChoice.WRITE_FILE: "write the file again, as it was last seen",
    DiffChoice.DROP_ROW: "drop the row; its text goes into the history",
    DiffChoice.FOLLOW: "follow: row and history go to the new path",
    DiffChoice.KEEP_BOTH: "keep both; they are meant to be alike",
    DiffChoice.DELETE: "delete this one; its text goes into the history",
    DiffChoice.ACCEPT: "they are gone on purpose; decide about each then",
}
"""What each does, in plain words."""

DiffPlace = tuple[int, int]
"""Which item, and which of its keys; -1 for the whole item."""


@dataclass(slots=True)
class DiffMark:
    choice: DiffChoice
    keys: set[str] = field(default_factory=set)


class DiffMarks:
    """Items and the marks on them. A new list of items has no marks."""

    def __init__(self, items: Sequence[DiffItem] = ()) -> None:
        self.items = items
        self._marks: dict[int, DiffMark] = {}

    @property
    def count(self) -> int:
        return len(self._marks)

    def item(self, place: DiffPlace) -> DiffItem:
        return self.items[place[0]]

    def toggle(self, place: DiffPlace) -> bool:
        """Mark as the file says, or take the mark away. False where there is nothing to decide."""
        if place[0] in self._marks and (place[1] < 0 or self._key(place).key in self._marks[place[0]].keys):
            self._unmark(place)
            return True
        return self.choose_database(place) if place[1] >= 0 else self.choose_file(place)

    def toggle_all(self) -> None:
        """Mark all as the file says, but for what vanished; or take every mark away."""
        if self._marks:
            self._marks.clear()
            return
        for number, item in enumerate(self.items):
            if item.state is not DiffState.VANISHED:
                self.choose_file((number, -1))

    def choose_file(self, place: DiffPlace) -> bool:
        """The file is right; of a key: it stays as it is. False where that is not possible."""
        if place[1] >= 0:
            self._unmark(place)
            return True
        return self.choose(place, self.item(place).file_choice)

    def choose_database(self, place: DiffPlace) -> bool:
        """The database is right; of a key: this key is restored. False where that is not possible."""
        if place[1] < 0:
            return self.choose(place, self.item(place).database_choice)
        key = self._key(place)
        if not key.restorable:
            return False
        mark = self._marks.get(place[0])
        if mark is None or mark.choice is not DiffChoice.RESTORE or not mark.keys:
            mark = self._marks[place[0]] = DiffMark(DiffChoice.RESTORE)
        mark.keys.add(key.key)
        return True

    def choose(self, place: DiffPlace, choice: DiffChoice | None) -> bool:
        """Mark an item with one of its choices; False if it is none of them."""
        if choice is None or choice not in self.item(place).choices:
            return False
        self._marks[place[0]] = DiffMark(choice)
        return True

    def decisions(self, place: DiffPlace | None = None) -> list[DiffDecision]:
        """What is marked; with ``place`` only that item's."""
        return [
            DiffDecision(
                path=self.items[number].path,
                state=self.items[number].state,
                choice=mark.choice,
                seen=self.items[number].seen,
                keys=sorted(mark.keys),
            )
            for number, mark in sorted(self._marks.items())
            if place is None or place[0] == number
        ]

    def rows(self) -> Iterator[TableRow]:
        """A row for every item, and below it one for each of its keys."""
        for number, item in enumerate(self.items):
            mark = self._marks.get(number)
            whole = mark is not None and not mark.keys
            becomes = _BECOMES[mark.choice] if mark is not None and whole else ""
            name = sanitise_line(item.path or "scripts")
            tone = "" if item.choices else "dim"
            file, database = _sides(item)
            cells = ("*" if whole else "", name, "-", file, database, becomes)
            yield TableRow(f"{number}.-1", cells, "accent" if whole else tone)
            for place, key in enumerate(item.keys):
                marked = mark is not None and key.key in mark.keys
                yield TableRow(f"{number}.{place}", _key_cells(key, marked=marked), "accent" if marked else "")

    def _key(self, place: DiffPlace) -> KeyDifference:
        return self.items[place[0]].keys[place[1]]

    def _unmark(self, place: DiffPlace) -> None:
        mark = self._marks.get(place[0])
        if mark is None:
            return
        if place[1] >= 0:
            mark.keys.discard(self._key(place).key)
        if place[1] < 0 or not mark.keys:
            del self._marks[place[0]]


def place_of(row: str) -> DiffPlace:
    """The place that a row's key names."""
    number, _, key = row.partition(".")
    return int(number), int(key)


def _key_cells(key: KeyDifference, *, marked: bool) -> tuple[str, ...]:
    file, database = (sanitise_line(text) if text is not None else "(not set)" for text in (key.file, key.database))
    return ("*" if marked else "", "", sanitise_line(key.key), file, database, "restore key" if marked else "")


def _sides(item: DiffItem) -> tuple[str, str]:
    """What stands in the columns of file and database."""
    title = sanitise_line(item.title)
    other = sanitise_line(item.others[0]) if item.others else ""
    match item.state:
        case DiffState.MISSING_FILE:
            since = f"row, {clock(item.since)}" if item.since is not None else "row"
            return "(missing)", since if item.database_choice else "row, no text"
        case DiffState.RENAMED:
            return other, title
        case DiffState.INVALID_FILE:
            return "(invalid)", title or "-"
        case DiffState.DUPLICATE:
            return f"like {other}", "-"
        case DiffState.VANISHED:
            return "(vanished)", "rows kept"
