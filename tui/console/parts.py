"""What the console needs besides its first picture: imported and built after that is painted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.message import Message
from textual.screen import Screen

from tui.background import in_background
from tui.connection import EngineConnection, problems_told
from tui.console.git_actions import GitActions
from tui.console.refresh import Refresh
from tui.console.screen import ConsoleScreen
from tui.console.startup import Startup
from tui.editing.diagnostics import ProblemCheck
from tui.editing.external_changes import OutsideChanges
from tui.editing.open_script import OpenScript
from tui.editing.recovery import RecoveryJournal, state_home
from tui.runs.admin_mode import AdminMode
from tui.runs.follow import RunFollower
from tui.runs.save_files import FileSaver
from tui.runs.start import RunStarter
from tui.screens.diff import DiffScreen
from tui.screens.pool import PoolScreen
from tui.screens.runs import RunsScreen
from tui.screens.settings import Maintenance, SettingsScreen
from tui.scripts.approval import Approval
from tui.scripts.default_scripts_actions import DefaultScriptsActions
from tui.scripts.file_actions import FileActions
from tui.widgets.banner import Banner
from tui.widgets.git_pane import GitPane
from tui.widgets.output_pane import OutputPane
from tui.widgets.problem_pane import ProblemPane
from tui.widgets.task_pane import TaskPane


class ConsoleParts:
    """The panes, the open script, and what starts and follow runs, built around one connection."""

    problems_told = staticmethod(problems_told)

    def __init__(
        self,
        screen: ConsoleScreen,
        connection: EngineConnection,
        journal: RecoveryJournal,
        open_first: str | None,
        publish: Callable[[Message], None],
    ) -> None:
        self.connection = connection
        self.output = OutputPane(state_home() / "gatewright", id="output")
        self.problems = ProblemPane(id="problems")
        self.tasks = TaskPane(id="tasks")
        self.git = GitPane(id="git")
        self.open_script = OpenScript(screen, screen.editor, connection, journal)
        self.outside = OutsideChanges(screen, self.open_script, screen.editor, screen.query_one(Banner), screen.in_turn)
        self.follower = RunFollower(connection, self.output)
        self.admin = AdminMode(screen, connection, publish, partial(in_background, screen, "admin"))
        self.starter = RunStarter(screen, self.open_script, connection, self.follower, self.admin)
        self.check = ProblemCheck(connection, self.open_script, self.problems, screen.panel)
        self.approval = Approval(screen, self.open_script, connection)
        self.defaults = DefaultScriptsActions(screen, connection)
        self.saver = FileSaver(screen, connection)
        self.maintenance = Maintenance(
            connection, publish, partial(in_background, screen, "maintenance"), screen.notify_error
        )
        self.refresh = Refresh(
            connection,
            self.open_script,
            self.outside,
            scripts=screen.script_list,
            panel=screen.panel,
            tasks=self.tasks,
            git=self.git,
            notify_error=screen.notify_error,
        )
        self.git_actions = GitActions(screen, connection, self.open_script, screen.editor, self.git, self.refresh)
        self.file_actions = FileActions(screen, connection, self.open_script, screen.script_list, self.refresh)
        self.startup = Startup(
            self.open_script,
            self.follower,
            journal,
            scripts=screen.script_list,
            tasks=self.tasks,
            open_first=open_first,
            notify_error=screen.notify_error,
        )

    def text_changed(self) -> None:
        """A key: only timers are set and hashes compared."""
        self.open_script.text_changed()
        self.check.text_changed()
        self.outside.text_changed()

    def open_script_changed(self) -> None:
        self.check.check_soon()
        self.outside.open_script_changed()

    def pool_screen(self) -> Screen[int | None]:
        return PoolScreen(self.connection)

    def settings_screen(self) -> SettingsScreen:
        return SettingsScreen(self.connection, self.maintenance, lambda: DiffScreen(self.connection))

    def runs_screen(self) -> Screen[int | None]:
        return RunsScreen(self.connection, lambda: self.admin.mode)
