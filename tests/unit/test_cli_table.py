"""Tables stay aligned, harmless and inside the terminal, whatever stands in them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.models.access import TokenInfo, TokenList
from tui.commands.token import _print_tokens
from tui.text import table
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


def test_columns_of_less_use_go_before_anything_is_cut() -> None:
    row = ["a" * 12, "b" * 12, "c" * 12]
    assert render(["id", "by", "used"], [row], width=30, less=("by", "used")).split() == ["id", "used", row[0], row[2]]
    assert render(["id", "by", "used"], [row], width=80, less=("by", "used")).split()[:3] == ["id", "by", "used"]
    assert render(["id", "by", "used"], [row], less=("by", "used")).split()[:3] == ["id", "by", "used"]


def test_the_list_of_tokens_has_whole_ids_and_ends_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    end = time.time() + 3600
    token = TokenInfo(
        id="7d9b972d6018",
        name="dashboard-1",
        role="operator",
        default_mode="RESTRICTED",
        scripts=["line1/**"],
        created_at=0.0,
        created_by="root",
        expires_at=end,
        last_used_at=end,
    )
    monkeypatch.setattr(table, "terminal_width", lambda _: 80)
    lines: list[str] = []
    out = SimpleNamespace(line=lines.append, is_terminal=True)
    _print_tokens(SimpleNamespace(streams=SimpleNamespace(out=out)), TokenList(tokens=[token]))
    assert all(len(line) <= 80 and "…" not in line for line in lines[0].splitlines())
    assert token.id in lines[0]
    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(end)) in lines[0]
