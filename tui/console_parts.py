"""What the console needs besides its first picture: imported and built after that is painted."""

from __future__ import annotations

from textual.screen import Screen

from tui.arrival import Arrival
from tui.connection import EngineConnection, problems_told
from tui.desk import Desk
from tui.overview import Overview
from tui.recovery import RecoveryJournal, state_home
from tui.run_follower import RunFollower
from tui.run_starter import RunStarter
from tui.screens.console import ConsoleScreen
from tui.screens.pool import PoolScreen
from tui.widgets.git_pane import GitPane
from tui.widgets.output_pane import OutputPane
from tui.widgets.task_pane import TaskPane


class ConsoleParts:
    """The panes, the desk, and those who start and follow runs, built around one connection."""

    problems_told = staticmethod(problems_told)

    def __init__(
        self, screen: ConsoleScreen, connection: EngineConnection, journal: RecoveryJournal, open_first: str | None
    ) -> None:
        self.connection = connection
        self.output = OutputPane(state_home() / "gatewright", id="output")
        self.tasks = TaskPane(id="tasks")
        self.git = GitPane(id="git")
        self.desk = Desk(screen, screen.editor, connection, journal)
        self.follower = RunFollower(connection, self.output)
        self.starter = RunStarter(screen, self.desk, connection, self.follower)
        self.overview = Overview(
            connection,
            self.desk,
            scripts=screen.script_list,
            panel=screen.panel,
            tasks=self.tasks,
            git=self.git,
            complain=screen.complain,
        )
        self.arrival = Arrival(
            self.desk,
            self.follower,
            journal,
            scripts=screen.script_list,
            tasks=self.tasks,
            open_first=open_first,
            complain=screen.complain,
        )

    def pool_screen(self) -> Screen[int | None]:
        return PoolScreen(self.connection)
