"""No text of others reaches a terminal with a control character in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.text.sanitise import sanitise, sanitise_line

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


@given(any_text)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for clean, allowed in ((sanitise(text), "\n\t"), (sanitise_line(text), "")):
        assert not [c for c in clean if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in allowed]
        clean.encode("utf-8")
