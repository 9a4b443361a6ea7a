"""The metadata diff and the two rebuilds: the way to them, what the engine is at, the last report.

``Maintenance`` begins the rebuilds and outlives the screen, so that one goes on when the user leaves it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from engine.models.sync import RebuildReport, TaskInfo, TaskState
from engine.registry.sync import SYNC_REBUILD, TASKS_CANCEL, TASKS_LIST, RebuildParams, TaskParams
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_background
from tui.connection import EngineConnection, problems_told
from tui.messages import EngineAway, PoolChanged, RebuildEnded, TaskChanged
from tui.screens.full_screen import FullScreen
from tui.text.formats import clock, duration
from tui.text.labels import TASKS
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.row_list import Row, RowList
from tui.widgets.status_bar import StatusBar

_LABELS = {
    "metadata_diff": ("Metadata diff", "compare files and database, and decide"),
    "rebuild_scripts": ("Rebuild scripts", "make the index of scripts anew from the files"),
    "rebuild_all": ("Rebuild everything", "that, and look through history and approvals"),
}
NO_REPORT = "No rebuild was begun here yet. A rebuild touches no file; its report will stand here."


class MaintenanceScreen(FullScreen[None]):
    """The screen.

    Args:
        connection: To the engine.
        maintenance: Begins rebuilds and has their last report.
        diff_screen: Makes the screen of the metadata diff.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.MAINTENANCE)

    def __init__(
        self, connection: EngineConnection, maintenance: Maintenance, diff_screen: Callable[[], Screen[None]]
    ) -> None:
        super().__init__()
        self._connection = connection
        self._maintenance = maintenance
        self._diff_screen = diff_screen
        self._tasks: dict[int, TaskInfo] = {}
        self._buttons = RowList(id="buttons")
        self._task_line = Static("", id="task-line", markup=False)
        self._report = RowList(empty=NO_REPORT, id="report")
        self._status = StatusBar()

    def compose(self) -> ComposeResult:
        yield Static(" rebuilds and metadata diff", id="maintenance-heading", markup=False)
        yield self._buttons
        yield self._task_line
        yield Static(" last rebuild", classes="maintenance--title", markup=False)
        yield self._report
        yield self._status
        yield KeyHints(footer_hints(Scope.MAINTENANCE))
        yield self.too_small

    def on_mount(self) -> None:
        rows = [Row(name, f" {action(name).key}  [ {label:<18} ]  {what}") for name, (label, what) in _LABELS.items()]
        self._buttons.set_rows(rows)
        self._buttons.styles.height = len(rows)
        self.set_focus(self._buttons)
        self._show_task()
        self.on_rebuild_ended()
        if not self._connection.connected.is_set():
            self._status.show_away("no answer yet")
        else:
            if self._connection.pool is not None:
                self._status.show_pool(self._connection.pool)
            self.on_runs_missed()

    # What the engine says.

    def on_engine_connected(self) -> None:
        """It may be another engine, whose tasks have the same numbers: those of before have ended with it."""
        self._tasks.clear()
        self.on_runs_missed()

    def on_runs_missed(self) -> None:
        in_background(self, "tasks", self._load_tasks)

    def on_pool_changed(self, message: PoolChanged) -> None:
        self._status.show_pool(message.pool)

    def on_engine_away(self, message: EngineAway) -> None:
        self._status.show_away(message.reason, refused=message.refused)

    def on_task_changed(self, message: TaskChanged) -> None:
        self._tasks[message.task.id] = message.task
        self._show_task()

    def on_rebuild_ended(self) -> None:
        report = self._maintenance.report
        self._report.set_rows([] if report is None else list(report_rows(report)))

    async def _load_tasks(self) -> None:
        with problems_told(self.notify_error):
            for task in (await self._connection.client.call(TASKS_LIST)).tasks:
                self._tasks.setdefault(task.id, task)
            self._show_task()

    # Actions.

    @on(RowList.Chosen, "#buttons")
    async def _pressed(self, event: RowList.Chosen) -> None:
        event.stop()
        await self.run_action(event.key)

    def action_rebuild_scripts(self) -> None:
        self._maintenance.rebuild()

    def action_rebuild_all(self) -> None:
        self._maintenance.rebuild(everything=True)

    def action_metadata_diff(self) -> None:
        self.app.push_screen(self._diff_screen())

    def action_cancel_task(self) -> None:
        task = self._newest
        if task is None or task.state is not TaskState.RUNNING:
            self._status.show_remark("no task goes on")
        else:
            in_background(self, "cancel", self._cancel, task.id)

    def action_leave_maintenance(self) -> None:
        self.dismiss(None)

    async def _cancel(self, task_id: int) -> None:
        with problems_told(self.notify_error):
            ended = await self._connection.client.call(TASKS_CANCEL, TaskParams(task_id=task_id))
            self._status.show_remark(f"{TASKS.get(ended.kind, ended.kind)}: {ended.state}")

    # Showing.

    @property
    def _newest(self) -> TaskInfo | None:
        """The newest task, one that goes on before others."""
        order = sorted(self._tasks.values(), key=lambda task: (task.state is TaskState.RUNNING, task.id))
        return order[-1] if order else None

    def _show_task(self) -> None:
        task = self._newest
        self._task_line.update(" no task so far" if task is None else f" {task_text(task)}")


