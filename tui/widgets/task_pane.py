"""The tasks tab: what the engine itself is at, and runs that wait, go on, or have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from tui.actions import Scope, bindings
from tui.text.condensed import count_text
from tui.text.formats import age, clock, duration, percent
from tui.text.labels import TASKS
from tui.text.sanitise import sanitise_line
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from engine.models.runs import RunInfo
    from engine.models.sync import TaskInfo

KEPT = 200
"""Runs held; older ones are in the history."""

_TASK = "task:"
_RENDER = "render"
_PREVIEW = "preview "
"""How the records of previews are named."""

_COLUMNS = (
    Column("run", 5),
    Column("script"),
    Column("state", 13),
    Column("time", 9),
    Column("who", 8),
    Column("at", 12),
)


class TaskPane(LiveTable):
    """The table. It is told of every change; ages are redrawn once a second while one of them moves.

    Tasks stand above the runs while they go on. A batch is one of the runs: its row shows how far its task is.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.TASKS)

    @dataclass
    class ShowRequested(Message):
        """The user wants to see a run's output."""

        run_id: int

    @dataclass
    class KillRequested(Message):
        """The user wants a run to stop."""

        run_id: int

    @dataclass
    class CancelRequested(Message):
        """The user wants a task of the engine's own to end."""

        task_id: int

    class ExplainRequested(Message):
        """The user wants to see the output of a task, which has none."""

    _ticker: Timer | None = None

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(_COLUMNS, empty="No runs yet. F5 runs the script in the editor.", id=id)
        self._runs: dict[int, RunInfo] = {}
        self._tasks: dict[int, TaskInfo] = {}

    def on_mount(self) -> None:
        self._ticker = self.set_interval(1.0, self._refresh_rows, pause=True)

    @property
    def unfinished(self) -> list[RunInfo]:
        """Runs that wait or go on, newest first."""
        return [run for run in self._newest() if run.state != "finished"]

    @property
    def busy(self) -> int:
        """How many runs and tasks wait or go on."""
        return len(self.unfinished) + sum(task.run_id not in self._runs for task in self._tasks.values())

    def run(self, run_id: int) -> RunInfo | None:
        """What is known of a run."""
        return self._runs.get(run_id)

    def show_history(self, runs: Iterable[RunInfo]) -> None:
        """Show these runs in place of what was known."""
        self._runs = {run.id: run for run in runs}
        self._refresh_rows()

    def show_run(self, run: RunInfo) -> None:
        """Show the news of one run."""
        known = self._runs.get(run.id)
        if known is not None and known.state == "finished" and run.state != "finished":
            return  # an answer that was overtaken by its own event
        self._runs[run.id] = run
        for old in sorted(self._runs)[:-KEPT]:
            del self._runs[old]
        self._refresh_rows()

    def forget_tasks(self) -> None:
        """The engine may be another one, whose tasks have the same numbers."""
        self._tasks.clear()
        self._refresh_rows()

    def show_tasks(self, tasks: Iterable[TaskInfo]) -> None:
        """Show these tasks too; what an event has told of one meanwhile is newer."""
        for task in tasks:
            if task.finished_at is None:
                self._tasks.setdefault(task.id, task)
            else:
                self._tasks.pop(task.id, None)
        self._refresh_rows()

    def show_task(self, task: TaskInfo) -> None:
        """Show the news of one task; one that has ended goes."""
        if task.finished_at is None:
            self._tasks[task.id] = task
        else:
            self._tasks.pop(task.id, None)
        self._refresh_rows()

    def action_show_task(self) -> None:
        if self.current is None:
            return
        if self.current.startswith(_TASK):
            self.post_message(self.ExplainRequested())
        else:
            self.post_message(self.ShowRequested(int(self.current)))

    def action_kill_task(self) -> None:
        if self.current is None:
            return
        if self.current.startswith(_TASK):
            self.post_message(self.CancelRequested(int(self.current.removeprefix(_TASK))))
        else:
            self.post_message(self.KillRequested(int(self.current)))

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_task()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()

    def _newest(self) -> list[RunInfo]:
        return [self._runs[run_id] for run_id in sorted(self._runs, reverse=True)]

    def _refresh_rows(self) -> None:
        tasks = [self._tasks[number] for number in sorted(self._tasks, reverse=True)]
        batches = {task.run_id: task for task in tasks}
        rows = [_task_row(task) for task in tasks if task.run_id not in self._runs]
        rows += [_row(run, batches.get(run.id)) for run in self._newest() if not _is_ended_preview(run)]
        # The newest run is the one people mean; but under a hand that may be about to kill, the cursor stays.
        at_newest = bool(rows) and not self.has_focus_within
        self.show_rows(rows, cursor=rows[0].key if at_newest else None)
        if self._ticker is not None:
            (self._ticker.resume if self.busy else self._ticker.pause)()


