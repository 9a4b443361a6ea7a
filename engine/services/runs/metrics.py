"""Figures of the pool over the last minute, counted from what really happened."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

WINDOW = 60.0
SAMPLES = 1000
"""Latest durations that the percentiles are taken from."""


@dataclass(frozen=True, slots=True)
class PoolFigures:
    runs_last_minute: int
    p50_ms: float | None
    p99_ms: float | None


class RunMetrics:
    def __init__(self) -> None:
        self._finished: deque[tuple[float, float]] = deque(maxlen=100_000)

    def finished(self, duration: float) -> None:
        """Count one run that was dispatched and ended, well or badly, ``duration`` seconds later."""
        self._finished.append((time.monotonic(), duration))

    def figures(self) -> PoolFigures:
        horizon = time.monotonic() - WINDOW
        while self._finished and self._finished[0][0] < horizon:
            self._finished.popleft()
        recent = sorted(duration for _, duration in list(self._finished)[-SAMPLES:])
        return PoolFigures(
            runs_last_minute=len(self._finished),
            p50_ms=_percentile_ms(recent, 0.50),
            p99_ms=_percentile_ms(recent, 0.99),
        )


def _percentile_ms(ordered: list[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted seconds, in milliseconds."""
    if not ordered:
        return None
    rank = min(len(ordered) - 1, int(len(ordered) * share))
    return round(ordered[rank] * 1000, 3)
