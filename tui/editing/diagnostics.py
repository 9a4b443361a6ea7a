"""Has the engine check the text in the editor: when it is opened or saved, and when the user pauses.

Nothing is parsed here, and a key costs a timer that is set again.
"""

from __future__ import annotations

import asyncio

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.checks import CheckReport, CheckRequest
from engine.registry.scripts import SCRIPTS_CHECK
from tui.background import in_background
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript
from tui.widgets.panel import Panel
from tui.widgets.problem_pane import ProblemPane

CHECK_AFTER = 1.0
"""Seconds after the last key."""

MAX_CHECKED = 1 << 20
"""Characters. The engine takes no longer scripts; they need not travel to be refused."""


class ProblemCheck:
    """One check at a time; what changed meanwhile is checked after it, as it is then.

    Args:
        connection: May be away; then the pane says that nothing was checked.
        open_script: Has the text.
        pane: Shows what was found.
        panel: Its tab carries the count.
    """

    def __init__(self, connection: EngineConnection, open_script: OpenScript, pane: ProblemPane, panel: Panel) -> None:
        self._connection = connection
        self._open_script = open_script
        self._pane = pane
        self._panel = panel
        self._due: asyncio.TimerHandle | None = None
        self._checking = False
        self._again = False

    def text_changed(self) -> None:
        """The user typed."""
        self._forget_due()
        self._due = asyncio.get_running_loop().call_later(CHECK_AFTER, self.check_soon)

    def check_soon(self) -> None:
        """The text is another one, or saved, or the engine is back: check it, after the check that goes on."""
        self._forget_due()
        self._again = True
        if not self._checking and self._pane.is_running:
            self._checking = True
            in_background(self._pane, "check", self._check_the_latest)

    async def _check_the_latest(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._check()
        finally:
            self._checking = False

    async def _check(self) -> None:
        path, text = self._open_script.path, self._open_script.text
        if not text.strip():
            self._show_unchecked("There is nothing to check: the editor is empty.")
            return
        if len(text) > MAX_CHECKED:
            self._show_unchecked(f"Not checked: scripts have at most {MAX_CHECKED >> 20} MiB.")
            return
        try:
            report = await self._connection.client.call(SCRIPTS_CHECK, body=CheckRequest(text=text, path=path))
        except (EngineError, EngineUnreachable) as error:
            self._show_unchecked(f"Not checked: {error.message}")
        else:
            if path == self._open_script.path:  # else another script's is about to be checked
                self._show(report)

    def _show(self, report: CheckReport) -> None:
        self._pane.show(report.problems)
        self._panel.set_detail("problems", str(self._pane.count or ""))

    def _show_unchecked(self, sentence: str) -> None:
        self._pane.show_unchecked(sentence)
        self._panel.set_detail("problems", "")

    def _forget_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
