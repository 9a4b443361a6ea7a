"""The pool: every slot live, the queue, and what can be done about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from engine.client.answers import UNKNOWN_OPERATION, EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.models.engine import PoolInfo, PoolUse, ResizeRequest, SlotInfo, SlotUse
from engine.models.runs import Mode
from engine.registry.engine import POOL_INFO, POOL_RESIZE, POOL_RESTART, POOL_USE, SlotParams
from engine.registry.metrics import ALERTS, METRICS, METRICS_HISTORY, HistoryParams
from engine.registry.runs import RUNS_CANCEL, RunParams
from tui.actions import Scope, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import REFUSALS, EngineConnection, problems_told
from tui.messages import EngineAway, PoolChanged
from tui.screens.full_screen import FullScreen
from tui.text.figures import latency, megabytes
from tui.text.formats import age
from tui.text.isolation import host_note, slot_isolation
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList
from tui.widgets.status_bar import StatusBar
from tui.widgets.text_line import TextLine

_COLUMNS = (
    Column("slot", 4),
    Column("state", 9),
    Column("script"),
    Column("who", 8),
    Column("for", 6),
    Column("  cpu", 5),
    Column("   mem", 6),
    Column("sandbox", 9),
)

QUEUE_LINES = 4

FIGURES_EVERY = 2.0
"""Seconds between two looks at the figures of now."""

HISTORY_EVERY = 5
"""So many of these looks ask for the figures of the last hour and for alerts as well."""

AWAY = "The engine is away."


class PoolScreen(FullScreen[int | None]):
    """The result is the run whose output the user wants to see, or None.

    Args:
        connection: May be away; then the user is told.
        figures_screen: Makes the screen with the figures by script.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.POOL)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-usual"), (120, "-wide")]  # noqa: RUF012 - Textual's own form
    VERTICAL_BREAKPOINTS = [(0, "-low"), (14, "-short"), (20, "-medium"), (36, "-tall")]  # noqa: RUF012

    def __init__(self, connection: EngineConnection, figures_screen: Callable[[], Screen[int | None]]) -> None:
        from tui.widgets.figures_pane import FiguresPane

        super().__init__()
        self._figures_screen = figures_screen
        self._connection = connection
        self._pool = connection.pool
        self._use: PoolUse | None = None
        self._wanted_size: int | None = None
        self._heading = TextLine(id="pool-heading")
        self._slots = LiveTable(_COLUMNS, empty=AWAY, id="slots")
        self._reason = Static("", id="pool-reason", markup=False)
        self._detail = TextLine(id="slot-detail")
        self._queue = Static("", id="queue", markup=False)
        self._figures = FiguresPane()
        self._status = StatusBar()

    def compose(self) -> ComposeResult:
        yield self._heading
        yield self._slots
        yield self._reason
        yield self._detail
        yield self._queue
        yield self._figures
        yield self._status
        yield KeyHints(footer_hints(Scope.POOL))
        yield self.too_small

    def on_mount(self) -> None:
        self._reason.display = False
        self.set_focus(self.query_one("#slots RowList"))
        self.set_interval(1.0, self._refresh_ages)
        in_background(self, "figures", self._follow_figures)
        if self._pool is not None:
            self._show(self._pool)
        elif self._connection.connected.is_set():
            self._status.show_connected()
            in_background(self, "pool", self._load)
        else:
            self._status.show_away("no answer yet")

    async def _load(self) -> None:
        """Ask for what the connection did not: the engine says why this caller does not see it."""
        self._slots.set_empty("")
        with problems_told(self._show_refusal):
            self._show(await self._connection.client.call(POOL_INFO))

    async def _follow_figures(self) -> None:
        """Look at the figures now and then, while this screen is the one that is seen.

        A refusal ends it, until the connection tells of another role: each attempt stands in the audit.
        """
        looks, refused = 0, False
        while not refused:
            if self.is_current and self._connection.connected.is_set():
                refused = await self._load_figures(history=looks % HISTORY_EVERY == 0)
                looks += 1
            await asyncio.sleep(FIGURES_EVERY)

    async def _load_figures(self, *, history: bool) -> bool:
        """Show what the engine says; return whether it refuses."""
        client = self._connection.client
        # A token for some scripts sees neither slots nor alerts, and did not ask for them.
        narrow = self._connection.pool is None
        try:
            metrics = await client.call(METRICS)
            self._use = None if narrow else await self._used()
            self._figures.show_metrics(metrics, self._use)
            self._refresh_ages()
            if history:
                self._figures.show_history(await client.call(METRICS_HISTORY, HistoryParams()))
                if not narrow:
                    self._figures.show_alerts((await client.call(ALERTS)).alerts)
        except (EngineError, EngineUnreachable) as error:
            self._figures.show_problem(f"{error.message} {error.hint or ''}".strip())
            return isinstance(error, EngineError) and error.status in REFUSALS
        return False

    async def _used(self) -> PoolUse | None:
        """Ask what slots use; None of an engine from before an upgrade, which cannot say it."""
        try:
            return await self._connection.client.call(POOL_USE)
        except EngineError as error:
            if error.code not in UNKNOWN_OPERATION:
                raise
            return None

    def _show_refusal(self, sentence: str) -> None:
        self._slots.set_empty(sanitise_line(sentence))

    def on_engine_connected(self) -> None:
        in_place_of_the_last(self, "figures", self._follow_figures)

    def on_pool_changed(self, message: PoolChanged) -> None:
        self._show(message.pool)

    def on_engine_away(self, message: EngineAway) -> None:
        self._pool = None
        self._slots.set_empty(sanitise_line(message.reason) if message.refused else AWAY)
        self._slots.show_rows([])
        self._figures.show_problem("")
        self._status.show_away(message.reason, refused=message.refused)

    # Actions.

    def action_grow(self) -> None:
        self._resize(1)

    def action_shrink(self) -> None:
        self._resize(-1)

    def action_kill_run(self) -> None:
        slot = self._slot
        if slot is None or slot.run_id is None:
            self._show_remark("nothing runs on this slot")
        else:
            run_id = slot.run_id
            self._ask(lambda client: client.call(RUNS_CANCEL, RunParams(run_id=run_id)), f"killed #{run_id}")

    def action_restart_slot(self) -> None:
        slot = self._slot
        if slot is not None:
            self._ask(
                lambda client: client.call(POOL_RESTART, SlotParams(slot=slot.slot)), f"slot {slot.slot} restarts"
            )

    def action_show_run(self) -> None:
        slot = self._slot
        if slot is None or slot.run_id is None:
            self._show_remark("nothing runs on this slot")
        else:
            self.dismiss(slot.run_id)

    def action_script_figures(self) -> None:
        self.app.push_screen(self._figures_screen(), self._show_chosen)

    def _show_chosen(self, run_id: int | None) -> None:
        if run_id is not None:
            self.dismiss(run_id)

    def action_back(self) -> None:
        self.dismiss(None)

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._refresh_ages()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_run()

    def _resize(self, by: int) -> None:
        """Ask for another size; keys pressed faster than the engine answers add up."""
        if self._pool is not None:
            self._wanted_size = (self._wanted_size or self._pool.size) + by
            in_place_of_the_last(self, "resize", self._resized, self._wanted_size)

    async def _resized(self, size: int) -> None:
        try:
            with problems_told(self.notify_error):
                self._show(await self._connection.client.call(POOL_RESIZE, body=ResizeRequest(size=size)))
                self._show_remark(f"{size} slots")
        finally:
            if self._wanted_size == size:
                self._wanted_size = None

    def _ask(self, request: Callable[[EngineClient], Awaitable[object]], done: str) -> None:
        in_background(self, "ask", self._asked, request, done)

    async def _asked(self, request: Callable[[EngineClient], Awaitable[object]], done: str) -> None:
        with problems_told(self.notify_error):
            await request(self._connection.client)
            self._show_remark(done)

    # Showing.

    @property
    def _slot(self) -> SlotInfo | None:
        """The slot under the cursor."""
        key = self._slots.current
        slots = [] if self._pool is None else self._pool.slots
        return next((slot for slot in slots if str(slot.slot) == key), None)

    def _show(self, pool: PoolInfo) -> None:
        self._pool = pool
        self._show_heading()
        self._queue.update(_queue(pool))
        self._status.show_pool(pool)
        self._status.warning = host_note(self._connection.info)
        self._show_reason(pool)
        self._refresh_ages()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._show_heading()

    def _show_heading(self) -> None:
        if self._pool is not None:
            self._heading.show(_heading(self._pool, self.size.width))

    def _show_reason(self, pool: PoolInfo) -> None:
        """Say why slots take no runs: they rest, or there is no sandbox, which is the same for all of them."""
        problem = next((slot.problem for slot in pool.slots if slot.problem), None)
        sentences = [pool.rest_reason, *([f"{problem} See gatewright doctor."] if problem else [])]
        shown = sanitise_line(" ".join(filter(None, sentences)))
        self._figures.show_rest(pool.rest_reason)
        self._reason.update(shown)
        self._reason.display = bool(shown)

    def _refresh_ages(self) -> None:
        if self._pool is not None:
            now = time.time()
            used = {} if self._use is None else {use.slot: use for use in self._use.slots}
            self._slots.show_rows([_row(slot, used.get(slot.slot), now) for slot in self._pool.slots])
            self._detail.show("" if self._slot is None else _detail_of(self._slot))

    def _show_remark(self, text: str) -> None:
        self._status.show_remark(text)


