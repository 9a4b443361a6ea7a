"""The figures below the pool's slots: plots of the last hour, what they mean, the host, and alerts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from tui.text import figures
from tui.text.charts import share_bar, sparkline
from tui.text.sanitise import sanitise_line
from tui.widgets.plot import Series, TimePlot
from tui.widgets.text_line import TextLine

if TYPE_CHECKING:
    from engine.models.engine import PoolUse
    from engine.models.metrics import Alert, EngineMetrics, MetricHistory

ROOMY = 110
"""Columns from which on there are bars."""

ALERTS = 2
"""Lines of alerts; how many more there are stands in the last one."""

SENTENCE = 2
"""Lines of an alert and of the recommendation; the style sheet has them, too."""

SPARKLINE = 18
BAR = 8


class FiguresPane(Vertical):
    """The pane. What is not known yet is left blank."""

    def __init__(self) -> None:
        super().__init__(id="figures")
        self._metrics: EngineMetrics | None = None
        self._use: PoolUse | None = None
        self._history: MetricHistory | None = None
        self._alerts: list[Alert] = []
        self._problem = ""
        self._rest_reason = ""
        self._rate_title = TextLine(classes="figures--title")
        self._rate = TimePlot(empty="", whole=True, id="rate-plot")
        self._latency_title = TextLine(classes="figures--title")
        self._latency = TimePlot(empty="", orders=True, id="latency-plot")
        self._facts = TextLine(id="figures-facts")
        self._host = TextLine(id="figures-host")
        self._advice = Static("", id="figures-advice", markup=False)
        self._advised = ""
        self._told = [Static("", classes="figures--alert", markup=False) for _ in range(ALERTS)]

    def compose(self) -> ComposeResult:
        with Horizontal(id="figures-plots"):
            with Vertical(classes="figures--plot"):
                yield self._rate_title
                yield self._rate
            with Vertical(classes="figures--plot", id="latency"):
                yield self._latency_title
                yield self._latency
            yield self._facts
        yield self._host
        yield self._advice
        yield from self._told

    def on_mount(self) -> None:
        self._show_alerts()

    def on_resize(self) -> None:
        self._show()
        self._show_alerts()

    def show_metrics(self, metrics: EngineMetrics, use: PoolUse | None) -> None:
        """Show figures of now; ``use`` is missing where the engine does not say."""
        self._metrics, self._use, self._problem = metrics, use, ""
        self._show()

    def show_history(self, history: MetricHistory) -> None:
        self._history = history
        points = history.points
        rates = [point.per_minute for point in points]
        most = max(rates, default=0.0)
        title = f" runs a minute, last {figures.span(history)}"
        self._rate_title.show(title if most else f"{title}: none")
        self._rate.show([Series(rates)], high=figures.rate(max(1.0, most)))
        slow, usual = [point.p99_ms for point in points], [point.p50_ms for point in points]
        known = [one for one in (*slow, *usual) if one is not None]
        self._latency_title.show(" latency: p50, and p99 above it")
        if known:
            ends = figures.latency(min(known)), figures.latency(max(known))
            self._latency.show([Series(slow, filled=False), Series(usual)], low=ends[0], high=ends[1])
        self._show()

    def show_alerts(self, alerts: list[Alert]) -> None:
        if alerts != self._alerts:
            self._alerts = alerts
            self._show_alerts()

    def show_rest(self, reason: str) -> None:
        """Take the reason for which slots rest, which is shown beside them: it is not said twice."""
        if reason != self._rest_reason:
            self._rest_reason = reason
            self._show()

    def show_problem(self, sentence: str) -> None:
        """Say why there are no figures, in place of them."""
        self._metrics, self._problem = None, sanitise_line(sentence)
        self._show()

    def _show(self) -> None:
        blocks = not self.app.theme.endswith("-16")
        metrics, history = self._metrics, self._history
        self._facts.show(_facts(metrics, history, blocks=blocks))
        if metrics is None:
            self._host.show(f" {self._problem}")
            self._advise("")
            return
        self._host.show(_host(metrics, self._use, self.size.width, blocks=blocks))
        self._advise(self._sentence(figures.advice(metrics.judgement, self._rest_reason)))

    def _sentence(self, text: str) -> str:
        """As much of it as there is room for."""
        return textwrap.indent(figures.cut_to(sanitise_line(text), self.size.width - 2, SENTENCE), " ")

    def _advise(self, text: str) -> None:
        if text != self._advised:
            self._advised = text
            self._advice.update(text)
            self._advice.set_class(not text, "-empty")

    def _show_alerts(self) -> None:
        shown = figures.shown_alerts(self._alerts)
        for place, line in enumerate(self._told):
            line.display = place < len(shown)
            if place < len(shown):
                alert, more = shown[place], len(shown) - ALERTS
                last = f"   and {more} more" if more > 0 and place == ALERTS - 1 else ""
                line.update(self._sentence(f"{figures.alert_text(alert)}{last}"))
                line.set_class(alert.until is None, "-lasts")


def _facts(metrics: EngineMetrics | None, history: MetricHistory | None, *, blocks: bool) -> Text:
    """Write health and impact, and of the hour what has no plot of its own."""
    text = Text(no_wrap=True, overflow="ellipsis")
    points = [] if history is None else history.points
    for name, now, values in (
        ("p50", None if metrics is None else metrics.last_minute.p50_ms, [point.p50_ms for point in points]),
        ("p99", None if metrics is None else metrics.last_minute.p99_ms, [point.p99_ms for point in points]),
    ):
        text.append(f" {name:<8}{figures.latency(now):>8}  {sparkline(values, SPARKLINE, blocks=blocks)}\n")
    busy = figures.percent(None if metrics is None else metrics.busy_percent)
    load = sparkline([point.busy_percent for point in points], SPARKLINE, blocks=blocks, most=100.0)
    text.append(f" busy    {busy:>8}  {load}\n")
    text.append(f" waits   {'' if history is None else figures.waits_within(history)}\n")
    if metrics is not None:
        healthy = metrics.judgement.health >= 80
        text.append(" health  ")
        text.append(f"{metrics.judgement.health:>3}\n", "" if healthy else "bold")
        text.append(f" {figures.judged(metrics.judgement, metrics.engine)}")
    return text


def _host(metrics: EngineMetrics, use: PoolUse | None, width: int, *, blocks: bool) -> str:
    """Say what is in use of the host, and what of that scripts and the gateway use, as far as there is room."""
    host, roomy = metrics.host, width >= ROOMY
    cpu = None if use is None else use.cpu_percent
    shares = [
        ("load", figures.load_percent(host)) if cpu is None else ("cpu", cpu),
        ("mem", figures.memory_percent(host)),
        ("disk", figures.disk_percent(use)),
    ]
    parts = [
        f"{name} {share_bar(share, BAR, blocks=blocks) + ' ' if roomy else ''}{figures.percent(share)}"
        for name, share in shares
        if share is not None
    ]
    parts += [figures.engine_text(metrics), figures.gateway_text(metrics, "gateway JVM" if roomy else "JVM")]
    return f" host {('   ' if roomy else '  ').join(filter(None, parts))}"
