"""Tables stay aligned, harmless and inside the terminal, whatever stands in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.text.table import cut, fields, render


def test_columns_are_aligned() -> None:
    table = render(["run", "script", "lasted"], [["7", "a", "1.0 s"], ["41", "folder/b", "0.8 ms"]], right="run lasted")
    assert table.splitlines() == [
        "run  script    lasted",
        "  7  a          1.0 s",
        " 41  folder/b  0.8 ms",
    ]


def test_the_widest_column_gives_way() -> None:
    table = render(["run", "script"], [["1", "x" * 200]], width=40)
    assert max(map(cell_len, table.splitlines())) == 40
    assert table.endswith("…")


def test_nothing_is_cut_in_a_pipe() -> None:
    assert "x" * 200 in render(["script"], [["x" * 200]])


def test_hostile_cells_stay_in_their_row() -> None:
    table = render(["script", "who"], [["a\x1b[2J\nb", "eve"]])
    assert len(table.splitlines()) == 2
    assert "\x1b" not in table


@given(st.lists(st.lists(st.text(max_size=60), min_size=3, max_size=3), max_size=5), st.integers(30, 100))
def test_every_line_fits(rows: list[list[str]], width: int) -> None:
    table = render(["one", "two", "three"], rows, width=width)
    assert len(table.split("\n")) == len(rows) + 1
    assert all(cell_len(line) <= width for line in table.split("\n"))


@given(st.text(max_size=30), st.integers(1, 40))
def test_cut_fits_and_keeps_what_fits(text: str, width: int) -> None:
    short = cut(text, width)
    assert cell_len(short) <= width
    assert short == text or short.endswith("…")


def test_wide_characters_take_two_cells() -> None:
    assert cell_len("漢字a") == 5
    assert cell_len("e\u0301") == 1


def test_fields_leave_out_what_is_empty() -> None:
    assert fields([("run", "1"), ("note", ""), ("isolation", "full")]) == "run        1\nisolation  full"


def test_long_values_go_on_below() -> None:
    assert fields([("note", "one two three")], width=14) == "note  one two\n      three"
