"""What the console needs besides its first picture: imported and built after that is painted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from textual.message import Message
from textual.screen import Screen

from engine.user_folders import state_home
from tui.connection import EngineConnection, problems_told
from tui.console.full_disk import FullDisk
from tui.console.git_actions import GitActions
from tui.console.refresh import Refresh
from tui.console.startup import Startup
from tui.editing.diagnostics import ProblemCheck
from tui.editing.expansion import MacroExpansion
from tui.editing.external_changes import OutsideChanges
from tui.editing.open_script import OpenScript, OpenScriptHost
from tui.editing.own_edits import OwnEditing
from tui.editing.preview import Preview
from tui.editing.recovery import RecoveryJournal
from tui.editing.search import search_texts
from tui.editing.texts import Texts
from tui.runs.admin_mode import AdminMode
from tui.runs.fleet import FleetStarter
from tui.runs.follow import RunFollower
from tui.runs.save_files import FileSaver
from tui.runs.start import RunStarter
from tui.screens.diff import DiffScreen
from tui.screens.figures import FiguresScreen
from tui.screens.maintenance import Maintenance, MaintenanceScreen
from tui.screens.packages.changes import PackageChanges
from tui.screens.packages.screen import PackagesScreen
from tui.screens.pool import PoolScreen
from tui.screens.runs import RunsScreen
from tui.screens.search import SearchScreen
from tui.scripts.advice_actions import AdviceActions
from tui.scripts.approval import Approval
from tui.scripts.default_scripts_actions import DefaultScriptsActions
from tui.scripts.file_actions import FileActions
from tui.widgets.banner import Banner
from tui.widgets.editor.editor import Editor
from tui.widgets.git_pane import GitPane
from tui.widgets.output_pane import OutputPane
from tui.widgets.panel import Panel
from tui.widgets.preview_pane import PreviewPane
from tui.widgets.problem_pane import ProblemPane
from tui.widgets.script_pane import ScriptPane
from tui.widgets.task_pane import TaskPane

Work = Callable[[], Awaitable[object]]


class ConsoleHost(OpenScriptHost, Protocol):
    """The console's screen."""

    def in_turn(self, work: Work) -> None:
        """Do what may ask the user about the text; one thing after the other."""


class ConsoleParts:
    """The panes, the open script, and what starts and follows runs, built around one connection.

    Args:
        host: Asks and tells.
        editor: Shows the open script.
        banner: Says what is not settled about it.
        scripts: The list at the left.
        panel: Its tabs carry counts.
        connection: May be away.
        journal: Where unsaved text is kept.
        open_first: Script to open in place of the last one.
        publish: Hands a message to every screen.
        start: Starts work of a group that goes on while the user types, and that no dialog's end ends.
    """

    problems_told = staticmethod(problems_told)

    def __init__(
        self,
        host: ConsoleHost,
        editor: Editor,
        banner: Banner,
        scripts: ScriptPane,
        panel: Panel,
        connection: EngineConnection,
        journal: RecoveryJournal,
        *,
        open_first: str | None,
        publish: Callable[[Message], None],
        start: Callable[[str, Work], None],
    ) -> None:
        self.connection = connection
        self.output = OutputPane(state_home() / "gatewright", id="output")
        self.problems = ProblemPane(id="problems")
        self.tasks = TaskPane(id="tasks")
        self.git = GitPane(id="git")
        self.own_edits = OwnEditing(host, connection, publish, partial(start, "own-edits"))
        self.texts = Texts(connection)
        self.open_script = OpenScript(host, editor, connection, self.texts, journal, self.own_edits)
        self.outside = OutsideChanges(host, self.open_script, editor, banner, host.in_turn)
        self.follower = RunFollower(connection, self.output)
        self.admin = AdminMode(host, connection, publish, partial(start, "admin"))
        self.starter = RunStarter(host, self.open_script, connection, self.follower, self.admin)
        self.fleet = FleetStarter(host, self.open_script, connection)
        self.preview_pane = PreviewPane(id="preview")
        self.expansion = expansion = MacroExpansion(connection)
        self.preview = Preview(host, connection, self.texts, self.open_script, editor, expansion, self.preview_pane)
        self.check = ProblemCheck(connection, self.open_script, expansion, self.problems, panel)
        self.approval = Approval(host, self.open_script, connection, self.own_edits)
        self.advice = AdviceActions(host, connection, self.open_script, editor)
        self.defaults = DefaultScriptsActions(host, connection)
        self.saver = FileSaver(host, connection)
        self.full_disk = FullDisk(host, connection)
        self.maintenance = Maintenance(connection, publish, partial(start, "maintenance"), host.notify_error)
        self.package_changes = PackageChanges(
            connection, publish, partial(start, "packages"), host.notify, host.notify_error
        )
        self.refresh = Refresh(
            connection,
            self.texts,
            self.open_script,
            self.outside,
            scripts=scripts,
            panel=panel,
            tasks=self.tasks,
            git=self.git,
            notify_error=host.notify_error,
        )
        self.git_actions = GitActions(host, connection, self.open_script, editor, self.git, self.refresh)
        self.file_actions = FileActions(
            host, connection, self.texts, self.open_script, scripts, self.refresh.load_lists
        )
        self.startup = Startup(
            self.open_script,
            self.follower,
            journal,
            scripts=scripts,
            tasks=self.tasks,
            open_first=open_first,
            notify_error=host.notify_error,
        )

    def text_changed(self) -> None:
        """A key: only timers are set and hashes compared."""
        self.open_script.text_changed()
        self.check.text_changed()
        self.preview.text_changed()
        self.outside.text_changed()

    def open_script_changed(self) -> None:
        self.check.check_soon()
        self.preview.open_script_changed()
        self.outside.open_script_changed()

    def project_changed(self) -> None:
        """Scripts or documents are others: what macros make of a document may be, too."""
        self.preview.project_changed()
        if self.open_script.is_document:
            self.check.check_soon()

    def preview_opened(self, *, wanted: bool) -> None:
        """The user opens the preview or closes it: problems come from what is looked at."""
        self.expansion.shown = wanted
        self.preview.refresh()
        if self.open_script.is_document:
            self.check.check_soon()

    def search_screen(self) -> SearchScreen:
        return SearchScreen(partial(search_texts, self.connection))

    def pool_screen(self) -> Screen[int | None]:
        return PoolScreen(self.connection, self.figures_screen)

    def figures_screen(self) -> Screen[int | None]:
        return FiguresScreen(self.connection, self.runs_screen)

    def packages_screen(self) -> PackagesScreen:
        return PackagesScreen(self.connection, self.package_changes)

    def maintenance_screen(self) -> MaintenanceScreen:
        return MaintenanceScreen(self.connection, self.maintenance, lambda: DiffScreen(self.connection))

    def runs_screen(self, words: str = "") -> Screen[int | None]:
        return RunsScreen(self.connection, lambda: self.admin.mode, words)
