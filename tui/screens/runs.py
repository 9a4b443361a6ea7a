"""The run history: every run on record, searched and read page by page on the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from engine.models.runs import Mode, ReplayRequest, RunInfo
from engine.registry.runs import (
    RUNS_COMPARE,
    RUNS_INPUTS,
    RUNS_LIST,
    RUNS_REPLAY,
    CompareParams,
    ReplayParams,
    RunParams,
)
from tui.actions import Scope, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import EngineConnection
from tui.messages import ModeChanged, RunChanged
from tui.screens.comparison import ComparisonScreen
from tui.screens.dialogs import AskScreen
from tui.screens.evidence import save_evidence
from tui.screens.full_screen import FullScreen
from tui.text.condensed import condensed_text
from tui.text.formats import clock
from tui.text.isolation import run_isolation
from tui.text.run_query import BadSearch, RunSearch, parse_search
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList
from tui.widgets.task_pane import run_tone, state_text, time_text

PAGE = 100
"""Runs asked for at a time."""

SEARCH_AFTER = 0.15
"""Seconds without a key after which the engine is asked: a question that is taken back costs a connection."""

NOTHING = "No runs yet. F5 in the console runs the script in the editor."
NO_MATCH = "No run matches. / changes the search, Esc goes back to the runs."

_COLUMNS = (
    Column("run", 7),
    Column("script"),
    Column("outcome", 13),
    Column("time", 9),
    Column("who", 8),
    Column("at", 12),
)


class RunsScreen(FullScreen[int | None]):
    """The result is the run whose output the user wants to see: an old one, or the replay of one.

    Args:
        connection: May be away; then the user is told.
        mode: What runs are sent as at this moment.
        words: A search that is typed already.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.RUNS)

    def __init__(self, connection: EngineConnection, mode: Callable[[], Mode], words: str = "") -> None:
        super().__init__()
        self._connection = connection
        self._mode = mode
        self._search = parse_search(words)
        self._runs: dict[int, RunInfo] = {}
        self._next: int | None = None
        self._marked: int | None = None
        self._words = Input(
            words, placeholder="/ outcome:timeout who:alice since:today digest", compact=True, id="run-words"
        )
        self._table = LiveTable(_COLUMNS, empty="...", id="runs")
        self._heading = Static("", id="runs-heading", markup=False)
        self._detail = Static("", id="runs-detail", markup=False)
        self._remark = Static("", id="runs-remark", markup=False)

    def compose(self) -> ComposeResult:
        with Horizontal(id="runs-top"):
            yield self._heading
            yield self._words
        yield self._table
        yield self._detail
        yield self._remark
        yield KeyHints(footer_hints(Scope.RUNS))
        yield self.too_small

    def on_mount(self) -> None:
        self._show_mode()
        self._to_table()
        in_place_of_the_last(self, "search", self.told, self._load)

    # What is typed.

    @on(Input.Changed)
    def _words_changed(self, event: Input.Changed) -> None:
        event.stop()
        try:
            self._search, self._next = parse_search(event.value), None
        except BadSearch as error:
            self._show_remark(str(error))
            return
        self._show_remark("")
        in_place_of_the_last(self, "search", self.told, self._load_soon)

    @on(Input.Submitted)
    def _words_done(self, event: Input.Submitted) -> None:
        event.stop()
        self._to_table()

    def on_key(self, event: events.Key) -> None:
        """Down goes from the search to the runs, Up from the first run to the search."""
        if event.key == "down" and self._words.has_focus:
            event.prevent_default()
            self._to_table()
        elif event.key == "up" and not self._words.has_focus and self.query_one("#runs RowList", RowList).cursor == 0:
            event.prevent_default()
            self.action_search_runs()

    # Actions.

    def action_search_runs(self) -> None:
        self.set_focus(self._words)

    def action_show_old_run(self) -> None:
        if (run := self._run) is not None:
            self.dismiss(run.id)

    def action_replay_run(self) -> None:
        if (run := self._run) is not None:
            in_background(self, "replay", self.told, self._replay, run, self._mode())

    async def action_compare_run(self) -> None:
        """The first time it marks a run, the second time it compares that one with the run under the cursor."""
        run = self._run
        if run is None:
            return
        if self._marked is None:
            self._marked = run.id
            self._show_remark(f"#{run.id} is marked: go to another run and press the key again to compare")
        elif self._marked == run.id:
            self._marked = None
            self._show_remark("")
        else:
            in_background(self, "compare", self.told, self._compare, *sorted((self._marked, run.id)))
        self._refresh_rows()

    def action_audit(self) -> None:
        from tui.screens.audit import AuditScreen

        self.app.push_screen(AuditScreen(self._connection))

    def action_save_evidence(self) -> None:
        if (run := self._run) is not None:
            client = self._connection.client
            in_background(self, "evidence", self.told, save_evidence, self.app, client, run.id, self._tell)

    def action_leave_runs(self) -> None:
        if self._words.has_focus:
            self._to_table()
        else:
            self.dismiss(None)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_old_run()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_detail()
        if self._next is not None and event.row_list.cursor >= len(event.row_list.rows) - 1:
            in_place_of_the_last(self, "search", self.told, self._load, self._next)

    # What the engine says.

    def on_run_changed(self, message: RunChanged) -> None:
        run = message.run
        shown = self._next is None or run.id >= self._next  # older ones come with their page
        if run.id in self._runs or (shown and self._search.wants(run)):
            self._runs[run.id] = run
            self._refresh_rows()

    def on_engine_connected(self) -> None:
        in_place_of_the_last(self, "search", self.told, self._load)

    def on_mode_changed(self, message: ModeChanged) -> None:
        self._show_mode(message.mode)

    async def _load_soon(self) -> None:
        await asyncio.sleep(SEARCH_AFTER)
        await self._load()

    async def _load(self, before: int | None = None) -> None:
        """Read the first page in place of what is shown, or the next one behind it."""
        page = await self._connection.client.call(RUNS_LIST, self._search.page(PAGE, before))
        known = self._runs if before is not None else {}
        self._runs = known | {run.id: run for run in page.runs}
        self._next = page.next_before
        self.query_one("#runs RowList", RowList).set_empty(NOTHING if self._search == RunSearch() else NO_MATCH)
        self._refresh_rows()

    async def _replay(self, run: RunInfo, mode: Mode) -> None:
        client, secrets = self._connection.client, dict[str, str]()
        inputs = await client.call(RUNS_INPUTS, RunParams(run_id=run.id))
        if inputs.problem is None:
            for name in dict.fromkeys(one.name for one in inputs.secrets):
                question = f"{name} of run {run.id} is secret and was not kept. What is it?"
                answer = await self.app.push_screen_wait(AskScreen(question, secret=True))
                if answer is None:
                    return
                secrets[name] = answer
                mode = self._mode()  # it may have ended meanwhile
        request = ReplayRequest(mode=mode, secrets=secrets)
        again = await client.call(RUNS_REPLAY, ReplayParams(run_id=run.id), request)
        if self.is_current:
            self.dismiss(again.id)
        else:  # the user went on to something else meanwhile
            self._show_remark(f"#{again.id} runs")

    async def _compare(self, run_id: int, other_id: int) -> None:
        found = await self._connection.client.call(RUNS_COMPARE, CompareParams(run_id=run_id, other_id=other_id))
        self._marked = None
        self._show_remark("")
        self._refresh_rows()
        self.app.push_screen(ComparisonScreen(found))

    # Showing.

    @property
    def _run(self) -> RunInfo | None:
        """The run under the cursor."""
        return self._runs.get(int(self._table.current)) if self._table.current else None

    def _to_table(self) -> None:
        self.set_focus(self.query_one("#runs RowList"))

    def _refresh_rows(self) -> None:
        newest = sorted(self._runs.values(), key=lambda run: run.id, reverse=True)
        self._table.show_rows([_row(run, marked=run.id == self._marked) for run in newest])
        self._show_detail()

    def _show_detail(self) -> None:
        self._detail.update("" if (run := self._run) is None else f" {_detail(run)}")

    def _show_mode(self, mode: Mode | None = None) -> None:
        admin = (mode or self._mode()) is Mode.ADMIN
        self._heading.update(" runs  ADMIN " if admin else " runs ")
        self.set_class(admin, "-admin")

    def _tell(self, text: str) -> None:
        """Say what is too long for a line."""
        self.notify(sanitise_line(text), timeout=8, markup=False)

    def _show_remark(self, text: str) -> None:
        self._remark.update(f" {sanitise_line(text)}" if text else "")


def _row(run: RunInfo, *, marked: bool) -> TableRow:
    number = f"{'*' if marked else ' '}#{run.id}"
    at = clock(run.finished_at or run.started_at or run.queued_at)
    cells = (number, sanitise_line(run.name), state_text(run), time_text(run), sanitise_line(run.actor), at)
    return TableRow(str(run.id), cells, run_tone(run))


def _detail(run: RunInfo) -> str:
    """What the columns have no room for."""
    facts = [f"{run.error.type}: {run.error.message}"] if run.error else []
    facts += [condensed_text(run.condensed)] if run.condensed is not None else []
    facts += [f"replay of #{run.replay_of}"] if run.replay_of is not None else []
    facts += [f"inputs {run.inputs_sha256[:12]}"] if run.inputs_sha256 else []
    facts.append(f"code {run.code_sha256[:12]}")
    facts += [f"{file.path} {file.sha256[:12]}" for file in run.shared]
    facts += [run_isolation(run), f"from {run.source}"]
    return sanitise_line("   ".join(facts))
