"""What the console needs besides its first picture: imported and built after that is painted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.message import Message
from textual.screen import Screen

from tui.background import in_background
from tui.connection import EngineConnection, problems_told
from tui.console.git_actions import GitWork
from tui.console.refresh import Overview
from tui.console.screen import ConsoleScreen
from tui.console.startup import Arrival
from tui.editing.diagnostics import ProblemCheck
from tui.editing.external_changes import OutsideChanges
from tui.editing.open_script import Desk
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
from tui.scripts.default_scripts_actions import DefaultScriptsWork
from tui.scripts.file_actions import ScriptWork
from tui.widgets.banner import Banner
from tui.widgets.git_pane import GitPane
from tui.widgets.output_pane import OutputPane
from tui.widgets.problem_pane import ProblemPane
from tui.widgets.task_pane import TaskPane


class ConsoleParts:
    """The panes, the desk, and those who start and follow runs, built around one connection."""

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
        self.desk = Desk(screen, screen.editor, connection, journal)
        self.outside = OutsideChanges(screen, self.desk, screen.editor, screen.query_one(Banner), screen.on_desk)
        self.follower = RunFollower(connection, self.output)
        self.admin = AdminMode(screen, connection, publish, partial(in_background, screen, "admin"))
        self.starter = RunStarter(screen, self.desk, connection, self.follower, self.admin)
        self.check = ProblemCheck(connection, self.desk, self.problems, screen.panel)
        self.approval = Approval(screen, self.desk, connection)
        self.defaults = DefaultScriptsWork(screen, connection)
        self.saver = FileSaver(screen, connection)
        self.maintenance = Maintenance(
            connection, publish, partial(in_background, screen, "maintenance"), screen.complain
        )
        self.overview = Overview(
            connection,
            self.desk,
            self.outside,
            scripts=screen.script_list,
            panel=screen.panel,
            tasks=self.tasks,
            git=self.git,
            complain=screen.complain,
        )
        self.git_work = GitWork(screen, connection, self.desk, screen.editor, self.git, self.overview)
        self.script_work = ScriptWork(screen, connection, self.desk, screen.script_list, self.overview)
        self.arrival = Arrival(
            self.desk,
            self.follower,
            journal,
            scripts=screen.script_list,
            tasks=self.tasks,
            open_first=open_first,
            complain=screen.complain,
        )

    def text_changed(self) -> None:
        """A key: only timers are set and hashes compared."""
        self.desk.text_changed()
        self.check.text_changed()
        self.outside.text_changed()

    def desk_changed(self) -> None:
        self.check.check_soon()
        self.outside.desk_changed()

    def pool_screen(self) -> Screen[int | None]:
        return PoolScreen(self.connection)

    def settings_screen(self) -> SettingsScreen:
        return SettingsScreen(self.connection, self.maintenance, lambda: DiffScreen(self.connection))

    def runs_screen(self) -> Screen[int | None]:
        return RunsScreen(self.connection, lambda: self.admin.mode)
