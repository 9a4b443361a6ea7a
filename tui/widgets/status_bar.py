"""The line above the footer: the pool figure, the engine's state, and what just happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from tui.actions import action
from tui.text.figures import latency
from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.models.engine import PoolInfo

SAID_FOR = 6.0
"""Seconds that a remark stays."""


class StatusBar(Widget):
    """``pool [#..] 1/3  queue 0  12/min  p50 0.2 ms  impact LOW  health 100``, and at the right a remark for seconds.

    A host whose sandbox does not hold is named before the figure, as long as that is so; and whose own edits have
    permissions, which no remark hides.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"status-bar--away", "status-bar--remark", "status-bar--warning"}

    figure: reactive[str] = reactive("")
    judged: reactive[str] = reactive("")
    """What the figure means; the first thing that a remark takes the room of."""
    away: reactive[str] = reactive("")
    remark: reactive[str] = reactive("")
    warning: reactive[str] = reactive("")
    approved: reactive[str] = reactive("")

    _timer: Timer | None = None

    def show_connecting(self) -> None:
        self.away, self.figure, self.judged = "", "connecting to the engine ...", ""

    def show_connected(self) -> None:
        """Show nothing of the pool, until something is known of it."""
        self.away, self.figure, self.judged = "", "", ""

    def show_pool(self, pool: PoolInfo) -> None:
        self.away, self.figure, self.judged = "", pool_figure(pool), judgement(pool)

    def show_away(self, reason: str, *, refused: bool = False) -> None:
        """Say that the engine is away, or does not let this client in, and the key that tries again."""
        if refused:
            self.away = f"the engine does not let this client in, {action('retry').key} tries again"
            return
        why = sanitise_line(reason).rstrip(".")
        self.away = f"engine away, {action('retry').key} tries now: {why}"

    def show_remark(self, text: str) -> None:
        """Show a remark for a few seconds."""
        if self._timer is not None:
            self._timer.stop()
        self.remark = sanitise_line(text)
        self._timer = self.set_timer(SAID_FOR, self._clear)

    def render(self) -> Text:
        line = self._line(judged=True)
        if self.remark:
            room = self.size.width - cell_len(self.remark) - 1
            if room < cell_len(line.plain) + 2:
                line = self._line(judged=False)
            remark_style = self.get_component_rich_style("status-bar--remark")
            if self.away or room < cell_len(line.plain) + 2:
                line = self._permitted().append(f" {self.remark}", remark_style)
            else:
                line.append(set_cell_size("", room - cell_len(line.plain)))
                line.append(self.remark, remark_style)
        return line

    def _line(self, *, judged: bool) -> Text:
        """Return everything but the remark."""
        line = self._permitted()
        if self.away:
            line.append(f" {self.away}", self.get_component_rich_style("status-bar--away"))
        else:
            if self.warning:
                line.append(f" {self.warning} ", self.get_component_rich_style("status-bar--warning"))
            line.append(f" {self.figure}{self.judged if judged else ''}")
        return line

    def _permitted(self) -> Text:
        """The beginning of the line."""
        line = Text(no_wrap=True, overflow="ellipsis")
        if self.approved:
            shown = f" {sanitise_line(self.approved)} "
            line.append(shown, self.get_component_rich_style("status-bar--warning"))
        return line

    def _clear(self) -> None:
        self.remark, self._timer = "", None


def pool_figure(pool: PoolInfo) -> str:
    """Say what the pool does: ``pool [#..] 1/3  queue 0  12/min  p50 0.20 ms``.

    Up to ten slots there is a ``#`` per busy one and a ``-`` per one that rests.
    """
    marks = "#" * pool.running + "." * (pool.size - pool.running - pool.resting) + "-" * pool.resting
    bar = f"[{marks[: pool.size]}] " if pool.size <= 10 else ""
    resting = f"  {pool.resting} resting" if pool.resting else ""
    figure = f"pool {bar}{pool.running}/{pool.size}{resting}  queue {len(pool.queue)}  {pool.runs_last_minute}/min"
    return f"{figure}  p50 {latency(pool.p50_ms)}"


def judgement(pool: PoolInfo) -> str:
    """Say what the pool's figures mean: ``  impact LOW  health 100``; nothing before the first sample."""
    return "" if pool.health is None else f"  impact {pool.impact.value}  health {pool.health}"
