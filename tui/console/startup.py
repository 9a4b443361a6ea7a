"""What a user finds when the console opens: their unsaved text, their script, the run that they left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tui.connection import problems_told
from tui.editing.open_script import OpenScript
from tui.editing.recovery import RecoveryError, RecoveryJournal, Session
from tui.runs.follow import RunFollower
from tui.widgets.script_pane import ScriptPane
from tui.widgets.task_pane import TaskPane

TOUR = "defaults/tour.py"
"""What a user sees who was never here before."""


class Startup:
    """Brings the last session back.

    Args:
        open_script: Gets the script.
        follower: Gets the run.
        journal: Remembers both.
        scripts: Knows which scripts there are.
        tasks: Knows which runs there are.
        open_first: Script to open in place of the last one.
        notify_error: Tells the user what did not work.
    """

    def __init__(
        self,
        open_script: OpenScript,
        follower: RunFollower,
        journal: RecoveryJournal,
        *,
        scripts: ScriptPane,
        tasks: TaskPane,
        open_first: str | None,
        notify_error: Callable[[str], None],
    ) -> None:
        self._open_script = open_script
        self._follower = follower
        self._journal = journal
        self._scripts = scripts
        self._tasks = tasks
        self._open_first = open_first
        self._notify_error = notify_error
        self._offered = False

    async def without_engine(self) -> None:
        """Unsaved text does not need one."""
        await self._offer()

    async def with_engine(self) -> None:
        """Show the run of the last session, offer unsaved text, then open the script of the last session."""
        session = await asyncio.to_thread(self._journal.last_session)
        await self._show_run(session.run_id)
        await self._offer()
        if self._open_script.untouched:
            await self._open_last(session)

    def session(self, row: int, column: int) -> Session:
        """Where the user is now."""
        run = self._follower.run
        return Session(self._open_script.path, row, column, None if run is None else run.id)

    def remember(self, session: Session) -> None:
        """Put a session on disk, for the next console."""
        try:
            self._journal.remember(session)
        except RecoveryError as error:
            self._notify_error(str(error))

    async def _offer(self) -> None:
        """Offer unsaved text, once: who decides later is not asked again when the engine answers at last."""
        if not self._offered:
            self._offered = True
            await self._open_script.offer_left_behind(self._open_first)

    async def _open_last(self, session: Session) -> None:
        known = {text.path for texts in (self._scripts.scripts, self._scripts.documents) for text in texts}
        if self._open_first is not None:
            await self._open_script.open_at_start(self._open_first)
        elif session.path in known:
            await self._open_script.open_at_start(session.path, (session.row, session.column))
        elif TOUR in known:
            await self._open_script.open_at_start(TOUR)

    async def _show_run(self, run_id: int | None) -> None:
        """The run that was watched last, or else one that goes on."""
        if run_id is None or self._tasks.run(run_id) is None:
            run_id = next((run.id for run in self._tasks.unfinished), None)
        if run_id is not None:
            with problems_told(self._notify_error):
                await self._follower.follow(run_id)
