"""The default scripts: how each stands beside the one that comes with Gatewright, and what to do about it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from engine.client.answers import EngineError
from engine.models.defaults import (
    DefaultChoice,
    DefaultDecision,
    DefaultScript,
    DefaultScripts,
    DefaultsRequest,
    DefaultState,
)
from engine.registry.defaults import DEFAULTS_DECIDE, DEFAULTS_DIFF, DEFAULTS_LIST, DEFAULTS_RESTORE
from engine.registry.scripts import ScriptParams
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import EngineConnection
from tui.screens.full_screen import FullScreen
from tui.text.labels import STATES
from tui.text.sanitise import sanitise_line
from tui.widgets.diff_rows import unified_rows
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList

_COLUMNS = (Column("script"), Column("", 40))
_FIRST = {DefaultState.OFFERED: 0, DefaultState.MISSING: 1}
_TONES = {DefaultState.OFFERED: "accent", DefaultState.MISSING: "dim"}


class DefaultsScreen(FullScreen[None]):
    """The scripts above, the difference of the one under the cursor below: from the user's text to the bundle's."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.DEFAULTS)

    def __init__(self, connection: EngineConnection) -> None:
        super().__init__()
        self._connection = connection
        self._found: DefaultScripts | None = None
        self._order: dict[str, int] = {}
        self._compared = ""
        self._heading = Static(" default scripts", id="defaults-heading", markup=False)
        self._scripts = LiveTable(_COLUMNS, empty="This version of Gatewright has none.", id="defaults")
        self._difference = RowList(empty="", id="defaults-difference")
        self._remark = Static("", id="defaults-remark", markup=False)

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._scripts
        yield self._difference
        yield self._remark
        yield KeyHints(footer_hints(Scope.DEFAULTS))
        yield self.too_small

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#defaults RowList"))
        in_background(self, "defaults", self.told, self._load)

    # Actions.

    def action_take_default(self) -> None:
        script = self._script
        if script is None or script.state is DefaultState.CURRENT:
            self._show_remark("it is what comes with Gatewright: there is nothing to take")
        else:
            self._decide(script, DefaultChoice.TAKE)

    def action_keep_default(self) -> None:
        script = self._script
        if script is None or script.state is not DefaultState.OFFERED:
            self._show_remark("no newer text is offered for it: there is nothing to decline")
        else:
            self._decide(script, DefaultChoice.KEEP)

    def action_restore_missing(self) -> None:
        in_background(self, "defaults", self.told, self._restore)

    def action_read_difference(self) -> None:
        """From the scripts to the difference, whose lines can then be moved through, and back."""
        in_table = self._scripts.has_focus_within
        self.set_focus(self._difference if in_table else self.query_one("#defaults RowList"))

    def action_leave_defaults(self) -> None:
        self.dismiss(None)

    @on(RowList.Moved, "#defaults RowList")
    def _moved(self) -> None:
        in_place_of_the_last(self, "difference", self.told, self._compare)

    @on(RowList.Chosen, "#defaults RowList")
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_read_difference()

    def on_engine_connected(self) -> None:
        in_background(self, "defaults", self.told, self._load)

    # The engine.

    async def _load(self) -> None:
        await self._show(await self._connection.client.call(DEFAULTS_LIST))

    async def _restore(self) -> None:
        found = await self._connection.client.call(DEFAULTS_RESTORE)
        await self._show(found)
        self._show_remark(restored_text(found))

    def _decide(self, script: DefaultScript, choice: DefaultChoice) -> None:
        decision = DefaultDecision(
            path=script.path, choice=choice, bundled_sha256=script.bundled_sha256, sha256=script.sha256
        )

        async def decide() -> None:
            try:
                found = await self._connection.client.call(DEFAULTS_DECIDE, body=DefaultsRequest(decisions=[decision]))
            except EngineError:
                await self._load()  # what is shown is not what is there any more, and that may be the reason
                raise
            await self._show(found)
            path = sanitise_line(script.path)
            taken = f"took the new {path}; yours is in its history" if script.sha256 else f"wrote {path}"
            self._show_remark(
                taken if choice is DefaultChoice.TAKE else f"kept yours: {path} is offered again when it changes"
            )

        in_background(self, "defaults", self.told, decide)

    async def _show(self, found: DefaultScripts) -> None:
        self._found = found
        self._heading.update(_heading(found))
        if not self._order:  # what needs a decision stands first, and stays where it is when it was made
            attention = sorted(found.scripts, key=lambda script: (_FIRST.get(script.state, 9), script.path))
            self._order = {script.path: number for number, script in enumerate(attention)}
        scripts = sorted(found.scripts, key=lambda script: self._order.get(script.path, len(self._order)))
        self._scripts.show_rows([_row(script) for script in scripts])
        self._compared = ""
        await self._compare()

    async def _compare(self) -> None:
        """Show the difference of the script under the cursor."""
        script = self._script
        if script is None or script.path == self._compared:
            return
        answer = await self._connection.client.call(DEFAULTS_DIFF, ScriptParams(path=script.path))
        width = self._difference.size.width - 2
        rows = await asyncio.to_thread(lambda: list(unified_rows(answer.diff, width)))
        self._compared = script.path
        self._difference.set_empty(script.problem or "No difference: it is what comes with Gatewright.")
        self._difference.set_rows(rows)
        self._difference.action_edge(False)

    @property
    def _script(self) -> DefaultScript | None:
        """The script under the cursor."""
        scripts = [] if self._found is None else self._found.scripts
        return next((script for script in scripts if script.path == self._scripts.current), None)

    def _show_remark(self, text: str) -> None:
        self._remark.update(f" {text}")


def restored_text(found: DefaultScripts) -> str:
    """What a restoring wrote, in a few words."""
    if not found.written:
        return "no default script is missing: nothing was written"
    count = "a file" if len(found.written) == 1 else f"{len(found.written)} files"
    return f"restored {count} of the default scripts"


def offered_text(found: DefaultScripts) -> str:
    """That there are newer texts of edited scripts, and the keys that show them; empty when there are none."""
    count = sum(script.state is DefaultState.OFFERED for script in found.scripts)
    if not count:
        return ""
    what = "a default script that you edited" if count == 1 else f"{count} default scripts that you edited"
    return f"newer texts of {what}: {action('focus_list').key} then {action('default_scripts').key}"


def _row(script: DefaultScript) -> TableRow:
    cells = (sanitise_line(script.path.removesuffix(".py")), script.problem or STATES[script.state])
    tone = "danger" if script.problem else _TONES.get(script.state, "")
    return TableRow(script.path, (cells[0], sanitise_line(cells[1])), tone)


def _heading(found: DefaultScripts) -> str:
    offered = sum(script.state is DefaultState.OFFERED for script in found.scripts)
    missing = sum(script.state is DefaultState.MISSING for script in found.scripts)
    return f" default scripts   bundle version {found.version}   {offered} with a newer text   {missing} not there"
