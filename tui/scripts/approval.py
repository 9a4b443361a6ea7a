"""From F9 to a decision about a script's permissions."""

from __future__ import annotations

from engine.client.answers import EngineError
from engine.models.permissions import ApprovalState, ApproveRequest, Grant, PermissionReview
from engine.models.shared import SharedFile
from engine.registry.scripts import PERMISSIONS_APPROVE, PERMISSIONS_REFUSE, PERMISSIONS_REVIEW, ScriptParams
from tui.actions import action
from tui.connection import EngineConnection
from tui.editing.open_script import OpenScript
from tui.editing.own_edits import OwnEditing
from tui.host import Host
from tui.screens.approve import ApproveScreen, Decision
from tui.screens.dialogs import Choice, ChoiceScreen
from tui.text.document_names import is_document


class Approval:
    """Shows what scripts ask for and sends what the user decides. The engine judges, and who may decide."""

    def __init__(
        self, host: Host, open_script: OpenScript, connection: EngineConnection, own_edits: OwnEditing
    ) -> None:
        self._host = host
        self._open_script = open_script
        self._connection = connection
        self._own_edits = own_edits

    async def decide(self, path: str) -> None:
        """Let the user decide about a script.

        Raises:
            EngineError: The engine cannot judge it.
            EngineUnreachable: There is no engine.
        """
        if is_document(path):
            self._host.notify("documents ask for no permissions")
            return
        if self._open_script.dirty and path == self._open_script.path:
            self._host.notify_error(f"Save the script first ({action('save').key}): an approval is for a saved text.")
            return
        if not path:
            self._host.notify("no script is open")
            return
        problem = ""
        while True:
            self._host.notify("looking at what it asks for")  # its packages are asked of an index, which takes a while
            review = await self._connection.client.call(PERMISSIONS_REVIEW, ScriptParams(path=path))
            self._host.notify("")
            if review.state is ApprovalState.NONE and not review.removed:
                self._host.notify(f"{review.script} asks for no permissions")
                return
            decision = await self._host.push_screen_wait(
                ApproveScreen(review, problem, self._own_edits.left(review.script))
            )
            if decision is None:
                return
            try:
                await self._send(review, decision)
            except EngineError as error:
                problem = error.message  # what is shown next is judged anew: the text may be another one
            else:
                return

    async def offer(self, error: EngineError) -> None:
        """A run was refused because nobody approved what its script asks for: say so, and offer to look at it."""
        if self._open_script.dirty:
            self._host.notify_error(f"{error.message} Save it first: an approval is for a saved text.")
            return
        also = action("approve")
        answers = [Choice("p", f"look at what it asks for, to approve or refuse it ({also.key})", also=also.keys[0])]
        if await self._host.push_screen_wait(ChoiceScreen(error.message, answers, "not now")) == "p":
            await self.decide(self._open_script.path)

    async def _send(self, review: PermissionReview, decision: Decision) -> None:
        client = self._connection.client
        if decision is Decision.EDITS:
            await self._own_edits.begin(review)
            return
        if decision is Decision.END_EDITS:
            await self._own_edits.give_up()
            return
        if decision is Decision.REFUSE:
            await client.call(PERMISSIONS_REFUSE, ScriptParams(path=review.script))
            self._host.notify(f"refused what {review.script} asks for")
            return
        grants = [Grant(access=one.access, path=one.canonical) for one in review.asked if one.canonical is not None]
        shared = [SharedFile(path=file.path, sha256=file.sha256) for file in review.shared]
        lock = "" if review.environment is None else review.environment.lock
        seen = ApproveRequest(sha256=review.sha256, grants=grants, shared=shared, environment=lock)
        await client.call(PERMISSIONS_APPROVE, ScriptParams(path=review.script), seen)
        packages = not review.asked and review.environment is not None
        what = f"the packages of {review.script}" if packages else f"{review.script} as it is now"
        self._host.notify(f"approved {what}")
