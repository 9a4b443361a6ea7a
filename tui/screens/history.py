"""The history of a script: its versions, newest first, with their texts and differences."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.models.versions import ScriptHistory, ScriptVersion, VersionReason
from tui.actions import Scope, bindings, footer_hints
from tui.background import in_place_of_the_last
from tui.connection import problems_told
from tui.screens.dialogs import Dialog, difference_rows
from tui.text.formats import clock, size
from tui.text.labels import what_replaced
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import Row, RowList

SHORT_HASH = 8
NOW = "now"

_COLUMNS = (
    Column("n", 3),
    Column("version", SHORT_HASH),
    Column("until", 12),
    Column("who", 8),
    Column("what replaced it"),
)


class HistoryScreen(Dialog[ScriptVersion]):
    """The result is the version that is to be saved again, or None.

    Args:
        history: As the engine tells it.
        text_of: The text with that hash; an empty one for None.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.HISTORY)

    def __init__(self, history: ScriptHistory, text_of: Callable[[str | None], Awaitable[str]]) -> None:
        super().__init__()
        self._history = history
        self._text_of = text_of
        empty = f"No earlier versions: a save, rename or deletion of {sanitise_line(history.path)} makes the first."
        self._table = LiveTable(_COLUMNS, empty=empty, id="versions")
        self._heading = Static("", id="version-heading", markup=False)
        self._view = RowList(empty="The text is the same.", id="version-text")

    def compose(self) -> ComposeResult:
        history = self._history
        gone = "" if history.sha256 is not None else ", which is deleted"
        with Vertical(classes="dialog--box -tall", id="history"):
            yield Static(f"History of {sanitise_line(history.path)}{gone}", classes="dialog--title", markup=False)
            yield self._heading
            yield self._table
            yield self._view
            keys = "  ".join(f"{item.key} {item.hint}" for item in footer_hints(Scope.HISTORY))
            yield Static(keys, classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self._table.show_rows(_rows(self._history))
        self._show_table()

    # Actions.

    def action_version_difference(self) -> None:
        self._show(self._difference_to_now)

    def action_version_change(self) -> None:
        self._show(self._change)

    def action_version_text(self) -> None:
        self._show(self._whole_text)

    def action_save_version(self) -> None:
        version = self._version
        if version is None or version.sha256 == self._history.sha256:
            self._tell("That is what the script holds now.")
        else:
            self.dismiss(version)

    def action_leave_history(self) -> None:
        if self._view.display:
            self._show_table()
        else:
            self.dismiss(None)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if self._view.display:
            self._show_table()
        else:
            self.action_version_difference()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()

    # Showing.

    @property
    def _version(self) -> ScriptVersion | None:
        """The version under the cursor; None for what the script holds now."""
        key = self._table.current
        return None if key in (None, NOW) else self._history.versions[int(key)]

    def _show(self, view: Callable[[], Awaitable[tuple[str, list[Row]]]]) -> None:
        if self._table.current is not None:
            in_place_of_the_last(self, "view", self._fill, view)

    async def _fill(self, view: Callable[[], Awaitable[tuple[str, list[Row]]]]) -> None:
        with problems_told(self._tell):
            heading, rows = await view()
            self._heading.update(heading)
            self._heading.display = self._view.display = True
            self._table.display = False
            self._view.set_rows(rows)
            self._view.action_edge(False)
            self.set_focus(self._view)

    async def _difference_to_now(self) -> tuple[str, list[Row]]:
        version = self._version
        if version is None:
            return await self._change()
        return await self._difference(version, self._history.sha256, "now")

    async def _change(self) -> tuple[str, list[Row]]:
        """What the change after a version changed; of what there is now, the change that made it."""
        versions, number = self._history.versions, self._number
        if number is None and not versions:
            return await self._whole_text()
        old = versions[number or 0]
        newer = versions[number - 1].sha256 if number else self._history.sha256
        if old.reason is VersionReason.DELETED:
            newer = None
        return await self._difference(old, newer, what_replaced(old))

    async def _difference(self, old: ScriptVersion, newer: str | None, what: str) -> tuple[str, list[Row]]:
        before, after = await self._text_of(old.sha256), await self._text_of(newer)
        rows = await asyncio.to_thread(difference_rows, before, after)
        return f"- {old.sha256[:SHORT_HASH]}, until {clock(old.at)}    + {sanitise_line(what)}", rows

    async def _whole_text(self) -> tuple[str, list[Row]]:
        version = self._version
        sha256 = self._history.sha256 if version is None else version.sha256
        text = await self._text_of(sha256)
        rows = await asyncio.to_thread(_text_rows, text)
        facts = f"{len(rows)} lines, {size(len(text.encode('utf-8', 'replace')))}"
        return f"the whole text of {(sha256 or '')[:SHORT_HASH]}, {facts}", rows

    @property
    def _number(self) -> int | None:
        key = self._table.current
        return None if key in (None, NOW) else int(key)

    def _show_table(self) -> None:
        self._heading.display = self._view.display = False
        self._table.display = True
        self.set_focus(self._table.query_one(RowList))

    def _tell(self, text: str) -> None:
        self._heading.update(sanitise_line(text))
        self._heading.display = True


def _rows(history: ScriptHistory) -> list[TableRow]:
    rows = []
    if history.sha256 is not None:
        rows.append(TableRow(NOW, ("", history.sha256[:SHORT_HASH], NOW, "", "what it holds now"), "accent"))
    for number, version in enumerate(history.versions):
        cells = (
            str(number + 1),
            version.sha256[:SHORT_HASH],
            clock(version.at),
            sanitise_line(version.name),
            sanitise_line(what_replaced(version)),
        )
        rows.append(TableRow(str(number), cells))
    return rows


def _text_rows(text: str) -> list[Row]:
    lines = text.split("\n")
    return [Row(str(number), f" {number:>5} {sanitise_code(line)}") for number, line in enumerate(lines, 1)]
