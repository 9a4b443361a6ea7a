"""Nothing that a script, a file or a list says reaches the terminal as a command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pty_session import PtySession
from rich.segment import Segment
from rich.style import Style
from terminal_grammar import foreign
from textual.color import Color

from tui.terminal.colours import coloured
from tui.terminal.guard import HostileTextFilter, is_harmless, pictures
from tui.text.sanitise import sanitise_line

APP = Path(__file__).with_name("hostile_app.py")
FORBIDDEN = "\x00\x07\x08\x0b\x0e\x1b\x1f\x7f\x80\x9b\x9d\u061c\u200e\u2028\u202e\u2066\ud800"


@pytest.mark.parametrize("arguments", [[], ["--no-diff"]])
def test_the_terminal_is_never_driven_by_text(tmp_path: Path, arguments: list[str]) -> None:
    with PtySession([sys.executable, str(APP), str(tmp_path), *arguments], rows=45, columns=100) as session:
        assert session.wait_for("READY", 30), session.text
        session.press("ctrl+end", "pageup", "down", "down")
        assert session.wait_for("␛[?1049l", 30), session.text  # it is shown, it does nothing
        raw = bytes(session.raw)
    assert raw.count(b"\x1b[?1049h") == 1
    assert foreign(raw, links=True) == []


@pytest.mark.parametrize("character", FORBIDDEN)
def test_each_control_is_one_visible_character(character: str) -> None:
    shown = pictures(f"a{character}b")
    assert len(shown) == 3
    assert shown.isprintable()
    assert not is_harmless(character)
    assert sanitise_line(character).isprintable()


def test_text_without_controls_stays() -> None:
    text = "plain\ttab é 漢字 👨‍👩‍👧 שלום \u00a0"
    assert pictures(text) == text


def test_what_is_left_of_a_segment_has_the_width_it_had() -> None:
    link = Style(link="http://a\x07\x1b[2J")
    segments = [Segment("a\x1b\x9b\u202eb", Style(bold=True)), Segment("\x1b[2J"), Segment("x", link)]
    segments.append(Segment("y\x07", None, []))
    cleaned = HostileTextFilter().apply(segments, Color(0, 0, 0))
    assert [segment.text for segment in cleaned] == ["ab", "[2J", "x", "y"]
    assert cleaned[0].style == Style(bold=True)
    assert cleaned[2].style is not None
    assert cleaned[2].style.link is None


def test_a_good_link_stays() -> None:
    segments = [Segment("x", Style(link="http://a"))]
    assert HostileTextFilter().apply(segments, Color(0, 0, 0)) is segments


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[31mred\x1b[2K\x1b]0;t\x07", "red␛[2K␛]0;t␇"),
        ("10%\r50%\r100%", "100%"),
        ("windows\r", "windows"),
        ("a\tb", "a       b"),
        ("\x1b[1ma\x1b[0m\tb", "a       b"),
        ("\x1b[38;5", "␛[38;5"),
        ("", ""),
    ],
)
def test_output_keeps_its_colours_only(line: str, plain: str) -> None:
    assert coloured(line).plain == plain
