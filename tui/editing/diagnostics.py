"""Has the engine check the text in the editor: when it is opened or saved, and when the user pauses.

Nothing is parsed here, and a key costs a timer that is set again.
"""

from __future__ import annotations

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.checks import CheckProblem, CheckRequest
from engine.models.macros import PreviewRequest
from engine.registry.scripts import SCRIPTS_CHECK
from tui.connection import EngineConnection
from tui.editing.debounce import LatestText
from tui.editing.expansion import MacroExpansion, problems_of
from tui.editing.open_script import OpenScript
from tui.text.document_names import engine_path, is_document
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
        expansion: Says what is wrong with a document's tags.
        pane: Shows what was found.
        panel: Its tab carries the count.
    """

    def __init__(
        self,
        connection: EngineConnection,
        open_script: OpenScript,
        expansion: MacroExpansion,
        pane: ProblemPane,
        panel: Panel,
    ) -> None:
        self._connection = connection
        self._open_script = open_script
        self._expansion = expansion
        self._pane = pane
        self._panel = panel
        self._latest = LatestText(pane, "check", CHECK_AFTER, self._check)

    def text_changed(self) -> None:
        """The user typed."""
        self._latest.later()

    def check_soon(self) -> None:
        """The text is another one, or saved, or the engine is back: check it, after the check that goes on."""
        self._latest.soon()

    async def _check(self) -> None:
        path, text = self._open_script.path, self._open_script.text
        if not text.strip():
            self._show_unchecked("There is nothing to check: the editor is empty.")
            return
        if len(text) > MAX_CHECKED:
            self._show_unchecked(f"Not checked: a text has at most {MAX_CHECKED >> 20} MiB.")
            return
        try:
            problems = await self._problems(path, text)
        except (EngineError, EngineUnreachable) as error:
            self._show_unchecked(f"Not checked: {error.message}")
        else:
            if path == self._open_script.path:  # else another script's is about to be checked
                self._show(problems)

    async def _problems(self, path: str, text: str) -> list[CheckProblem]:
        if is_document(path):
            request = PreviewRequest(text=text, path=engine_path(path), check=not self._expansion.shown)
            problems = problems_of(await self._expansion.of(request))
            info, saved = self._open_script.info, not self._open_script.dirty
            if saved and info is not None and info.problem is not None:  # of its front matter, as it is on disk
                problems.append(CheckProblem(message=info.problem))
            return problems
        report = await self._connection.client.call(SCRIPTS_CHECK, body=CheckRequest(text=text, path=path))
        return report.problems

    def _show(self, problems: list[CheckProblem]) -> None:
        self._pane.show(problems)
        self._panel.set_detail("problems", str(self._pane.count or ""))

    def _show_unchecked(self, sentence: str) -> None:
        self._pane.show_unchecked(sentence)
        self._panel.set_detail("problems", "")