def _row(slot: SlotInfo, use: SlotUse | None, now: float) -> TableRow:
    tone = {"running": "accent", "failed": "danger", "ready": ""}.get(slot.state, "dim")
    if slot.mode is Mode.ADMIN and slot.state != "failed":
        tone = "danger"
    script = sanitise_line(slot.script or slot.problem or _made_for(slot) or "-")
    who = sanitise_line(slot.actor or "-")
    cpu = "-" if use is None or use.cpu_percent is None else f"{use.cpu_percent:.0f} %"
    memory = megabytes(None if use is None else use.memory)
    cells = (str(slot.slot), str(slot.state), script, who, age(now - slot.since), f"{cpu:>5}", f"{memory:>6}")
    return TableRow(str(slot.slot), (*cells, sanitise_line(slot_isolation(slot) or "-")), tone)


def _made_for(slot: SlotInfo) -> str:
    """What sets an idle slot apart from the usual ones; empty for a usual one."""
    return f"({slot.environment}, Python {slot.python})" if slot.environment else ""


def _detail_of(slot: SlotInfo) -> Text:
    """All of what the columns have no room for."""
    facts = [f"slot {slot.slot}", slot.script or "", f"run #{slot.run_id}" if slot.run_id is not None else "no run"]
    facts += [f"pid {slot.pid}"] if slot.pid is not None else []
    facts += [f"Python {slot.python}"] if slot.python else []
    facts += [f"environment {slot.environment}"] if slot.environment else []
    facts += [f"{' '.join(slot.ahead)} imported ahead"] if slot.ahead else []
    facts += [f"{slot.runs} run{'' if slot.runs == 1 else 's'}"] if slot.runs else []
    facts += [f"{slot.restarts} restart{'' if slot.restarts == 1 else 's'}"] if slot.restarts else []
    facts += [slot.problem] if slot.problem else []
    return Text(f" {sanitise_line(', '.join(filter(None, facts)))}", no_wrap=True, overflow="ellipsis")


