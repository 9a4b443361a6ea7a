"""The editor paints only rows that changed: a redraw of everything must find nothing to correct."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from pty_session import PtySession, key

from tui.widgets.editor.painted import PaintedRows

APP = Path(__file__).with_name("painting_app.py")
KEYS = [
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "enter", "backspace", "delete", "tab"),
    *("ctrl+z", "ctrl+y", "ctrl+k", "ctrl+x", "ctrl+v", "ctrl+home", "ctrl+end"),
    *("f2", "f2", "f3", "f4", "f5", "f6", "f7", "f7", "f7"),
]
TEXTS = ["x", "(", ")", "'", "# ", "def f():", '"""']
SHIFT_DOWN, CLICK = b"\x1b[1;2B", b"\x1b[<0;%d;%dM\x1b[<0;%d;%dm"


def step(session: PtySession, rng: random.Random) -> str:
    choice = rng.random()
    if choice < 0.3:
        name = rng.choice(TEXTS)
        session.send(name.encode())
    elif choice < 0.36:
        name = "click"
        at = (rng.randint(1, session.columns), rng.randint(1, session.rows))
        session.send(CLICK % (*at, *at))
    elif choice < 0.42:
        name = "shift+down"
        session.send(SHIFT_DOWN * rng.randint(1, 3))
    elif choice < 0.45:
        name = "resize"
        session.resize(rng.randint(18, 40), rng.randint(60, 110))
    else:
        name = rng.choice(KEYS)
        session.send(key(name))
    return name


def shown(session: PtySession) -> list[list[object]]:
    buffer = session.screen.buffer
    return [[buffer[y][x] for x in range(session.columns)] for y in range(session.rows)]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_redraw_finds_nothing_to_correct(seed: int) -> None:
    rng = random.Random(seed)
    env = {"TEXTUAL_ANIMATIONS": "none"}
    with PtySession([sys.executable, str(APP)], rows=30, columns=90, env=env) as session:
        assert session.wait_for("READY", 30), session.text
        session.until_quiet()
        steps: list[str] = []
        for _ in range(10):
            for _ in range(rng.randint(1, 6)):
                steps.append(step(session, rng))
                session.settle(rng.choice([0.0, 0.02]), 0.03)
            session.until_quiet()
            before = shown(session)
            session.press("f12")
            session.until_quiet()
            after = shown(session)
            wrong = [y for y, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
            assert wrong == [], (steps[-12:], wrong, session.text)
            assert not session.ended, session.raw[-2000:].decode(errors="replace")


def test_rows_painted_for_others_are_painted_again_when_in_doubt() -> None:
    rows = PaintedRows()
    assert rows.changed(["a", "b"]) == [0, 1]
    assert rows.changed(["a", "c"]) == [1]
    rows.drawn(0, ["a", "other"])  # somebody's dialog closed: row 1 may show this, or not
    assert rows.changed(["a", "c"]) == [1]
    rows.forget()
    assert rows.changed(["a", "c"]) == [0, 1]