def _row(run: RunInfo, batch: TaskInfo | None) -> TableRow:
    if batch is not None and run.state != "finished":
        return _task_row(batch)
    at = run.finished_at or run.started_at or run.queued_at
    who = sanitise_line(run.actor)
    return TableRow(
        str(run.id),
        (f"#{run.id}", sanitise_line(run.name), state_text(run), time_text(run), who, clock(at)),
        run_tone(run),
    )


def _is_ended_preview(run: RunInfo) -> bool:
    """The console's own previews are no news when they went well."""
    return run.kind == _RENDER and run.outcome == "ok" and run.name.startswith(_PREVIEW)


def _task_row(task: TaskInfo) -> TableRow:
    name, key = ("task", f"{_TASK}{task.id}") if task.run_id is None else (f"#{task.run_id}", str(task.run_id))
    cells = (name, progress_text(task), rate_text(task), left_text(task), sanitise_line(task.actor))
    return TableRow(key, (*cells, clock(task.started_at)), "accent")


def progress_text(task: TaskInfo) -> str:
    """``render 4,012/10,000``, or only how many where the whole is not known."""
    count = f"{task.done:,}/{task.total:,}" if task.total else f"{task.done:,}" if task.done else ""
    return sanitise_line(f"{TASKS.get(task.kind, task.kind)} {count}".rstrip())


def rate_text(task: TaskInfo) -> str:
    """How many a second, of a batch; else what it is at."""
    if not (task.rate and task.total):
        return sanitise_line(task.doing) or "running"
    return f"{task.rate:,.0f}/s" if task.rate >= 10 else f"{task.rate:.1f}/s"


def left_text(task: TaskInfo) -> str:
    """How long it will take yet, if that can be told; else how long it has been going on."""
    now = time.time()
    if task.eta is None:
        return age(now - task.started_at)
    return f"{age(max(0.0, task.eta - now))} left"


def state_text(run: RunInfo) -> str:
    """``running``, ``queued, 2nd`` … or how the run ended."""
    if run.state == "queued":
        return f"queued {run.queue_position}" if run.queue_position else "queued"
    if run.outcome is None:
        return f"{run.state} {percent(run.progress)}".rstrip() if run.progress else str(run.state)
    return outcome_text(run)


def outcome_text(run: RunInfo) -> str:
    """The outcome in words; as short as on the command line, a crash with its signal and an exit with its status."""
    if count := count_text(run):
        return f"{run.outcome}, {count}"
    text = str(run.outcome or "").replace("_", " ")
    if run.exit_status not in (None, 0, 1):
        text = "error" if run.outcome == "script_error" else text  # as long as its column is wide
        return f"{text} ({run.exit_status})"
    return f"{text} ({run.signal})" if run.outcome == "crashed" and run.signal else text


def run_tone(run: RunInfo) -> str:
    """The tone of a run's row: by how it ended, or whether it goes on."""
    tones = {"ok": "", "cancelled": "dim", None: "accent" if run.state == "running" else "dim"}
    return tones.get(run.outcome, "danger")


def time_text(run: RunInfo) -> str:
    """Say how long the run took, or has been going on; nothing for one that ended with its engine at a time unknown."""
    if run.duration is not None:
        return duration(run.duration)
    if run.state == "finished":
        return ""
    since = run.started_at if run.state == "running" else run.queued_at
    return age(time.time() - since) if since is not None else ""
