"""The figures of the last minute."""

import pytest

from engine.services.runs import metrics
from engine.services.runs.metrics import RunMetrics


def test_nothing_has_run() -> None:
    figures = RunMetrics().figures()
    assert (figures.runs_last_minute, figures.p50_ms, figures.p99_ms) == (0, None, None)


def test_percentiles_are_of_real_durations() -> None:
    runs = RunMetrics()
    for number in range(1, 101):
        runs.finished(number / 1000)
    figures = runs.figures()
    assert figures.runs_last_minute == 100
    assert figures.p50_ms == pytest.approx(51.0)
    assert figures.p99_ms == pytest.approx(100.0)


def test_a_run_leaves_the_figures_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    runs = RunMetrics()
    runs.finished(0.5)
    now += 59.0
    assert runs.figures().runs_last_minute == 1
    now += 2.0
    assert runs.figures().runs_last_minute == 0


def test_what_it_holds_does_not_depend_on_the_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    runs = RunMetrics()
    for _ in range(200):
        for _ in range(1000):
            runs.finished(0.25)
        now += 1.0
    assert runs.figures().runs_last_minute == 59_000  # the second that has begun is one of the sixty
    assert sum(len(held) for held in vars(runs).values() if not isinstance(held, int)) <= 2000


def test_figures_are_right_after_any_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    runs = RunMetrics()
    for pause in (0.0, 0.4, 0.7, 3.0, 30.0):
        now += pause
        runs.finished(pause)
    assert runs.figures().runs_last_minute == 5
    now += 31.0
    assert runs.figures().runs_last_minute == 1
    now += 500.0
    runs.finished(0.1)
    figures = runs.figures()
    assert (figures.runs_last_minute, figures.p50_ms) == (1, 100.0)
