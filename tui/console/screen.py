"""The console: scripts and documents at the left, the editor, and below it output, problems, tasks and git."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import TextArea

from engine.registry.runs import RUNS_CANCEL, RunParams
from tui.actions import Scope, action, bindings, footer_hints, in_scope, pane_hints
from tui.background import in_background, in_place_of_the_last
from tui.messages import (
    DocumentsChanged,
    EngineAway,
    EngineConnected,
    ModeChanged,
    OwnEditsChanged,
    PoolChanged,
    RunChanged,
    ScriptsChanged,
    TaskChanged,
    TaskTold,
)
from tui.screens.full_screen import FullScreen
from tui.text.formats import time_left
from tui.text.isolation import host_note, host_sentence
from tui.widgets.editor.editor import Editor
from tui.widgets.editor.pane import EditorPane
from tui.widgets.header_bar import HeaderBar
from tui.widgets.key_hints import KeyHints
from tui.widgets.panel import Panel
from tui.widgets.script_pane import ScriptAction, ScriptPane
from tui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from engine.client.answers import EngineError
    from engine.client.target import Target
    from engine.models.documents import DocumentInfo
    from engine.models.runs import Mode, RunInfo
    from engine.models.scripts import ScriptInfo
    from tui.connection import EngineConnection
    from tui.console.parts import ConsoleParts
    from tui.editing.recovery import RecoveryJournal, Session
    from tui.screens.search import FoundPlace
    from tui.widgets.git_pane import GitPane
    from tui.widgets.output_pane import OutputPane
    from tui.widgets.preview_pane import PreviewPane
    from tui.widgets.problem_pane import ProblemPane
    from tui.widgets.task_pane import TaskPane


P = ParamSpec("P")
Result = TypeVar("Result")

_BEFORE_ATTACH = frozenset({"open", "find", "go_to_line", "focus_list", "focus_panel", "focus_editor"})
"""Actions that need nothing but the first picture."""

_AFTER_ATTACH = frozenset(item.name for item in in_scope(Scope.CONSOLE)) - _BEFORE_ATTACH

_PANE_SCOPES = {scope.name.lower(): (scope,) for scope in (Scope.OUTPUT, Scope.PROBLEMS, Scope.TASKS, Scope.GIT)}


class ConsoleScreen(FullScreen[None]):
    """The main screen. Its first paint needs no engine; ``attach`` brings the parts that do.

    Args:
        place: Project as the header shows it.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.CONSOLE)
    AUTO_FOCUS = "Editor"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual's own form

    def __init__(self, place: str, *, fast_editor: bool = True) -> None:
        super().__init__()
        self._place = place
        self._parts: ConsoleParts | None = None
        self._turn = asyncio.Lock()
        self._met_engine = False
        self._shown = asyncio.Event()
        self._shown.set()
        self._header = HeaderBar()
        self.script_pane = ScriptPane(id="scripts")
        self._editor = EditorPane(Editor(language=None, fast=fast_editor, id="editor"))
        tabs = [("output", "Output"), ("problems", "Problems"), ("tasks", "Tasks"), ("git", "Git")]
        self.panel = Panel(tabs, id="panel")
        self._status = StatusBar()
        self._hints = KeyHints(footer_hints(Scope.CONSOLE, Scope.EVERYWHERE))

    @property
    def parts(self) -> ConsoleParts:
        """What ``attach`` built. What may happen before it looks at ``_parts`` instead."""
        if self._parts is None:
            raise AssertionError("the console has no parts before attach")
        return self._parts

    @property
    def editor(self) -> Editor:
        return self._editor.editor

    @property
    def texts(self) -> Sequence[ScriptInfo | DocumentInfo]:
        """All scripts and documents of the project, as far as the engine has told."""
        return [*self.script_pane.scripts, *self.script_pane.documents]

    def compose(self) -> ComposeResult:
        yield self._header
        with Horizontal(id="work"):
            yield self.script_pane
            yield self._editor
        yield self.panel
        yield self._status
        yield self._hints
        yield self.too_small

    def on_mount(self) -> None:
        self._header.project = self._place
        self._status.show_connecting()
        self.watch(self, "focused", self._focus_moved)

    async def attach(
        self,
        connection: EngineConnection,
        journal: RecoveryJournal,
        open_first: str | None,
        publish: Callable[[Message], None],
    ) -> None:
        """Build and mount what needs the engine, after the first paint.

        Args:
            connection: To the engine; it need not be connected yet.
            journal: Where unsaved text is kept.
            open_first: Script to open in place of the last one.
            publish: Hands a message to every screen.
        """
        from tui.console.parts import ConsoleParts

        parts = self._parts = ConsoleParts(
            self,
            self.editor,
            self._editor.banner,
            self.script_pane,
            self.panel,
            connection,
            journal,
            open_first=open_first,
            publish=publish,
            start=partial(in_background, self),
        )
        await self.panel.add_panes([parts.output, parts.problems, parts.tasks, parts.git])
        await self.query_one("#work").mount(parts.preview_pane)
        if self.editor.dirty:
            parts.open_script.text_changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Refuse what needs the engine's parts until they are there."""
        return self._parts is not None or action not in _AFTER_ATTACH

    # What the engine says.

    def on_engine_connected(self, message: EngineConnected) -> None:
        self._status.show_connected()
        self._status.warning = host_note(message.info)
        self._header.project = f"{self._place} as {message.role}" if message.role else self._place
        if (parts := self._parts) is not None:
            parts.output.show_refusal("")
            parts.output.show_host(host_sentence(message.info))
            parts.admin.engine_changed(message.info)
            parts.check.check_soon()
            parts.tasks.forget_tasks()
            parts.package_changes.forget()
            in_place_of_the_last(self, "catch-up", self._catch_up)
            in_background(self, "offers", parts.defaults.tell)
            if message.info.disk_full:
                self.in_turn(partial(parts.full_disk.offer, message.info))

    def on_engine_away(self, message: EngineAway) -> None:
        self._status.show_away(message.reason, refused=message.refused)
        if self._parts is not None:
            self._parts.own_edits.engine_away()
            self._parts.output.show_refusal(f"{message.reason} {message.hint or ''}" if message.refused else "")
        self.notify_error(f"{message.reason} {message.hint or ''}")
        if self._parts is not None and not self._met_engine:
            self.in_turn(self._parts.startup.without_engine)

    def on_pool_changed(self, message: PoolChanged) -> None:
        self._status.show_pool(message.pool)

    def on_run_changed(self, message: RunChanged) -> None:
        if self._parts is not None:
            self._parts.refresh.run_changed(message.run)

    def on_task_changed(self, message: TaskChanged) -> None:
        if self._parts is not None:
            self._parts.refresh.task_changed(message.task)
            self._parts.package_changes.heard_task(message.task)

    def on_task_told(self, message: TaskTold) -> None:
        if self._parts is not None:
            self._parts.package_changes.heard_line(message.number, message.text)

    def on_runs_missed(self) -> None:
        if self._parts is not None:
            in_place_of_the_last(self, "catch-up", self._catch_up)

    def on_scripts_changed(self, message: ScriptsChanged) -> None:
        if self._parts is not None:
            self._parts.own_edits.look()
        if self._parts is not None and self._parts.refresh.scripts_changed(message):
            in_place_of_the_last(self, "scripts", self._parts.refresh.load_scripts)
            self._parts.project_changed()

    def on_documents_changed(self, message: DocumentsChanged) -> None:
        if self._parts is not None:
            self._parts.refresh.documents_changed(message)
            in_place_of_the_last(self, "documents", self._parts.refresh.load_documents)
            self._parts.project_changed()

    def on_git_changed(self) -> None:
        if self._parts is not None:
            in_place_of_the_last(self, "git", self._parts.refresh.load_git)

    async def _catch_up(self) -> None:
        await self.parts.refresh.catch_up()
        if not self._met_engine:
            self._met_engine = True
            self.in_turn(self.parts.startup.with_engine)
        await self.parts.refresh.load_git()

    # The open script.

    def open_script_changed(self) -> None:
        """The open script is another one, or saved, or unsaved."""
        parts = self.parts
        self._header.script, self._header.dirty = parts.open_script.path, parts.open_script.dirty
        self.script_pane.show_open(parts.open_script.path)
        parts.open_script_changed()
        in_place_of_the_last(self, "marks", parts.refresh.mark_unsaved)
        in_place_of_the_last(self, "git", parts.refresh.load_git)
        in_place_of_the_last(self, "session", self._remember)

    @on(Editor.DirtyChanged)
    def _dirty_changed(self, event: Editor.DirtyChanged) -> None:
        self._header.dirty = event.dirty
        if self._parts is not None:
            in_place_of_the_last(self, "marks", self._parts.refresh.mark_unsaved)

    @on(TextArea.Changed, "#editor")
    def _text_changed(self) -> None:
        if self._parts is not None:
            self._parts.text_changed()

    @on(TextArea.SelectionChanged, "#editor")
    def _cursor_moved(self) -> None:
        if self._parts is not None:
            self._parts.preview.cursor_moved()

    @on(ScriptPane.OpenRequested)
    def _open_requested(self, event: ScriptPane.OpenRequested) -> None:
        self.open_script(event.path)

    def open_script(self, path: str) -> None:
        """Open a script or document, after the text in the editor is safe."""
        self.in_turn(self.parts.open_script.open, path)

    def in_turn(self, work: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do what may ask the user about the text; one thing after the other."""
        in_background(self, "open-script", self._after_the_others, partial(work, *args, **kwargs))

    async def _after_the_others(self, work: Callable[[], Awaitable[object]]) -> None:
        async with self._turn:
            with self.parts.problems_told(self.notify_error):
                await work()

    # Actions.

    def action_run(self) -> None:
        self._start_run(self.parts.starter.run)

    def action_run_with(self) -> None:
        self._start_run(self.parts.starter.run_with)

    def _start_run(self, start: Callable[[Mode], Awaitable[EngineError | None]]) -> None:
        admin = self.parts.admin
        if admin.just_ended:
            self.notify("ADMIN is over, nothing was run")
        else:
            in_background(self, "run", self._run, start, admin.mode)

    async def _run(self, start: Callable[[Mode], Awaitable[EngineError | None]], mode: Mode) -> None:
        self.panel.show("output")
        with self.parts.problems_told(self.notify_error):
            refused = await start(mode)
            if refused is not None:
                await self.parts.approval.offer(refused)
            await self._remember()

    def action_stop(self) -> None:
        """Stop the run that the output shows; others may be somebody else's and are stopped in the tasks tab."""
        follower = self.parts.follower
        if follower.run is not None and follower.is_running:
            self.kill(follower.run.id)
        else:
            self.notify("the run in the output is not going on")

    def action_admin(self) -> None:
        self.parts.admin.switch()

    def on_mode_changed(self, message: ModeChanged) -> None:
        """The header tells the mode; in ADMIN, header and footer are a frame of the danger colour."""
        self._header.mode = f"ADMIN {time_left(message.remaining)}" if message.mode == "ADMIN" else message.mode
        self.set_class(message.mode == "ADMIN", "-admin")
        self._show_hints()

    def on_own_edits_changed(self, message: OwnEditsChanged) -> None:
        """The status bar tells whose own edits have permissions, and for how long."""
        other = message.script if message.script != self.parts.open_script.path else ""
        shown = " ".join(filter(None, ("own edits", other, time_left(message.remaining))))
        self._status.approved = shown if message.script else ""

    def on_script_pane_end_own_edits(self) -> None:
        if self._parts is not None:
            in_background(self, "own-edits-end", self._end_own_edits)

    async def _end_own_edits(self) -> None:
        if not await self.parts.own_edits.give_up():
            self.notify("no own edits are approved")

    def action_approve(self) -> None:
        """Decide about the script under the list's cursor, or else the one in the editor."""
        parts = self.parts
        self.in_turn(parts.approval.decide, self.script_pane.path_under_cursor or parts.open_script.path)

    def on_output_pane_proposal_requested(self, event: OutputPane.ProposalRequested) -> None:
        in_background(self, "advice", self._advised, partial(self.parts.advice.propose, event.run))

    def on_output_pane_explanation_requested(self, event: OutputPane.ExplanationRequested) -> None:
        in_background(self, "advice", self._advised, partial(self.parts.advice.explain, event.run))

    async def _advised(self, work: Callable[[], Awaitable[object]]) -> None:
        with self.parts.problems_told(self.notify_error):
            await work()

    def on_output_pane_save_requested(self, event: OutputPane.SaveRequested) -> None:
        in_background(self, "save-files", self._save_files, event.run)

    async def _save_files(self, run: RunInfo | None) -> None:
        with self.parts.problems_told(self.notify_error):
            await self.parts.saver.save(run)

    def on_problem_pane_jump_requested(self, event: ProblemPane.JumpRequested) -> None:
        self._editor.go_to(event.row, event.column)

    def on_panel_shown(self, event: Panel.Shown) -> None:
        if event.pane == "git":
            in_place_of_the_last(self, "git", self.parts.refresh.load_git)

    def on_git_pane_wanted(self, event: GitPane.Wanted) -> None:
        in_background(self, "git-work", self.parts.git_actions.do, event.action, event.subject)

    def on_output_pane_following(self, event: OutputPane.Following) -> None:
        self._header.running = event.running

    def on_task_pane_show_requested(self, event: TaskPane.ShowRequested) -> None:
        self.show_run(event.run_id)

    def on_task_pane_kill_requested(self, event: TaskPane.KillRequested) -> None:
        self.kill(event.run_id)

    def on_task_pane_cancel_requested(self, event: TaskPane.CancelRequested) -> None:
        in_background(self, "kill", self._cancel_task, event.task_id)

    def on_task_pane_explain_requested(self) -> None:
        self.notify(f"a task of the engine's own has no output; {action('kill_task').key} cancels it")

    async def _cancel_task(self, task_id: int) -> None:
        from engine.registry.sync import TASKS_CANCEL, TaskParams
        from tui.text.labels import TASKS

        with self.parts.problems_told(self.notify_error):
            task = await self.parts.connection.client.call(TASKS_CANCEL, TaskParams(task_id=task_id))
            self.notify(f"{TASKS.get(task.kind, task.kind)}: {task.state}")

    def kill(self, run_id: int) -> None:
        in_background(self, "kill", self._kill, run_id)

    async def _kill(self, run_id: int) -> None:
        with self.parts.problems_told(self.notify_error):
            run = await self.parts.connection.client.call(RUNS_CANCEL, RunParams(run_id=run_id))
            self.notify(f"#{run_id} {run.outcome or run.state}")

    def show_run(self, run_id: int) -> None:
        """Show a run's output, from its beginning."""
        self.panel.show("output", focus=True)
        in_background(self, "run", self._follow, run_id)

    async def _follow(self, run_id: int) -> None:
        with self.parts.problems_told(self.notify_error):
            await self.parts.follower.follow(run_id)

    def action_save(self) -> None:
        self.in_turn(self.parts.open_script.save)

    def action_merge(self) -> None:
        self.in_turn(self.parts.outside.merge)

    def action_new_script(self) -> None:
        self.in_turn(self.parts.open_script.make_new)

    def action_open(self) -> None:
        from tui.console.palette import pick_script

        pick_script(self.app, self.texts, self.open_script)

    # The preview.

    def action_preview(self) -> None:
        """Show the preview; go into it when it is shown; close it from inside."""
        pane = self.parts.preview_pane
        if not pane.is_open:
            self._open_preview(wanted=True)
        elif pane.has_focus_within:
            self.on_preview_pane_close_requested()
        else:
            self.remove_class("-listing")
            pane.focus_rows()

    def _open_preview(self, *, wanted: bool) -> None:
        self.parts.preview_pane.set_class(wanted, "-open")
        self.set_class(wanted, "-preview")
        self.parts.preview_opened(wanted=wanted)

    def on_preview_pane_close_requested(self) -> None:
        self._open_preview(wanted=False)
        self.set_focus(self.editor)

    def on_preview_pane_jump_requested(self, event: PreviewPane.JumpRequested) -> None:
        self.in_turn(self.parts.preview.go_to, event.row)

    def on_preview_pane_document_requested(self) -> None:
        self.in_turn(self.parts.preview.choose_document, self.script_pane.documents)

    def on_script_pane_search_requested(self) -> None:
        if self._parts is not None:
            self.app.push_screen(self._parts.search_screen(), self._go_to_place)

    def _go_to_place(self, place: FoundPlace | None) -> None:
        if place is not None:
            self.in_turn(self.parts.open_script.open, place.path, place.line)

    def action_meta(self) -> None:
        self.script_pane.want(ScriptAction.META)

    def on_script_pane_wanted(self, event: ScriptPane.Wanted) -> None:
        if self._parts is not None:
            self.in_turn(self._parts.file_actions.do, event.action, event.path)

    def action_find(self) -> None:
        self._editor.action_find()

    def on_script_pane_defaults_requested(self, event: ScriptPane.DefaultsRequested) -> None:
        if (parts := self._parts) is not None:
            work = parts.defaults.restore if event.restore else parts.defaults.show
            in_background(self, "defaults", work)

    def action_pool(self) -> None:
        self.app.push_screen(self.parts.pool_screen(), self._show_chosen)

    def on_script_pane_packages_requested(self) -> None:
        if self._parts is not None:
            self.app.push_screen(self._parts.packages_screen())

    def action_run_history(self) -> None:
        self.app.push_screen(self.parts.runs_screen(), self._show_chosen)

    def _show_chosen(self, run_id: int | None) -> None:
        """Show the run that the user left another screen for, if they did."""
        if run_id is not None:
            self.show_run(run_id)

    def action_maintenance(self) -> None:
        self.app.push_screen(self.parts.maintenance_screen())

    def action_focus_list(self) -> None:
        self.add_class("-listing")  # a narrow screen shows the list in place of the preview while it has the focus
        self.script_pane.focus_rows()

    def action_focus_editor(self) -> None:
        self.panel.remove_class("-zoomed")
        self.script_pane.clear_filter()
        find_bar = self._editor.find_bar
        if find_bar.is_open:
            find_bar.action_close()
        self.set_focus(self.editor)

    def action_go_to_line(self) -> None:
        self._editor.action_go_to_line()

    def action_focus_panel(self) -> None:
        if self.panel.has_focus_within:
            self.panel.show_next()
        else:
            self.panel.show(self.panel.active, focus=True)

    def owner_of(self, scope: Scope) -> Widget:
        """Whose actions those of a scope are."""
        if scope is Scope.LIST:
            return self.script_pane
        if (parts := self._parts) is None:
            return self.panel
        if scope is Scope.PREVIEW:
            return parts.preview_pane
        if scope in (Scope.POOL, Scope.RUNS):
            chooser = parts.pool_screen() if scope is Scope.POOL else parts.runs_screen()
            self.app.push_screen(chooser, self._show_chosen)
            return chooser
        if scope in (Scope.MAINTENANCE, Scope.PACKAGES):
            screen = parts.maintenance_screen() if scope is Scope.MAINTENANCE else parts.packages_screen()
            self.app.push_screen(screen)
            return screen
        panes: dict[Scope, Widget] = {Scope.OUTPUT: parts.output, Scope.PROBLEMS: parts.problems, Scope.GIT: parts.git}
        return panes.get(scope, self.panel)

    async def may_quit(self) -> bool:
        """Whether the text is safe or given up; asks if not."""
        if (parts := self._parts) is None:
            return True
        async with self._turn:
            leave = await parts.open_script.may_quit()
            if leave:
                await parts.open_script.clear()
                await parts.own_edits.end()
        await self._remember()
        return leave

    # Other gateways.

    @property
    def is_left(self) -> bool:
        """Whether the user is at another gateway."""
        return not self._shown.is_set()

    @property
    def unsaved(self) -> str | None:
        """Path of the text in the editor if it is unsaved, empty for one without a name; None where nothing is."""
        if not self.editor.dirty:
            return None
        return "" if self._parts is None else self._parts.open_script.path

    def leave(self) -> None:
        """Let the user go to another gateway: no question of this one is asked there."""
        self._shown.clear()
        if self._parts is not None:
            self._parts.admin.end()

    async def finish(self) -> None:
        """Keep what is unsaved, and bring to an end what needs the engine: own edits, and a save that goes on."""
        if (parts := self._parts) is not None:
            await parts.open_script.keep()
            await self._remember()
            await parts.own_edits.end()
            async with self._turn:
                pass

    def arrive(self) -> None:
        """Welcome the user, who is here again or for the first time."""
        self._shown.set()
        if self._parts is not None and not self._parts.connection.connected.is_set():
            self._status.show_connecting()

    def run_on(self, targets: Mapping[str, Target | str], named: str) -> None:
        """Run the open script on gateways, each by how it is reached or why it is not."""
        if self._parts is not None:
            in_background(self, "fleet", self._run_on, targets, named)

    async def _run_on(self, targets: Mapping[str, Target | str], named: str) -> None:
        from tui.runs.fleet import connect_to
        from tui.screens.fleet_run import FleetRunScreen

        request = await self.parts.fleet.ask()
        if request is not None:
            start, connect = partial(request.on, targets), partial(connect_to, targets)
            self.app.push_screen(FleetRunScreen(request.name, named, list(targets), start, connect))

    async def put_aside(self, *, keep: bool) -> bool:
        """Keep the unsaved text for the next console, or give it up: this one ends while the user is elsewhere.

        Returns:
            False, and the user told, if the disk did not take it.
        """
        if (parts := self._parts) is None:
            return True
        kept = not keep or await parts.open_script.set_aside()
        if kept:
            await parts.open_script.clear()
        return kept

    def notify_error(self, text: str) -> None:
        """Tell the user what did not work, and where, if they are at another gateway by now."""
        super().notify_error(f"{self._place}: {text}" if self.is_left else text)

    def hang_up(self) -> None:
        """Put everything on disk that only this process knows; it has no time for more."""
        if (parts := self._parts) is not None:
            session = self._session()
            parts.open_script.journal_now()
            parts.startup.remember(session)

    def _focus_moved(self) -> None:
        """Show the focus where it is now: a pane's own styles do not redraw it when only its colours are others."""
        self.panel.light(on=self.panel.has_focus_within)
        self.set_class(self.script_pane.has_focus_within, "-listing")
        self._show_hints()

    def _show_hints(self) -> None:
        """The footer tells what the focused pane can do."""
        panel = self.panel
        if self.script_pane.has_focus_within:
            hints = pane_hints(Scope.LIST)
        elif panel.has_focus_within:
            hints = pane_hints(Scope.PANEL, *_PANE_SCOPES.get(panel.active, ()))
        elif self._parts is not None and self._parts.preview_pane.has_focus_within:
            hints = pane_hints(Scope.PREVIEW)
        else:
            hints = footer_hints(Scope.CONSOLE, Scope.EVERYWHERE)
        if self.has_class("-admin"):
            hints = [action("admin"), *(hint for hint in hints if hint.name != "find")]  # else they do not fit
        self._hints.set_actions(hints)

    async def push_screen_wait(self, screen: Screen[Result]) -> Result:
        """Ask, here: at another gateway the question would be taken for one of that."""
        await self._shown.wait()
        return await self.app.push_screen_wait(screen)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show information in the status bar, and what is more serious as Textual does."""
        if severity == "information":
            self._status.show_remark(message)
        else:
            super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def _session(self) -> Session:
        return self.parts.startup.session(*self.editor.cursor_location)

    async def _remember(self) -> None:
        """Put the session on disk, so that even a power cut leads back to it."""
        await asyncio.to_thread(self.parts.startup.remember, self._session())
