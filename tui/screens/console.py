"""The console: scripts at the left, the editor, and below it output, tasks and git."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import TextArea

from tui.actions import Scope, bindings, footer_hints, pane_hints
from tui.background import in_background, in_place_of_the_last
from tui.messages import EngineAway, PoolChanged, RunChanged
from tui.recovery import Session
from tui.screens.picker import PickerScreen
from tui.screens.too_small import TooSmall
from tui.widgets.editor import Editor, EditorPane
from tui.widgets.header_bar import HeaderBar
from tui.widgets.key_hints import KeyHints
from tui.widgets.panel import Panel
from tui.widgets.script_list import ScriptList
from tui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from engine.models import ScriptInfo
    from tui.console_parts import ConsoleParts
    from tui.recovery import RecoveryJournal
    from tui.widgets.task_pane import TaskPane

P = ParamSpec("P")
Result = TypeVar("Result")

TOUR = "defaults/tour.py"
"""What a user sees who was never here before."""

HISTORY = 100
"""Finished runs that the tasks tab begins with."""

GIT_COMMITS = 30


class ConsoleScreen(Screen[None]):
    """The main screen. Its first paint needs no engine; ``attach`` brings the parts that do.

    Args:
        place: Project as the header shows it.
        open_first: Script to open, in place of that of the last session.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.CONSOLE)
    AUTO_FOCUS = "Editor"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual's own form

    def __init__(self, place: str, journal: RecoveryJournal, open_first: str | None = None) -> None:
        super().__init__()
        self._place = place
        self._journal = journal
        self._open_first = open_first
        self._parts: ConsoleParts | None = None
        self._desk_lock = asyncio.Lock()
        self._met_engine = False
        self._header = HeaderBar()
        self._scripts = ScriptList(id="scripts")
        self._editor = EditorPane(Editor(language=None, id="editor"))
        self._panel = Panel([("output", "Output"), ("tasks", "Tasks"), ("git", "Git")], id="panel")
        self._status = StatusBar()
        self._hints = KeyHints(footer_hints(Scope.CONSOLE, Scope.EVERYWHERE))

    @property
    def editor(self) -> Editor:
        return self._editor.editor

    @property
    def scripts(self) -> Sequence[ScriptInfo]:
        """All scripts of the project, as far as the engine has told."""
        return self._scripts.scripts

    def compose(self) -> ComposeResult:
        yield self._header
        with Horizontal(id="work"):
            yield self._scripts
            yield self._editor
        yield self._panel
        yield self._status
        yield self._hints
        yield TooSmall()

    def on_mount(self) -> None:
        self._header.project = self._place
        self._status.show_connecting()

    async def attach(self, parts: ConsoleParts) -> None:
        """Mount what needs the engine, after the first paint."""
        self._parts = parts
        await self._panel.add_panes([parts.output, parts.tasks, parts.git])
        if self.editor.dirty:
            parts.desk.text_changed()

    # What the engine says.

    def on_engine_connected(self) -> None:
        in_place_of_the_last(self, "catch-up", self._catch_up)

    def on_engine_away(self, message: EngineAway) -> None:
        self._status.show_away(message.reason)
        self.complain(f"{message.reason} {message.hint or ''}")
        if not self._met_engine:
            self._met_engine = True
            self._on_desk(self._start_without_engine)

    def on_pool_changed(self, message: PoolChanged) -> None:
        self._status.show_pool(message.pool)

    def on_run_changed(self, message: RunChanged) -> None:
        if self._parts is not None:
            self._parts.tasks.show_run(message.run)
            self._show_task_count()
            if message.run.state == "finished":
                self._mark_outcome(message.run.name, message.run.outcome)

    def on_runs_missed(self) -> None:
        in_place_of_the_last(self, "catch-up", self._catch_up)

    def on_scripts_changed(self) -> None:
        in_place_of_the_last(self, "scripts", self._load_scripts)

    async def _catch_up(self) -> None:
        """Read everything that is shown again: the engine is new, or we are."""
        if (parts := self._parts) is None:
            return
        with parts.problems_told(self.complain):
            await self._load_scripts()
            runs = (await parts.connection.client.list_runs(limit=HISTORY)).runs
            parts.tasks.show_history(runs)
            for run in reversed(runs):
                self._mark_outcome(run.name, run.outcome)
            self._show_task_count()
            if not self._met_engine:
                self._met_engine = True
                self._on_desk(self._start_with_engine)
            await self._load_git()

    async def _load_scripts(self) -> None:
        if (parts := self._parts) is None:
            return
        with parts.problems_told(self.complain):
            listed = await parts.connection.client.list_scripts()
            self._scripts.show_scripts(listed.scripts)
            await self._mark_unsaved()

    async def _load_git(self) -> None:
        if (parts := self._parts) is None:
            return
        with parts.problems_told(parts.git.show_problem):
            client, path = parts.connection.client, parts.desk.path
            status = await client.git_status()
            log = await client.git_log(path, limit=GIT_COMMITS) if status.available and path else None
            parts.git.show(status, log, path)
            self._panel.set_detail("git", parts.git_detail(status))

    async def _start_with_engine(self) -> None:
        """The first minute: unsaved text first, then the script and the run of the last session."""
        if (parts := self._parts) is None:
            return
        session = await asyncio.to_thread(self._journal.last_session)
        if session.run_id is not None or parts.tasks.unfinished:
            await self._show_last_run(session.run_id)
        await parts.desk.offer_left_behind(self._open_first)
        if not parts.desk.untouched:
            return
        path = self._open_first or session.path
        known = {script.path for script in self._scripts.scripts}
        if self._open_first or path in known:
            await parts.desk.open_at_start(path, (session.row, session.column) if path == session.path else (0, 0))
        elif TOUR in known:
            await parts.desk.open_at_start(TOUR)

    async def _start_without_engine(self) -> None:
        if self._parts is not None:
            await self._parts.desk.offer_left_behind()

    async def _show_last_run(self, run_id: int | None) -> None:
        """What the user watched when they left, or else what is going on."""
        if (parts := self._parts) is None:
            return
        known = run_id is not None and parts.tasks.run(run_id) is not None
        target = run_id if known else next((run.id for run in parts.tasks.unfinished), None)
        if target is not None:
            with parts.problems_told(self.complain):
                await parts.follower.follow(target)

    # The desk.

    def desk_changed(self) -> None:
        """The open script is another one, or saved, or unsaved."""
        if (parts := self._parts) is None:
            return
        self._header.script, self._header.dirty = parts.desk.path, parts.desk.dirty
        self._scripts.show_open(parts.desk.path)
        in_place_of_the_last(self, "marks", self._mark_unsaved)
        in_place_of_the_last(self, "git", self._load_git)

    @on(Editor.DirtyChanged)
    def _dirty_changed(self, event: Editor.DirtyChanged) -> None:
        self._header.dirty = event.dirty
        in_place_of_the_last(self, "marks", self._mark_unsaved)

    @on(TextArea.Changed, "#editor")
    def _text_changed(self) -> None:
        if self._parts is not None:
            self._parts.desk.text_changed()

    @on(ScriptList.OpenRequested)
    def _open_requested(self, event: ScriptList.OpenRequested) -> None:
        self.open_script(event.path)

    def open_script(self, path: str) -> None:
        """Open a script, after the text on the desk is safe."""
        if self._parts is not None:
            self._on_desk(self._parts.desk.open, path)

    async def _mark_unsaved(self) -> None:
        if (parts := self._parts) is not None:
            paths = await parts.desk.left_behind_paths()
            self._scripts.show_unsaved(paths | ({parts.desk.path} if parts.desk.dirty else set()))

    def _on_desk(self, work: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do what may ask the user about the text; one thing after the other."""
        in_background(self, "desk", self._after_the_others, partial(work, *args, **kwargs))

    async def _after_the_others(self, work: Callable[[], Awaitable[object]]) -> None:
        async with self._desk_lock:
            if (parts := self._parts) is not None:
                with parts.problems_told(self.complain):
                    await work()

    # Actions.

    def action_run(self) -> None:
        in_background(self, "run", self._run)

    async def _run(self) -> None:
        if (parts := self._parts) is not None:
            self._panel.show("output")
            with parts.problems_told(self.complain):
                await parts.starter.run()
                self._remember()

    def action_stop(self) -> None:
        """Stop the run that the output shows, else the newest one that goes on."""
        if (parts := self._parts) is None:
            return
        shown = parts.follower.run if parts.follower.is_running else next(iter(parts.tasks.unfinished), None)
        if shown is None:
            self.say("nothing is running")
        else:
            self.kill(shown.id)

    def on_task_pane_show_requested(self, event: TaskPane.ShowRequested) -> None:
        self.show_run(event.run_id)

    def on_task_pane_kill_requested(self, event: TaskPane.KillRequested) -> None:
        self.kill(event.run_id)

    def kill(self, run_id: int) -> None:
        in_background(self, "kill", self._kill, run_id)

    async def _kill(self, run_id: int) -> None:
        if (parts := self._parts) is not None:
            with parts.problems_told(self.complain):
                run = await parts.connection.client.cancel_run(run_id)
                self.say(f"#{run_id} {run.outcome or run.state}")

    def show_run(self, run_id: int) -> None:
        """Show a run's output, from its beginning."""
        self._panel.show("output", focus=True)
        in_background(self, "run", self._follow, run_id)

    async def _follow(self, run_id: int) -> None:
        if (parts := self._parts) is not None:
            with parts.problems_told(self.complain):
                await parts.follower.follow(run_id)

    def action_save(self) -> None:
        if self._parts is not None:
            self._on_desk(self._parts.desk.save)

    def action_new_script(self) -> None:
        if self._parts is not None:
            self._on_desk(self._parts.desk.make_new)

    def action_open(self) -> None:
        from tui.palette import SCRIPT, script_entries

        def opened(key: str | None) -> None:
            if key is not None:
                self.open_script(key.removeprefix(SCRIPT))

        entries = script_entries(self._scripts.scripts)
        self.app.push_screen(PickerScreen("open a script: type a part of its name", entries), opened)

    def action_find(self) -> None:
        self._editor.action_find()

    def action_pool(self) -> None:
        if (parts := self._parts) is None:
            return

        def left(run_id: int | None) -> None:
            if run_id is not None:
                self.show_run(run_id)

        self.app.push_screen(parts.pool_screen(), left)

    def action_focus_list(self) -> None:
        self._scripts.focus_rows()

    def action_focus_editor(self) -> None:
        self._panel.remove_class("-zoomed")
        self._scripts.clear_filter()
        find_bar = self._editor.find_bar
        if find_bar.is_open:
            find_bar.action_close()
        self.set_focus(self.editor)

    def action_go_to_line(self) -> None:
        self._editor.action_go_to_line()

    def action_focus_panel(self) -> None:
        if self._panel.has_focus_within:
            self._panel.show_next()
        else:
            self._panel.show(self._panel.active, focus=True)

    def owner_of(self, scope: Scope) -> Widget:
        """Whose actions those of a scope are."""
        if self._parts is not None and scope is Scope.OUTPUT:
            return self._parts.output
        return self._scripts if scope is Scope.LIST else self._panel

    async def may_quit(self) -> bool:
        """Whether the text is safe or given up; asks if not."""
        if (parts := self._parts) is None:
            return True
        async with self._desk_lock:
            leave = await parts.desk.may_leave()
        self._remember()
        return leave

    def hang_up(self) -> None:
        """Put everything on disk that only this process knows; it has no time for more."""
        if self._parts is not None:
            self._parts.desk.journal_now()
            self._remember()

    # Small things.

    @on(events.DescendantFocus)
    def _show_hints(self) -> None:
        """The footer tells what the focused pane can do."""
        panel = self._panel
        if self._scripts.has_focus_within:
            hints = pane_hints(Scope.LIST)
        elif panel.has_focus_within:
            hints = pane_hints(Scope.PANEL, *{"output": [Scope.OUTPUT], "tasks": [Scope.TASKS]}.get(panel.active, []))
        else:
            hints = footer_hints(Scope.CONSOLE, Scope.EVERYWHERE)
        self._hints.set_actions(hints)

    async def push_screen_wait(self, screen: Screen[Result]) -> Result:
        return await self.app.push_screen_wait(screen)

    def say(self, text: str) -> None:
        self._status.say(text)

    def complain(self, text: str) -> None:
        from tui.terminal_guard import sanitise_line

        self.notify(sanitise_line(text), severity="error", timeout=8, markup=False)

    def _mark_outcome(self, path: str, outcome: str | None) -> None:
        if outcome is not None:
            self._scripts.show_outcome(path, failed=outcome not in ("ok", "cancelled"))

    def _show_task_count(self) -> None:
        if self._parts is not None:
            count = len(self._parts.tasks.unfinished)
            self._panel.set_detail("tasks", str(count) if count else "")
            self._header.running = self._parts.follower.is_running

    def _remember(self) -> None:
        if (parts := self._parts) is None:
            return
        (row, column), run = self.editor.cursor_location, parts.follower.run
        session = Session(parts.desk.path, row, column, None if run is None else run.id)
        try:
            self._journal.remember(session)
        except parts.recovery_error as error:
            self.complain(str(error))
