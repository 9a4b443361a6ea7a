"""The metadata diff: files against database, marks and choices, applied after a look at what they would do.

The look is a dialog of its own, ``PreviewScreen``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from engine.models.sync import DiffItem, DiffOutcome, DiffReport, DiffRequest, TaskState
from engine.registry.sync import SYNC_DIFF, TASKS_CANCEL, TaskParams
from tui.actions import Scope, action, bindings, footer_hints
from tui.background import in_background
from tui.connection import EngineConnection, problems_told
from tui.messages import EngineAway, PoolChanged, TaskChanged
from tui.screens.dialogs import Choice, ChoiceScreen, Dialog
from tui.screens.diff_marks import OUTCOMES, DiffMarks, DiffPlace, place_of
from tui.screens.full_screen import FullScreen
from tui.text.sanitise import sanitise_code, sanitise_line
from tui.widgets.diff_rows import diff_tone
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable
from tui.widgets.row_list import Row, RowList
from tui.widgets.status_bar import StatusBar

_COLUMNS = (
    Column("", 1),
    Column("script"),
    Column("key", 10),
    Column("file", 15),
    Column("database", 14),
    Column("becomes", 11),
)
AGREE = "Files and database agree: nothing waits for a decision. F5 compares again."
WAIT = "The engine reads every file."


class DiffScreen(FullScreen[None]):
    """The screen; it scans when it is shown."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.DIFF)

    def __init__(self, connection: EngineConnection) -> None:
        super().__init__()
        self._connection = connection
        self._marks = DiffMarks()
        self._going_on: int | None = None
        """The number of the scan's task."""
        self._scanning = False
        self._heading = Static("", id="diff-heading", markup=False)
        self._table = LiveTable(_COLUMNS, empty=WAIT, id="differences")
        self._sentence = Static("", id="diff-sentence", markup=False)
        self._status = StatusBar()

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._table
        yield self._sentence
        yield self._status
        yield KeyHints(footer_hints(Scope.DIFF))
        yield self.too_small

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#differences RowList"))
        if self._connection.pool is not None:
            self._status.show_pool(self._connection.pool)
        self.action_scan()

    # What the engine says.

    def on_pool_changed(self, message: PoolChanged) -> None:
        self._status.show_pool(message.pool)

    def on_engine_away(self, message: EngineAway) -> None:
        self._status.show_away(message.reason, refused=message.refused)

    def on_task_changed(self, message: TaskChanged) -> None:
        task = message.task
        if task.kind != "diff":
            return
        going_on = task.state is TaskState.RUNNING and self._scanning
        self._going_on = task.id if going_on else None
        if going_on:
            self._head(f"{task.doing or 'begins'} {task.done:,}   {action('stop_scan').key} stops")

    # Actions.

    def action_scan(self) -> None:
        if self._scanning:  # the engine makes one at a time, and would go on with the one that nobody waits for
            self._status.show_remark("a scan goes on already")
        else:
            in_background(self, "scan", self._scan)

    async def _scan(self) -> None:
        self._head("comparing ...")
        self._scanning = True
        report = None
        with problems_told(self.notify_error):
            report = await self._connection.client.call(SYNC_DIFF)
        self._scanning, self._going_on = False, None
        if report is None:
            self._head(f"not compared; {action('scan').key} tries again")
        else:
            self._show(report)

    def action_stop_scan(self) -> None:
        if self._going_on is None:
            self._status.show_remark("no scan goes on")
        else:
            number = self._going_on
            in_background(
                self, "stop", self.told, lambda: self._connection.client.call(TASKS_CANCEL, TaskParams(task_id=number))
            )

    def action_mark(self) -> None:
        self._marking(self._marks.toggle)

    def action_choose_file(self) -> None:
        self._marking(self._marks.choose_file)

    def action_choose_database(self) -> None:
        self._marking(self._marks.choose_database)

    def action_mark_all(self) -> None:
        self._marks.toggle_all()
        self._refresh_rows()

    def action_choose_other(self) -> None:
        place = self._place
        if place is None or not self._marks.item(place).choices:
            self._status.show_remark("nothing to choose here: edit the file")
            return
        in_background(self, "choose", self._choose, (place[0], -1))

    async def _choose(self, place: DiffPlace) -> None:
        marks = self._marks
        item = marks.item(place)
        answers = [Choice(str(number), OUTCOMES[choice]) for number, choice in enumerate(item.choices, 1)]
        key = await self.app.push_screen_wait(ChoiceScreen(_told_of(item), answers, "decide later"))
        if key and marks is self._marks:  # else a scan ended meanwhile, and the place is another item's
            marks.choose(place, item.choices[int(key) - 1])
            self._refresh_rows()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_change()

    def action_show_change(self) -> None:
        place = self._place
        if place is None or not self._marks.decisions(place):
            self._status.show_remark("mark it first: what it becomes decides what changes")
        else:
            in_background(self, "look", self._apply, place)

    def action_apply_marked(self) -> None:
        if self._marks.count:
            in_background(self, "apply", self._apply, None)
        else:
            self._status.show_remark("nothing is marked")

    def action_leave_diff(self) -> None:
        self.dismiss(None)

    async def _apply(self, place: DiffPlace | None) -> None:
        """Show what would be done and, if the user wants it, do it."""
        decisions = self._marks.decisions(place)
        with problems_told(self.notify_error):
            client = self._connection.client
            preview = await client.apply_diff(DiffRequest(decisions=decisions, preview=True))
            if await self.app.push_screen_wait(PreviewScreen(preview.outcomes)):
                answer = await client.apply_diff(DiffRequest(decisions=decisions))
                self._tell(answer.outcomes)
                self.action_scan()

    def _marking(self, mark: Callable[[DiffPlace], bool]) -> None:
        place = self._place
        if place is None:
            return
        if not mark(place):
            possible = self._marks.item(place).choices
            self._status.show_remark("that is not possible here; c shows what is" if possible else "edit the file")
        self._refresh_rows()

    # Showing.

    @property
    def _place(self) -> DiffPlace | None:
        """What is under the cursor."""
        return None if self._table.current is None else place_of(self._table.current)

    def _show(self, report: DiffReport) -> None:
        self._marks = DiffMarks(report.items)
        waiting = len(report.waiting)
        others = len(report.items) - waiting
        taken = len(report.created) + len(report.updated)
        parts = [f"{report.scripts:,} scripts", f"{waiting:,} wait{'s' if waiting == 1 else ''} for a decision"]
        parts += [f"{others:,} to edit"] if others else []
        parts += [f"{taken:,} taken in"] if taken else []
        self._head("   ".join(parts))
        self.query_one("#differences RowList", RowList).set_empty(AGREE)
        self._refresh_rows()

    def _refresh_rows(self) -> None:
        self._table.show_rows(list(self._marks.rows()))
        self._show_sentence()

    @on(RowList.Moved)
    def _show_sentence(self) -> None:
        place = self._place
        if place is None or place[0] >= len(self._marks.items):
            self._sentence.update("")
            return
        self._sentence.update(Text("\n".join(_explained(self._marks.item(place), place[1]))))

    def _head(self, text: str) -> None:
        line = Text(" metadata diff   ", "bold", no_wrap=True, overflow="ellipsis")
        self._heading.update(line.append(sanitise_line(text), "not bold"))

    def _tell(self, outcomes: list[DiffOutcome]) -> None:
        refused = [outcome for outcome in outcomes if not outcome.done]
        self._status.show_remark(f"{len(outcomes) - len(refused)} done" + (f", {len(refused)} not" if refused else ""))
        for outcome in refused[:3]:
            self.notify_error(f"{outcome.path or 'scripts'}: {outcome.sentence}")


