"""Keeps what the console shows of the engine up to date: scripts, runs, git."""

from __future__ import annotations

from collections.abc import Callable

from engine.models.runs import RunInfo
from engine.models.sync import TaskInfo
from engine.registry.git import GIT_LOG, GIT_STATUS, GitLogParams
from engine.registry.runs import RUNS_LIST, RunListParams
from engine.registry.scripts import SCRIPTS_LIST
from engine.registry.sync import TASKS_LIST
from tui.connection import EngineConnection, problems_told
from tui.editing.external_changes import OutsideChanges
from tui.editing.open_script import OpenScript
from tui.editing.texts import Texts
from tui.messages import DocumentsChanged, ScriptsChanged
from tui.widgets.git_pane import GitPane, git_detail
from tui.widgets.panel import Panel
from tui.widgets.script_pane import ScriptPane
from tui.widgets.task_pane import TaskPane

HISTORY = 100
"""Finished runs that the tasks tab begins with."""

GIT_COMMITS = 30


class Refresh:
    """Asks the engine and tells the widgets; problems go to the user as a sentence.

    Args:
        connection: May be away; then what was shown stays.
        texts: Lists the documents.
        open_script: Knows which script is open.
        outside: Is told what scripts there are, too.
        scripts: The list at the left.
        panel: Its tabs carry counts.
        tasks: The tasks tab.
        git: The git tab.
        notify_error: Tells the user what did not work.
    """

    def __init__(
        self,
        connection: EngineConnection,
        texts: Texts,
        open_script: OpenScript,
        outside: OutsideChanges,
        *,
        scripts: ScriptPane,
        panel: Panel,
        tasks: TaskPane,
        git: GitPane,
        notify_error: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._texts = texts
        self._open_script = open_script
        self._outside = outside
        self._scripts = scripts
        self._panel = panel
        self._tasks = tasks
        self._git = git
        self._notify_error = notify_error

    async def catch_up(self) -> None:
        """Read everything again but git, which may take long: the engine is new, or we are."""
        with problems_told(self._notify_error):
            await self.load_lists()
            runs = (await self._connection.client.call(RUNS_LIST, RunListParams(limit=HISTORY))).runs
            self._tasks.show_history(runs)
            if not self._connection.narrow:
                self._tasks.show_tasks((await self._connection.client.call(TASKS_LIST)).tasks)
            self._show_task_count()
            for run in reversed(runs):
                self._mark_outcome(run)

    def scripts_changed(self, message: ScriptsChanged) -> bool:
        """Remember who did it, for the marks of the next list; whether there is another list to be read."""
        self._scripts.outside.heard(message.path, outside=message.outside is not None)
        if message.problem is not None:
            self._notify_error(message.problem)
        return message.has_changes

    async def load_scripts(self) -> None:
        with problems_told(self._notify_error):
            scripts = (await self._connection.client.call(SCRIPTS_LIST)).scripts
            self._scripts.show_scripts(scripts)
            self._outside.texts_listed([*scripts, *self._scripts.documents])
            await self.mark_unsaved()

    async def load_lists(self) -> None:
        """Show the scripts and documents that there are now."""
        await self.load_scripts()
        await self.load_documents()

    def documents_changed(self, message: DocumentsChanged) -> None:
        """Remember who did it, for the marks of the next list."""
        self._scripts.outside_documents.heard(message.path, outside=message.outside)

    async def load_documents(self) -> None:
        """Show the project's documents; a token for some scripts only never gets them and is not asked for them."""
        if self._connection.narrow:
            return
        with problems_told(self._notify_error):
            documents = await self._texts.documents()
            self._scripts.show_documents(documents)
            self._outside.texts_listed([*self._scripts.scripts, *documents])
            await self.mark_unsaved()

    async def load_git(self) -> None:
        """Show branch, changed files and the log of the open script, or of all if none is open."""
        if self._connection.narrow:
            self._git.show_problem(self._connection.narrow)
            return
        with problems_told(self._git.show_problem):
            client, path = self._connection.client, self._open_script.path
            status = await client.call(GIT_STATUS)
            script = "" if self._git.whole_log or self._open_script.is_document else path
            log = (
                await client.call(GIT_LOG, GitLogParams(path=script or None, limit=GIT_COMMITS))
                if status.available
                else None
            )
            self._git.show(status, log, script)
            self._panel.set_detail("git", git_detail(status))

    async def mark_unsaved(self) -> None:
        """Mark scripts with unsaved text, here or left behind by earlier consoles."""
        paths = await self._open_script.left_behind_paths()
        self._scripts.show_unsaved(paths | ({self._open_script.path} if self._open_script.dirty else set()))

    def run_changed(self, run: RunInfo) -> None:
        self._tasks.show_run(run)
        self._show_task_count()
        self._mark_outcome(run)

    def task_changed(self, task: TaskInfo) -> None:
        self._tasks.show_task(task)
        self._show_task_count()

    def _show_task_count(self) -> None:
        count = self._tasks.busy
        self._panel.set_detail("tasks", str(count) if count else "")

    def _mark_outcome(self, run: RunInfo) -> None:
        if run.outcome is not None:
            self._scripts.show_outcome(run.name, failed=run.outcome not in ("ok", "cancelled"))
