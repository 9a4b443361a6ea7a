"""Figures by script, by caller or by kind of failure, over the last hour up to the last thirty days."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import Screen

from engine.client.answers import EngineError, EngineUnreachable
from engine.models.metrics import CODE, OTHERS, RENDERS, GroupedBy, MetricGroup, MetricGroups
from engine.models.runs import Outcome
from engine.registry.metrics import METRICS_GROUPS, GroupParams
from tui.actions import Scope, bindings, footer_hints
from tui.background import in_background, in_place_of_the_last
from tui.connection import REFUSALS, EngineConnection
from tui.messages import EngineAway
from tui.screens.full_screen import FullScreen
from tui.text import figures
from tui.text.formats import age
from tui.text.sanitise import sanitise_line
from tui.widgets.key_hints import KeyHints
from tui.widgets.live_table import Column, LiveTable, TableRow
from tui.widgets.row_list import RowList
from tui.widgets.text_line import TextLine

SPANS = (1.0, 24.0, 168.0, 720.0)
"""Hours that figures are shown of, one after the other."""

MANY_FAILURES, FEW = 20.0, 10
"""Percent of failures from which on a row stands out, and the runs that it needs for that: those of the alert."""

Columns = tuple[tuple[str, int], ...]

MOST = 500
"""Groups that are asked for; each is a row."""

AGAIN_EVERY = 10.0
"""Seconds between two questions while the screen is open."""

_USUAL = (("runs", 7), ("failed", 6), ("fail %", 7), ("p50", 7), ("p99", 7), ("last", 6))
_WIDE = (
    ("runs", 9), ("ok", 9), ("failed", 7), ("cancelled", 9), ("fail %", 7), ("p50", 8), ("p95", 8), ("p99", 8),
    ("longest", 8), ("total", 8), ("last", 8),
)  # fmt: skip
"""Columns behind the name, and how wide they are; their cells are aligned to the right."""

WIDE = 140
"""Columns of the terminal from which on there is room for the second ones."""

ORDERS: Mapping[str, Callable[[MetricGroup], float]] = MappingProxyType(
    {
        "runs": lambda group: group.total,
        "failed": lambda group: group.failed,
        "fail %": lambda group: figures.failure_rate(group.successful, group.failed) or 0.0,
        "p50": lambda group: group.p50_ms or 0.0,
        "p99": lambda group: group.p99_ms or 0.0,
        "total": lambda group: group.total_ms,
        "last": lambda group: group.last_at or 0.0,
    }
)
"""What rows are sorted by, by the columns' titles; the largest is first."""

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)