def _told_of(item: DiffItem) -> str:
    return f"{item.path or 'scripts'}: {item.sentence}"


def _explained(item: DiffItem, key: int) -> Iterator[str]:
    """What is the matter, and what f and d would do; ``key``: with this one of its keys, -1 for all of it."""
    yield f" {sanitise_line(_told_of(item))}"
    if 0 <= key < len(item.keys):
        how = "set this key alone to what the database has" if item.keys[key].restorable else "it cannot be set alone"
        yield f" {action('choose_database').key} {how}"
        return
    sides = (("choose_file", item.file_choice), ("choose_database", item.database_choice))
    keys = [f"{action(name).key} {OUTCOMES[choice]}" for name, choice in sides if choice is not None]
    yield from (f" {line}" for line in keys)


class PreviewScreen(Dialog[bool]):
    """True when the user wants it done; None for Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "apply", "Apply", show=False)]

    def __init__(self, outcomes: Sequence[DiffOutcome]) -> None:
        super().__init__()
        self._outcomes = outcomes
        self._lines = RowList(id="preview")

    def compose(self) -> ComposeResult:
        possible = sum(outcome.done for outcome in self._outcomes)
        title = f"{possible} of {len(self._outcomes)} would be done" if possible else "Nothing of it can be done"
        with Vertical(classes="dialog--box -tall"):
            yield Static(title, classes="dialog--title", markup=False)
            yield self._lines
            keys = "a do it   Esc back, nothing is done" if possible else "Esc back"
            yield Static(keys, classes="dialog--keys", markup=False)

    def on_mount(self) -> None:
        self._lines.set_rows(list(preview_rows(self._outcomes)))
        self.set_focus(self._lines)

    def action_apply(self) -> None:
        if any(outcome.done for outcome in self._outcomes):
            self.dismiss(True)


def preview_rows(outcomes: Sequence[DiffOutcome]) -> Iterator[Row]:
    """A line for each decision, and below it what it would change."""
    for number, outcome in enumerate(outcomes):
        name = sanitise_line(outcome.path or "scripts")
        lead = "" if outcome.done else "not possible: "
        yield Row(f"{number}", f" {name}", tone="" if outcome.done else "danger")
        yield Row(f"{number}.s", f"   {lead}{sanitise_line(outcome.sentence)}", tone="dim")
        for line_number, line in enumerate(outcome.diff.split("\n")[2:] if outcome.diff else []):
            text = sanitise_code(line)
            yield Row(f"{number}.{line_number}", f"   {text}", tone=diff_tone(line))
