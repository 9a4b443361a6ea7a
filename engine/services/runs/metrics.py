"""Figures of the pool over the last minute, counted from what really happened."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

WINDOW = 60
SAMPLES = 1000
"""Latest durations that the percentiles are taken from."""


@dataclass(frozen=True, slots=True)
class PoolFigures:
    runs_last_minute: int
    p50_ms: float | None
    p99_ms: float | None


class RunMetrics:
    """Counts by the second and keeps few durations: what it holds does not depend on how many runs a minute has."""

    def __init__(self) -> None:
        self._counts = [0] * WINDOW
        """Runs that ended in each of the last seconds, by the second modulo ``WINDOW``."""
        self._second = int(time.monotonic())
        """The latest second that has its count."""
        self._latest: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        """When a run ended and how long it took."""

    def finished(self, duration: float) -> None:
        """Count one run that was dispatched and ended, well or badly, ``duration`` seconds later."""
        now = time.monotonic()
        self._advance(int(now))
        self._counts[self._second % WINDOW] += 1
        self._latest.append((now, duration))

    def figures(self) -> PoolFigures:
        now = time.monotonic()
        self._advance(int(now))
        recent = sorted(duration for at, duration in self._latest if at >= now - WINDOW)
        return PoolFigures(
            runs_last_minute=sum(self._counts),
            p50_ms=_percentile_ms(recent, 0.50),
            p99_ms=_percentile_ms(recent, 0.99),
        )

    def _advance(self, second: int) -> None:
        """Begin the counts of the seconds up to ``second``, in the places of those that left the window."""
        for begun in range(max(self._second, second - WINDOW) + 1, second + 1):
            self._counts[begun % WINDOW] = 0
        self._second = max(self._second, second)


def _percentile_ms(ordered: list[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted seconds, in milliseconds."""
    if not ordered:
        return None
    rank = min(len(ordered) - 1, int(len(ordered) * share))
    return round(ordered[rank] * 1000, 3)