def task_text(task: TaskInfo) -> str:
    """``rebuild by alice: reading 4,012   c cancel`` or how it ended."""
    name = f"{TASKS.get(task.kind, task.kind)} by {task.actor}"
    if task.state is TaskState.RUNNING:
        text = f"{name}: {task.doing or 'begins'} {task.done:,}   {action('cancel_task').key} cancel"
    else:
        text = f"{name}: {task.state} {clock(task.finished_at or task.started_at)}"
        text = f"{text}   {task.error}" if task.error else text
    return sanitise_line(text)


def report_rows(report: RebuildReport) -> Iterator[Row]:
    """A report, its figures first."""
    sorts = (
        ("created", report.created, "accent"),
        ("updated", report.updated, "accent"),
        ("renamed", [f"{pair.old} -> {pair.new}" for pair in report.renamed], "accent"),
        ("removed", report.removed, "danger"),
        ("problem", [f"{one.path}: {one.problem}" for one in report.problems], "danger"),
        *((part.name, [f"{one.path}: {one.problem}" for one in part.problems], "danger") for part in report.parts),
    )
    counts = ", ".join(f"{len(names):,} {word}" for word, names, _ in sorts[:4])
    problems = f"{len(report.problems):,} problem{'' if len(report.problems) == 1 else 's'}"
    yield Row("counts", f" {report.scripts:,} scripts in {duration(report.seconds)}: {counts}, {problems}")
    for part in report.parts:
        yield Row(part.name, f" {part.name}: {part.checked:,} looked through, {len(part.problems):,} do not fit")
    if report.removed:
        hint = f" What was removed can be written back: {action('metadata_diff').key} metadata diff"
        yield Row("diff", hint, tone="dim")
    for word, names, tone in sorts:
        for number, name in enumerate(names):
            yield Row(f"{word}.{number}", f" {word:<8} {sanitise_line(name)}", tone=tone)


class Maintenance:
    """Begins rebuilds, which go on whatever screen is shown.

    Args:
        connection: To the engine, which does the work.
        publish: Tells every screen.
        begin: Starts work in the background.
        notify_error: Tells the user what did not work.
    """

    def __init__(
        self,
        connection: EngineConnection,
        publish: Callable[[Message], None],
        begin: Callable[[Callable[[], Awaitable[None]]], None],
        notify_error: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._publish = publish
        self._begin = begin
        self._notify_error = notify_error
        self.report: RebuildReport | None = None
        """Of the last rebuild that was begun here and came to its end."""

    def rebuild(self, *, everything: bool = False) -> None:
        """Begin a rebuild; ``RebuildEnded`` tells its end."""

        async def work() -> None:
            with problems_told(self._notify_error):
                self.report = await self._connection.client.call(SYNC_REBUILD, RebuildParams(everything=everything))
            self._publish(RebuildEnded())

        self._begin(work)