class FiguresScreen(FullScreen[int | None]):
    """The result is the run whose output the user wants to see, or None.

    Args:
        connection: May be away; then the user is told.
        runs_screen: Makes the run history with a search typed into it.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(Scope.FIGURES)

    def __init__(self, connection: EngineConnection, runs_screen: Callable[[str], Screen[int | None]]) -> None:
        super().__init__()
        self._connection = connection
        self._runs_screen = runs_screen
        self._by = GroupedBy.SCRIPT
        self._hours = SPANS[1]
        self._order = "runs"
        self._ascending = False
        self._found: MetricGroups | None = None
        self._refused = False
        """By the engine: it is not asked again unasked, since each attempt stands in the audit."""
        self._heading = TextLine(id="figures-heading")
        self._columns: Columns = _USUAL
        self._table_of = {by: LiveTable(_titles(by, _USUAL), empty="...") for by in GroupedBy}
        self._detail = TextLine(id="figures-detail")

    def compose(self) -> ComposeResult:
        yield self._heading
        with Vertical(id="figures-tables"):
            yield from self._table_of.values()
        yield self._detail
        yield KeyHints(footer_hints(Scope.FIGURES))
        yield self.too_small

    def on_mount(self) -> None:
        self._show_table()
        self._ask()
        self.set_interval(AGAIN_EVERY, self._ask_again)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._columns = _WIDE if event.size.width >= WIDE else _USUAL
        for by, table in self._table_of.items():
            table.set_columns(_titles(by, self._columns))
        self._show()

    # Actions.

    def action_next_grouping(self) -> None:
        groupings = list(GroupedBy)
        self._by = groupings[(groupings.index(self._by) + 1) % len(groupings)]
        self._show_table()
        self._ask()

    def action_longer_time(self) -> None:
        self._hours = SPANS[(SPANS.index(self._hours) + 1) % len(SPANS)]
        self._ask()

    def action_shorter_time(self) -> None:
        self._hours = SPANS[SPANS.index(self._hours) - 1]
        self._ask()

    def action_next_order(self) -> None:
        names = list(ORDERS)
        self._order = names[(names.index(self._order) + 1) % len(names)]
        self._show()

    def action_turn_order(self) -> None:
        self._ascending = not self._ascending
        self._show()

    def action_show_its_runs(self) -> None:
        if (group := self._group) is None:
            return
        if self._by is GroupedBy.ERROR and group.name not in _OUTCOMES:
            self.notify("refused requests have no run; gatewright audit names those that a role refused")
            return
        self.app.push_screen(self._runs_screen(self._search(group)), self._show_chosen)

    def action_leave_figures(self) -> None:
        self.dismiss(None)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.action_show_its_runs()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_detail()

    def _show_chosen(self, run_id: int | None) -> None:
        if run_id is not None:
            self.dismiss(run_id)

    def _search(self, group: MetricGroup) -> str:
        """Return what is typed into the run history to see the runs of a group."""
        since = f"since:{self._hours:g}h"
        match self._by:
            case GroupedBy.CALLER:
                return f"{_typed('who', group.name)} {since}"
            case GroupedBy.ERROR:
                return f"outcome:{group.name} {since}"
        if group.name == CODE:
            return f"name:< {since}"
        return since if group.name in (RENDERS, OTHERS) else f"{_typed('script', group.name)} {since}"

    # What the engine says.

    def on_engine_connected(self) -> None:
        self._ask()

    def on_engine_away(self, message: EngineAway) -> None:
        self._show_problem(message.reason if message.refused else "The engine is away.")

    def _ask(self) -> None:
        self._show_heading()
        if self._connection.connected.is_set():
            in_place_of_the_last(self, "figures", self._load)
        else:
            self._show_problem("The engine is away.")

    def _ask_again(self) -> None:
        if self.is_current and not self._refused and self._connection.connected.is_set():
            in_background(self, "figures-again", self._load)

    async def _load(self) -> None:
        params = GroupParams(by=self._by, hours=self._hours, limit=MOST)
        self._refused = False
        try:
            found = await self._connection.client.call(METRICS_GROUPS, params)
        except (EngineError, EngineUnreachable) as error:
            self._refused = isinstance(error, EngineError) and error.status in REFUSALS
            self._show_problem(f"{error.message} {error.hint or ''}".strip())
        else:
            if (params.by, params.hours) == (self._by, self._hours):  # else another answer is on its way
                self._found = found
                self._table.set_empty(f"Nothing ran in the last {figures.hours_text(self._hours)}.")
                self._show()

    # Showing.

    @property
    def _table(self) -> LiveTable:
        return self._table_of[self._by]

    @property
    def _group(self) -> MetricGroup | None:
        """The group under the cursor."""
        if self._found is None or self._found.by is not self._by:
            return None
        return next((group for group in self._found.groups if group.name == self._table.current), None)

    def _show_table(self) -> None:
        for by, table in self._table_of.items():
            table.display = by is self._by
        self.set_focus(self._table.query_one(RowList))

    def _show_problem(self, sentence: str) -> None:
        self._found = None
        self._table.set_empty(sanitise_line(sentence))
        self._table.show_rows([])
        self._detail.show("")

    def _show(self) -> None:
        self._show_heading()
        found = self._found
        if found is None or found.by is not self._by:
            return
        groups = sorted(found.groups, key=lambda group: group.name)
        groups.sort(key=ORDERS[self._order], reverse=not self._ascending)
        self._table.show_rows([_row(group, self._columns) for group in groups])
        self._show_detail()

    def _show_heading(self) -> None:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f" figures by {_BY[self._by]}", "bold")
        text.append(f"   last {figures.hours_text(self._hours)}   by {self._order}")
        text.append(", least first" if self._ascending else ", most first")
        if self._found is not None and self._found.others:
            text.append(f"   {figures.count(self._found.others)} more are not shown")
        self._heading.show(text)

    def _show_detail(self) -> None:
        group = self._group
        if group is None:
            self._detail.show("")
            return
        facts = [
            f"{figures.count(group.successful)} ok",
            f"{figures.count(group.cancelled)} cancelled",
            f"average {figures.latency(group.average_ms)}",
            f"{figures.latency(group.min_ms)} to {figures.latency(group.max_ms)}",
            f"p95 {figures.latency(group.p95_ms)}",
            figures.errors_text(group),
        ]
        self._detail.show(sanitise_line(f" {'   '.join(filter(None, facts))}"))


_BY: Mapping[GroupedBy, str] = MappingProxyType(
    {GroupedBy.SCRIPT: "script", GroupedBy.CALLER: "caller", GroupedBy.ERROR: "kind of failure"}
)


def _typed(key: str, value: str) -> str:
    """Write a key and its value as a search takes them, a value with blanks between quotes."""
    return f'{key}:"{value}"' if any(character.isspace() for character in value) else f"{key}:{value}"


def _titles(by: GroupedBy, columns: Columns) -> tuple[Column, ...]:
    return (Column(by.value), *(Column(f"{name:>{width}}", width) for name, width in columns))


def _row(group: MetricGroup, columns: Columns) -> TableRow:
    rate = figures.failure_rate(group.successful, group.failed)
    cells = {
        "runs": figures.count(group.total),
        "ok": figures.count(group.successful),
        "failed": figures.count(group.failed),
        "cancelled": figures.count(group.cancelled),
        "fail %": figures.percent(rate),
        "p50": figures.latency(group.p50_ms),
        "p95": figures.latency(group.p95_ms),
        "p99": figures.latency(group.p99_ms),
        "longest": figures.latency(group.max_ms),
        "total": figures.long_time(group.total_ms),
        "last": "-" if group.last_at is None else age(time.time() - group.last_at),
    }
    tone = "danger" if rate is not None and rate > MANY_FAILURES and group.total > FEW else ""
    return TableRow(
        group.name, (sanitise_line(group.name), *(f"{cells[name]:>{width}}" for name, width in columns)), tone
    )
