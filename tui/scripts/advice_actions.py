"""Ask the assistant about a run that failed, and for a change of the text in the editor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.models.assistant import ExplainRequest, ProposeRequest
from engine.models.runs import RunInfo
from engine.registry.assistant import ASSISTANT_EXPLAIN, ASSISTANT_PROPOSE
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript
from tui.host import Host
from tui.screens.dialogs import AskScreen, ReportScreen
from tui.screens.proposal import ProposalScreen
from tui.widgets.editor.editor import Editor


class AdviceActions:
    """What it says is shown, and a change that it proposes is put into the editor when the user says so."""

    def __init__(self, host: Host, connection: EngineConnection, open_script: OpenScript, editor: Editor) -> None:
        self._host = host
        self._connection = connection
        self._open_script = open_script
        self._editor = editor

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say that it is asked, until it has answered or refused."""
        self._host.notify("asking the assistant: this may take a while")
        try:
            yield
        finally:
            self._host.notify("")

    async def explain(self, run: RunInfo | None) -> None:
        """Have the assistant explain why a run failed.

        Raises:
            EngineError: It gave no answer.
            EngineUnreachable: There is no engine.
        """
        if run is None or run.error is None:
            self._host.notify("the output shows no run that failed")
            return
        with self._asking():
            answer = await self._connection.client.call(ASSISTANT_EXPLAIN, body=ExplainRequest(run_id=run.id))
        lines = [*answer.text.splitlines(), *([] if answer.complete else ["(cut off)"])]
        await self._host.push_screen_wait(ReportScreen(f"Run {run.id}, explained by {answer.model}", lines))

    async def propose(self, run: RunInfo | None) -> None:
        """Have the assistant propose a change of the text in the editor, and apply it if the user says so.

        Args:
            run: The one that the output shows: how it failed goes along if it is of this script.

        Raises:
            EngineError: It gave no answer.
            EngineUnreachable: There is no engine.
        """
        path, text = self._open_script.path, self._open_script.text
        if self._open_script.is_document or not text.strip():
            self._host.notify("the assistant changes scripts: open one first")
            return
        failed = run if run is not None and run.error is not None and run.name == path else None
        question = f"What is the assistant to change in {path or 'this text'}? All of the text is sent to it."
        wish = await self._host.push_screen_wait(AskScreen(question, "Correct the error." if failed else ""))
        if wish is None:
            return
        request = ProposeRequest(text=text, wish=wish, path=path, run_id=None if failed is None else failed.id)
        with self._asking():
            change = await self._connection.client.call(ASSISTANT_PROPOSE, body=request)
        if not change.diff:
            self._host.notify("the assistant proposes no change")
            return
        title = f"The assistant proposes this change of {path or 'the text'}"
        if not await self._host.push_screen_wait(ProposalScreen(title, change.diff)):
            return
        if (self._open_script.path, self._open_script.text) != (path, text):
            self._host.notify_error("Nothing was changed: the text is not the one that the assistant was sent.")
            return
        self._editor.replace(change.text, (0, 0), self._editor.document.end)
        self._host.notify("the proposal is in the editor, unsaved; ^Z takes it back")
