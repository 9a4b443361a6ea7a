"""A plot over time. It is imported when one is shown: what draws it is not loaded before."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.color import Color
from textual_plotext import PlotextPlot

LEAST_HEIGHT = 3
"""Lines below which there is nothing to see."""

MARGIN = 1.1
"""Room above the largest value, as a factor."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values in the order of time, the newest last.

    Attributes:
        values: None where there is none; none is below zero.
        filled: Draw the area below it as well.
    """

    values: Sequence[float | None]
    filled: bool = True


class TimePlot(PlotextPlot):
    """A plot of one or two series; on terminals with sixteen colours it is drawn by ``#`` and ``.`` alone.

    Args:
        empty: What is shown where there are no values.
        orders: Draw orders of magnitude: a value ten times as large is as much higher everywhere.
        whole: Values are counts: the axis ends at a whole number.
    """

    def __init__(self, *, empty: str, orders: bool = False, whole: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.theme = "clear"
        self._empty = empty
        self._orders, self._whole = orders, whole
        self._series: Sequence[Series] = ()
        self._labels: tuple[str, str] = ("", "")
        self._drawn: tuple[object, ...] = ()
        self._picture = Text()

    def show(self, series: Sequence[Series], *, low: str = "0", high: str = "") -> None:
        """Show these series, drawn in this order.

        Args:
            series: The last one is in front.
            low: What the axis says at its lower end.
            high: And at the largest value.
        """
        if (series, (low, high)) != (self._series, self._labels):
            self._series, self._labels = series, (low, high)
            self.refresh()

    def render(self) -> Text:
        """Return the plot; it is drawn again only when the values, the room or the theme are others."""
        wanted = (self._series, self._labels, self.size, self.app.theme)
        if wanted != self._drawn:
            self._picture, self._drawn = self._draw(), wanted
        return self._picture

    def _draw(self) -> Text:
        width, height = self.size
        values = [one for series in self._series for one in series.values if one is not None]
        if not values or height < LEAST_HEIGHT or (not self._orders and not any(values)):
            return Text(f" {self._empty}", no_wrap=True, overflow="ellipsis")
        sixteen = self.app.theme.endswith("-16")
        colours = [Color.parse(self.app.theme_variables[name]).rgb for name in ("foreground", "accent")]
        low, high = self._scaled(min(values)), self._scaled(max(values))
        bottom = low if self._orders else 0.0
        top = max(high, bottom + 1) if self._whole else high
        plt = self.plt
        plt.clear_figure()
        plt.theme("clear")
        plt.plotsize(width, height)
        plt.frame(False)
        plt.xfrequency(0)
        plt.ylim(bottom, bottom + max((top - bottom) * MARGIN, 1e-9))
        plt.yticks([bottom, top], list(self._labels))
        count = max(len(series.values) for series in self._series)
        plt.xlim(0, max(count - 1, 1))
        for place, series in enumerate(self._series):
            behind = place < len(self._series) - 1
            for stretch in _stretches(series.values):
                plt.plot(
                    [at for at, _ in stretch],
                    [self._scaled(value) for _, value in stretch],
                    marker=("." if behind else "#") if sixteen else "hd",
                    color=None if sixteen else colours[0 if behind else 1],
                    fillx=series.filled,
                )
        return Text.from_ansi(plt.build(), no_wrap=True)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-3)) if self._orders else value


def _stretches(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Cut values at each place where there is nothing: a line across it would say that there was something."""
    stretch: list[tuple[int, float]] = []
    for at, value in enumerate(values):
        if value:
            stretch.append((at, value))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch
