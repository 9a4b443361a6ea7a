"""The screen model, by hand-made frames, and the driver's handling of everything else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pty_session import PtySession
from reference_terminal import ReferenceTerminal, differences
from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.diff_driver import DiffDriver, driver_class
from tui.terminal.keyboard_driver import KeyboardDriver
from tui.terminal.screen_model import ScreenModel, is_frame
from tui.terminal.sgr import PLAIN, TextStyle, transition

RED, BOLD_RED, ON_BLUE = "31", "1;31", "38;2;1;2;3;44"
sgrs = st.sampled_from(["", "1", "3", RED, "91", BOLD_RED, "44", ON_BLUE, "1;3;38;5;9;48;5;200", "2;38;2;9;9;9"])
styles = st.builds(TextStyle, sgrs, st.sampled_from(["", "8;id=1;http://a", "8;id=2;http://b"]))


def chunk(y: int, x: int, *parts: tuple[str, str]) -> str:
    return f"\x1b[{y + 1};{x + 1}H" + "".join(f"\x1b[{sgr}m{text}\x1b[0m" if sgr else text for sgr, text in parts)


def model(width: int = 20, height: int = 4) -> ScreenModel:
    screen = ScreenModel()
    screen.resize(width, height)
    return screen


@given(styles, styles)
@settings(deadline=None)
def test_a_transition_ends_in_the_style_asked_for(old: TextStyle, new: TextStyle) -> None:
    direct, by_way = ReferenceTerminal(4, 1), ReferenceTerminal(4, 1)
    direct.feed(transition(PLAIN, new) + "x" + transition(new, PLAIN))
    by_way.feed(transition(PLAIN, old) + transition(old, new) + "x" + transition(new, PLAIN))
    assert differences(direct.cells(), by_way.cells()) == []


def test_only_what_changes_of_a_style_is_written() -> None:
    assert transition(TextStyle("38;2;1;2;3;44"), TextStyle("38;2;9;9;9;44")) == "\x1b[38;2;9;9;9m"
    assert transition(TextStyle("31;44"), TextStyle("31")) == "\x1b[0;31m"
    assert transition(TextStyle("1"), PLAIN) == "\x1b[m"


def test_a_frame_that_says_the_same_again_is_nothing() -> None:
    screen = model()
    frame = chunk(0, 0, (RED, "hello")) + chunk(1, 3, ("", "world")) + "\x1b[2;2H"
    assert screen.reduce(frame)
    assert screen.reduce(frame) == ""


def test_only_the_cell_that_changed_is_written() -> None:
    screen = model()
    screen.reduce(chunk(0, 0, (RED, "hello world")) + "\x1b[1;1H")
    assert screen.reduce(chunk(0, 0, (RED, "hello_world")) + "\x1b[1;1H") == "\x1b[1;6H\x1b[31m_\x1b[m\x1b[1;1H"


def test_a_cursor_that_only_moves_is_moved() -> None:
    screen = model()
    screen.reduce(chunk(0, 0, ("", "abc")) + "\x1b[1;1H")
    assert screen.reduce("\x1b[2;5H") == "\x1b[2;5H"
    assert screen.reduce("\x1b[2;5H") == ""


def test_after_forgetting_everything_is_written() -> None:
    screen = model()
    frame = chunk(0, 0, ("", "abc"))
    first = screen.reduce(frame)
    screen.forget()
    assert screen.reduce(frame) == first


@pytest.mark.parametrize(
    "frame",
    [
        "abc",
        "\x1b[1;1Habc\x1b[Kdef",
        "\x1b[1;1Ha\x1b]52;c;AAAA\x07b",
        "\x1b[1;1Ha\rb",
        "\x1b[1;1H\x1b[31mnot plain at its end",
        chunk(9, 0, ("", "below the screen")),
        chunk(0, 15, ("", "beyond its edge")),
    ],
)
def test_what_is_no_frame_is_not_understood(frame: str) -> None:
    assert model().reduce(frame) is None


def test_a_row_of_doubtful_width_is_written_whole_with_its_neighbours() -> None:
    screen = model()
    row = chunk(0, 0, ("", "漢字")) + chunk(0, 4, ("", "plain"))
    screen.reduce(row)
    changed = screen.reduce(chunk(0, 0, ("", "漢子")) + chunk(0, 4, ("", "plain")))
    assert changed == chunk(0, 0, ("", "漢子")) + chunk(0, 4, ("", "plain"))


words = st.text(alphabet="ab漢é─ ", min_size=1, max_size=6)
chunks = st.builds(lambda y, x, sgr, word: chunk(y, x, (sgr, word)), st.integers(0, 3), st.integers(0, 7), sgrs, words)


@given(st.lists(st.lists(chunks, min_size=1, max_size=4), max_size=10))
@settings(deadline=None, max_examples=150)
def test_any_frames_leave_the_screen_they_describe(frames: list[list[str]]) -> None:
    asked, sent, screen = ReferenceTerminal(20, 4), ReferenceTerminal(20, 4), model()
    for parts in frames:
        frame = "".join(parts) + "\x1b[1;1H"
        reduced = screen.reduce(frame)
        assert reduced is not None
        asked.feed(frame)
        sent.feed(reduced)
        plain = [y for y, row in enumerate(asked.cells()) if all(cell[0].isascii() or cell[0] in "é─" for cell in row)]
        assert differences(asked.cells(), sent.cells(), plain) == []
        assert asked.cursor == sent.cursor


def test_the_switch_leaves_textuals_own_frames() -> None:
    assert driver_class(diff=True) is DiffDriver
    assert driver_class(diff=False) is KeyboardDriver
    assert KeyboardDriver.write is LinuxDriver.write


APP = """
import os, sys
from textual.app import App
from textual.widgets import Static
from tui.terminal.diff_driver import SYNC_OFF, SYNC_ON, DiffDriver, is_frame
seen = set()
class Driver(DiffDriver):
    def write(self, data):
        seen.add("sync" if data in (SYNC_ON, SYNC_OFF) else "frame" if is_frame(data) else "other")
        if is_frame(data) and self._model.reduce(data) is None:
            seen.add("not understood: " + repr(data[:200]))
        super().write(data)
class Small(App):
    def compose(self):
        yield Static("[b]bold[/b] [on red]red[/]", id="text")
    def on_mount(self):
        self.set_timer(0.2, lambda: self.query_one("#text").update("other"))
        self.set_timer(0.4, lambda: self.query_one("#text").update("done"))
        self.set_timer(0.6, self.exit)
app = Small(driver_class=Driver)
app.run()
print(sorted(seen))
"""


def test_textual_writes_what_the_driver_expects(tmp_path: Path) -> None:
    """One call per frame, made of moves, styles and text, between separate synchronization marks."""
    script = tmp_path / "app.py"
    script.write_text(APP, encoding="utf-8")
    with PtySession([sys.executable, str(script)]) as session:
        assert session.wait_for("['frame', 'other', 'sync']", 20), session.text


def test_a_frame_begins_with_a_move() -> None:
    assert is_frame("\x1b[1;1Hx")
    assert not is_frame("x\x1b[1;1H")
    assert not is_frame("\x1b[?1049h")
