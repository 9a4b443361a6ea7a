"""``stats``: figures of runs, processes and host, now and over time; by script, caller or kind of failure."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.launch import LaunchError
from engine.models.base import Model
from engine.models.metrics import AlertList, EngineMetrics, GroupedBy, MetricGroups, MetricHistory
from engine.registry.metrics import (
    ALERTS,
    MAX_HOURS,
    METRICS,
    METRICS_GROUPS,
    METRICS_HISTORY,
    GroupParams,
    HistoryParams,
)
from tui.commands import exit_codes
from tui.commands.arguments import Amount, Count, Hours
from tui.commands.invocation import Invocation, common_options
from tui.commands.session import CLIENT, refusals
from tui.text import figures
from tui.text.charts import share_bar, shows_blocks, sparkline
from tui.text.formats import age, clock, size
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.client.client import EngineClient
    from engine.client.target import Target

POINTS = 60
"""Of a history, at most."""

SPARKLINE = 60
"""Cells of a sparkline, at most."""

LABEL = 10
"""Cells of the names before sparklines and bars."""

BAR = 10

FORBIDDEN = 403

_AWAY_STATUSES = frozenset({502, 503, 504})
"""A proxy before an engine that is away answers so, and an engine that stops."""


class StatsFigures(Model, frozen=True):
    """What ``stats`` shows without ``--by``."""

    metrics: EngineMetrics
    history: MetricHistory
    alerts: AlertList | None = None
    """None where this caller may not see them, as with a token for some scripts."""


@click.command("stats")
@click.option("--watch", is_flag=True, help="Show them again and again, until Ctrl+C.")
@click.option(
    "--every", type=Amount("seconds", 0.1), metavar="N", default=2.0, show_default=True, help="With --watch: seconds."
)
@click.option(
    "--by",
    type=click.Choice([one.value for one in GroupedBy]),
    help="A table by script, by caller or by kind of failure.",
)
@click.option(
    "--hours", type=Hours(MAX_HOURS), metavar="N", help="How far back; 1 by default, with --by 24. 720 at most."
)
@click.option(
    "-n", "limit", type=Count(1, 500), metavar="N", default=20, show_default=True, help="With --by: lines at most."
)
@common_options
@click.pass_obj
def stats(invocation: Invocation, watch: bool, every: float, by: str | None, hours: float | None, limit: int) -> int:
    """Show figures of runs, of the engine and of the host: now, over time, or by script, caller or kind of failure.

    A script that fails counts as failed, a cancelled run as neither ok nor failed. Times are of runs that began.
    With --watch and --json each look is a line.

    \b
    Examples:
      gatewright stats
      gatewright stats --watch
      gatewright stats --by script --hours 168
      gatewright stats --by caller --json
    """
    question = _Question(None if by is None else GroupedBy(by), hours, limit)
    if not watch:
        invocation.answer(question.ask, lambda invocation, found: _print(invocation, question.lines(invocation, found)))
        return exit_codes.OK
    with contextlib.suppress(KeyboardInterrupt), refusals():  # Ctrl+C is how a watch ends
        asyncio.run(_Watch(invocation, question, every).run())
    return exit_codes.OK


class _Question:
    """What is asked for, and how it is written.

    Args:
        by: The table that is wanted; None for figures of everything.
        hours: How far back; None for the usual time.
        limit: Lines of a table, at most.
    """

    def __init__(self, by: GroupedBy | None, hours: float | None, limit: int) -> None:
        self._by, self._limit = by, limit
        self._hours = hours or (1.0 if by is None else 24.0)

    async def ask(self, client: EngineClient) -> StatsFigures | MetricGroups:
        if self._by is not None:
            params = GroupParams(by=self._by, hours=self._hours, limit=self._limit)
            return await client.call(METRICS_GROUPS, params)
        return StatsFigures(
            metrics=await client.call(METRICS),
            history=await client.call(METRICS_HISTORY, HistoryParams(hours=self._hours, points=POINTS)),
            alerts=await _alerts(client),
        )

    def lines(self, invocation: Invocation, found: StatsFigures | MetricGroups) -> list[str]:
        from tui.text.table import terminal_width

        is_terminal = invocation.streams.out.is_terminal
        width = terminal_width(is_terminal)
        blocks = shows_blocks(sys.stdout.encoding if is_terminal and sys.stdout is not None else "utf-8")
        if isinstance(found, MetricGroups):
            return _group_lines(found, self._hours, width)
        return _figure_lines(found, width or 80, blocks=blocks)


async def _alerts(client: EngineClient) -> AlertList | None:
    try:
        return await client.call(ALERTS)
    except EngineError as error:
        if error.status != FORBIDDEN:
            raise
        return None


class _Watch:
    """Looks again and again, also when the engine goes away and comes back.

    On a terminal each look takes the place of the one before; elsewhere it follows it.
    """

    def __init__(self, invocation: Invocation, question: _Question, every: float) -> None:
        self._invocation = invocation
        self._every = every
        self._question = question
        self._target: Target = invocation.target()
        self._shown: list[str] = []
        """Lines that are on the terminal."""
        self._last: list[str] = []
        """Of the last answer."""
        self._away_since: float | None = None

    async def run(self) -> None:
        """Show the figures until cancelled, or until nothing reads them any longer.

        Raises:
            LaunchError: There is no engine at the start, or it does not let this caller in.
            EngineError: It refuses.
        """
        client: EngineClient | None = await self._target.connect(CLIENT)
        out = self._invocation.streams.out
        try:
            while not out.closed and out.problem is None:
                try:
                    if client is None:
                        client = await self._target.connect(CLIENT, start=False)
                    found = await self._question.ask(client)
                except (EngineUnreachable, LaunchError, EngineError) as error:
                    if not _is_away(error):
                        raise
                    if client is not None:
                        await client.close()
                    client = None
                    self._show_away(error.message)
                else:
                    self._away_since = None
                    self._show(found)
                await asyncio.sleep(self._every)
        finally:
            if client is not None:
                await client.close()

    def _show(self, found: StatsFigures | MetricGroups) -> None:
        if self._invocation.json:
            self._invocation.print_json(found)
            return
        self._last = self._question.lines(self._invocation, found)
        self._write([*self._last, f"{clock(time.time())}   Ctrl+C ends"])

    def _show_away(self, reason: str) -> None:
        """Say that the engine is away below what it said last; where lines cannot be replaced, once."""
        streams, first = self._invocation.streams, self._away_since is None
        self._away_since = self._away_since or time.time()
        sentence = f"no engine answers since {clock(self._away_since)}, trying again: {reason}"
        if self._invocation.json or not streams.out.replaces:
            if first:
                streams.notify(sentence)
            return
        self._write([*self._last, sanitise_line(sentence)])

    def _write(self, lines: Sequence[str]) -> None:
        out = self._invocation.streams.out
        if not out.replaces:
            _print(self._invocation, [*lines[:-1], ""])
            return
        columns, rows = shutil.get_terminal_size()
        from tui.text.table import cut

        # The last line is always in sight, and a line that wraps would put the next picture too low.
        room = max(1, rows - 2)
        lines = [cut(line, columns) for line in (*lines[:-1][:room], lines[-1])]
        out.replace_lines(len(self._shown), lines)
        self._shown = list(lines)


def _is_away(error: EngineUnreachable | LaunchError | EngineError) -> bool:
    """Tell an engine that is away, which may come back, from one that refuses."""
    if isinstance(error, LaunchError):
        return error.exit_code == exit_codes.UNREACHABLE
    return isinstance(error, EngineUnreachable) or error.status in _AWAY_STATUSES


def _print(invocation: Invocation, lines: Sequence[str]) -> None:
    for line in lines:
        invocation.streams.out.line(line)


def _figure_lines(found: StatsFigures, width: int, *, blocks: bool) -> list[str]:
    from tui.text.table import fields, render

    metrics, history = found.metrics, found.history
    minute, whole = figures.run_rows(metrics.last_minute), figures.run_rows(metrics.since_start)
    rows = [[name, last, total] for (name, last), (_, total) in zip(minute, whole, strict=True)]
    active = f"{metrics.active} running of {metrics.size}, {metrics.peak} at once at most"
    lines = [
        f"health {metrics.judgement.health}   {figures.judged(metrics.judgement, metrics.engine)}",
        *fields([("", metrics.judgement.recommendation)], width=width).splitlines(),
        "",
        *fields(
            [
                ("engine", f"up for {age(metrics.uptime)}"),
                ("pool", f"{active}, queue {metrics.waiting}, {figures.percent(metrics.busy_percent)} busy"),
            ],
            width=width,
        ).splitlines(),
        "",
        *render(["", "last minute", "since the start"], rows, right=(1, 2), width=width).splitlines(),
        "",
        *_history_lines(history, width, blocks=blocks),
        "",
        *_host_lines(metrics, width, blocks=blocks),
    ]
    alerts = [] if found.alerts is None else figures.shown_alerts(found.alerts.alerts)
    return [*lines, *([""] if alerts else []), *(sanitise_line(figures.alert_text(one)) for one in alerts)]


def _history_lines(history: MetricHistory, width: int, *, blocks: bool) -> list[str]:
    room = max(10, min(SPARKLINE, width - LABEL - 20))
    points = history.points
    rates = [point.per_minute for point in points]
    busiest = max((point.busy_percent for point in points), default=0.0)
    rows: list[tuple[str, Sequence[float | None], str]] = [
        ("runs/min", rates, f"{figures.rate(max(rates, default=0))} at most"),
        ("failed", [float(point.failed) for point in points], f"{sum(point.failed for point in points):,} in all"),
        *((name, values, _most(values)) for name, values in _latencies(history)),
        ("busy", [point.busy_percent for point in points], f"{figures.percent(busiest)} at most"),
    ]
    heading = f"last {figures.span(history)}, to now"
    return [
        heading,
        *(f"{name:<{LABEL}}{sparkline(values, room, blocks=blocks)}  {said}" for name, values, said in rows),
    ]


def _latencies(history: MetricHistory) -> list[tuple[str, list[float | None]]]:
    return [
        ("p50", [point.p50_ms for point in history.points]),
        ("p99", [point.p99_ms for point in history.points]),
    ]


def _most(values: Sequence[float | None]) -> str:
    most = max((one for one in values if one is not None), default=None)
    return "nothing ran" if most is None else f"{figures.latency(most)} at most"


def _host_lines(metrics: EngineMetrics, width: int, *, blocks: bool) -> list[str]:
    from tui.text.table import cut

    host = metrics.host
    load, memory = figures.load_percent(host), figures.memory_percent(host)
    lines = [
        f"{name:<{LABEL}}{share_bar(share, BAR, blocks=blocks)} {said}"
        for name, share, said in (
            ("load", load, f"{figures.percent(load)} of {host.cores} cores"),
            ("memory", memory, f"{figures.percent(memory)} of {size(host.memory or 0)}"),
        )
    ]
    uses = "   ".join(filter(None, (figures.engine_text(metrics), figures.gateway_text(metrics))))
    return [*lines, cut(uses, width)]


def _group_lines(found: MetricGroups, hours: float, width: int | None) -> list[str]:
    from tui.text.table import render

    if not found.groups:
        return [f"nothing ran in the last {figures.hours_text(hours)}"]
    headers = [found.by.value, "runs", "ok", "failed", "cancelled", "failures", "p50", "p95", "p99", "longest", "total"]
    rows = [
        [
            one.name,
            figures.count(one.total),
            figures.count(one.successful),
            figures.count(one.failed),
            figures.count(one.cancelled),
            figures.percent(figures.failure_rate(one.successful, one.failed)),
            figures.latency(one.p50_ms),
            figures.latency(one.p95_ms),
            figures.latency(one.p99_ms),
            figures.latency(one.max_ms),
            figures.long_time(one.total_ms),
            figures.errors_text(one),
            "" if one.last_at is None else clock(one.last_at),
        ]
        for one in found.groups
    ]
    headers += ["errors", "last"]
    less: tuple[str, ...] = ("errors", "cancelled", "longest", "last", "p95", "total", "ok")
    if found.by is GroupedBy.ERROR:
        taken = [
            headers.index(name) for name in (found.by.value, "runs", "p50", "p95", "p99", "longest", "total", "last")
        ]
        headers, rows = [headers[place] for place in taken], [[row[place] for place in taken] for row in rows]
        less = ("longest", "p95", "total")
    right = "runs ok failed cancelled failures p50 p95 p99 longest total"
    lines = [
        f"last {figures.hours_text(hours)}",
        *render(headers, rows, right=right, width=width, less=less).splitlines(),
    ]
    if found.others:
        lines.append(f"and {figures.count(found.others)} more: -n shows up to 500")
    return lines
