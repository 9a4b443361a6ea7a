"""Every frame of random sessions: what the driver sends must leave the screen that Textual asked for."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pty_session import PtySession, key
from reference_terminal import Grid, PyteTerminal, ReferenceTerminal, Terminal, differences

SINK = Path(__file__).with_name("kitchen_sink.py")
PLAIN = re.compile("[\x20-\x7e─-╿▀-▟]*")
KEYS = [
    *("up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "tab", "backspace", "delete"),
    *("ctrl+z", "ctrl+y", "ctrl+k", "ctrl+x", "ctrl+v", "ctrl+t", "ctrl+o", "ctrl+n", "escape"),
    *("f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f11", "f12"),
]
TEXTS = ["x", "ab ", "漢", "😀", "e\u0301", "(", ")", "é", "日本語", "def ", "'", "\t", "👨‍👩‍👧", "❤️"]
PASTE = "漢字 paste 😀\rline two\r\tthree\r"


def act(session: PtySession, rng: random.Random) -> None:
    """One thing that a user or a terminal does."""
    choice = rng.random()
    if choice < 0.4:
        session.send(rng.choice(TEXTS).encode())
    elif choice < 0.44:
        session.send(b"\x1b[200~" + (PASTE * rng.randint(1, 4)).encode() + b"\x1b[201~")
    elif choice < 0.48:
        session.resize(rng.randint(12, 50), rng.randint(40, 140))
    elif choice < 0.54:
        at = (rng.choice([64, 65, 0]), rng.randint(1, session.columns), rng.randint(1, session.rows))
        session.send(b"\x1b[<%d;%d;%dM" % at + (b"\x1b[<0;%d;%dm" % at[1:] if at[0] == 0 else b""))
    else:
        session.send(key(rng.choice(KEYS)))
    session.settle(rng.choice([0.0, 0.005, 0.03, 0.1]), 0.15)


def check_redraw(session: PtySession) -> None:
    """When all is quiet a redraw must change nothing; the marks in the log say where to look."""
    session.until_quiet()
    session.press("f12")
    session.until_quiet()
    session.press("f10")
    session.until_quiet()


def record(log: Path, seed: int, steps: int) -> None:
    rng = random.Random(seed)
    rows, columns = rng.choice([(24, 80), (40, 120), (33, 101)])
    env = {"TEXTUAL_ANIMATIONS": "none", "COLORTERM": rng.choice(["truecolor", "truecolor", ""])}
    with PtySession([sys.executable, str(SINK), str(log)], rows=rows, columns=columns, env=env) as session:
        assert session.wait_for("script_1", 30), session.text
        for step in range(1, steps + 1):
            act(session, rng)
            if step % (steps // 3) == 0:
                check_redraw(session)
            assert not session.ended, session.raw[-2000:].decode(errors="replace")


class Replay:
    """Both streams of a log, each in two terminals, compared after every frame."""

    def __init__(self) -> None:
        self.frames = self.asked = self.sent = 0
        self._pairs: list[tuple[Terminal, Terminal]] = []
        self._size: list[int] | None = None
        self._before_redraw: Grid = []

    def run(self, log: Path) -> None:
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry == ["junk"]:
                self._before_redraw = self._pairs[0][0].cells()
                self._each(lambda terminal: terminal.junk())
            elif entry == ["mark"]:
                now = self._pairs[0][0].cells()
                rows = plain_rows(now, self._before_redraw)
                assert differences(now, self._before_redraw, rows)[:3] == [], (self.frames, "redraw")
            else:
                self._frame(*entry)

    def _each(self, change: Callable[[Terminal], None]) -> None:
        for pair in self._pairs:
            for terminal in pair:
                change(terminal)

    def _frame(self, size: list[int], asked: str, sent: str) -> None:
        if not self._pairs:
            self._pairs = [(kind(*size), kind(*size)) for kind in (ReferenceTerminal, PyteTerminal)]
        if size != self._size:
            self._size = size
            self._each(lambda terminal: terminal.resize(*size))
        if "\x1b[?1049h" in asked:  # the alternate screen: what was there is not ours
            self._each(lambda terminal: terminal.junk())
        self.frames += 1
        self.asked += len(asked.encode())
        self.sent += len(sent.encode())
        for index, (stock, diff) in enumerate(self._pairs):
            stock.feed(asked)
            diff.feed(sent)
            wanted, got = stock.cells(), diff.cells()
            rows = plain_rows(wanted, got) if index else None
            assert differences(wanted, got, rows)[:3] == [], (self.frames, asked[-80:], sent[-80:])
            assert stock.cursor == diff.cursor, self.frames


def plain_rows(one: Grid, other: Grid) -> list[int]:
    """Rows of characters about whose width nobody disagrees; others pyte and rich measure differently."""
    both = zip(one, other, strict=True)
    return [y for y, (left, right) in enumerate(both) if PLAIN.fullmatch("".join(cell[0] for cell in (*left, *right)))]


@pytest.mark.parametrize("seed", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_every_frame_of_a_random_session(tmp_path: Path, seed: int) -> None:
    log = tmp_path / "frames"
    record(log, seed, 36)
    replay = Replay()
    replay.run(log)
    assert replay.frames > 30
    assert replay.sent < replay.asked * 0.8
