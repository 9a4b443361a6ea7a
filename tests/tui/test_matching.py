"""Quick open and palette: what matches, and in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.screens.picker import best_matches

SCRIPTS = ["defaults/log_digest.py", "defaults/tour.py", "catalog_diff.py", "lib/dialog.py"]


def found(query):
    return best_matches(query, SCRIPTS, str)


def test_an_empty_query_keeps_everything_in_order():
    assert found("") == SCRIPTS
    assert found("  ") == SCRIPTS


def test_one_piece_at_the_start_of_a_word_comes_first():
    assert found("log") == ["defaults/log_digest.py", "catalog_diff.py", "lib/dialog.py"]
    assert found("tour") == ["defaults/tour.py"]


def test_scattered_letters_match_in_their_order_only():
    assert found("lgdg") == ["defaults/log_digest.py"]
    assert found("gdgl") == []


def test_case_does_not_matter():
    assert found("TOUR") == ["defaults/tour.py"]


@given(st.text(max_size=8), st.lists(st.text(max_size=20), max_size=10))
def test_every_match_has_the_letters_in_order(query, texts):
    for text in best_matches(query, texts, str):
        letters = iter(text.casefold())
        assert all(letter in letters for letter in query.casefold() if not letter.isspace())
