"""No text of others reaches a terminal with a control character in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.terminal.guard import code_pictures
from tui.text.sanitise import sanitise, sanitise_code, sanitise_line, sanitise_source

any_text = st.text(st.characters(codec=None) | st.characters(categories=["Cc", "Cf", "Cs"]))


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("a\u202eb", r"a\u202eb"),
        ("half \ud800", r"half \ud800"),
        ("é ü 漢 🙂", "é ü 漢 🙂"),
    ],
)
def test_controls_become_visible_and_the_rest_stays(given_text: str, shown: str) -> None:
    assert sanitise(given_text) == shown


def test_a_line_stays_one_line() -> None:
    assert sanitise_line("a\nb\tc\rd") == r"a\nb\tc\rd"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\tx = 'é 漢 🙂 ⚠️ 👨‍👩‍👧'", "        x = 'é 漢 🙂 ⚠️ 👨‍👩‍👧'"),
        ("# \u202e\u2066 ab\u2069", "# <U+202E><U+2066> ab<U+2069>"),
        ("is_\u200bok = is_\ufe0fok = \u3164 = 1", "is_<U+200B>ok = is_<U+FE0F>ok = <U+3164> = 1"),
        (
            "# a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029",
            "# a<U+000B>b<U+000C>c<U+001C>d<U+001D>e<U+001E>f<U+0085>g<U+2028>h<U+2029>",
        ),
        ("# a\rb\r", "# a<U+000D>b\\r"),
        ("\ufeff\x1b[2J \U000e0041", "<U+FEFF><U+001B>[2J <U+E0041>"),
        (r"'\u202e'", r"'\u202e'"),
    ],
)
def test_nothing_hides_in_code(line: str, shown: str) -> None:
    assert sanitise_code(line) == shown
    pictured = code_pictures(line)
    assert len(pictured) == len(line)
    assert "<" not in shown or pictured != line


def test_a_whole_script_keeps_its_lines_as_python_counts_them() -> None:
    assert sanitise_source("a\r\n\tb\rc\u2028d\n") == "a\n\tb\nc<U+2028>d\n"


def test_a_name_hides_nothing_either() -> None:
    assert sanitise_line("/srv/lo\u200bgs") == r"/srv/lo\u200bgs"


@given(any_text)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for clean, allowed in (
        (sanitise(text), "\n\t"), (sanitise_line(text), ""), (sanitise_code(text), ""), (sanitise_source(text), "\n\t")
    ):  # fmt: skip
        assert not [c for c in clean if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in allowed]
        clean.encode("utf-8")