def _heading(pool: PoolInfo, width: int) -> Text:
    """Say what the pool does; what has no room is left out whole, since it stands below as well."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(" pool  ", "bold")
    text.append("1 slot" if pool.size == 1 else f"{pool.size} slots")
    resting = [f"{pool.resting} resting"] if pool.resting else []
    for part in (
        f"{pool.running} running",
        f"{pool.ready} ready",
        *resting,
        f"queue {len(pool.queue)}",
        f"{pool.runs_last_minute}/min",
        f"p50 {latency(pool.p50_ms)}",
        f"p99 {latency(pool.p99_ms)}",
    ):
        if len(text) + len(part) + 3 > width:
            break
        text.append(f"   {part}")
    return text


def _queue(pool: PoolInfo) -> Text:
    if not pool.queue:
        return Text(" queue: empty")
    text = Text(no_wrap=True, overflow="ellipsis")
    for entry in pool.queue[:QUEUE_LINES]:
        name, actor, reason = (sanitise_line(part) for part in (entry.name, entry.actor, entry.reason))
        text.append(f" queue {entry.position}: #{entry.run_id} {name}  {actor}  {reason}\n")
    if len(pool.queue) > QUEUE_LINES:
        text.append(f" and {len(pool.queue) - QUEUE_LINES} more")
    return text
