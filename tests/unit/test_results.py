"""Results laid out for people."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.models.runs import Mode, RunInfo, RunKind, RunState
from tui.text.results import result_lines

RUN = RunInfo(
    id=1, kind=RunKind.EXEC, name="<exec>", state=RunState.FINISHED, mode=Mode.RESTRICTED, actor="alice", source="cli",
    queued_at=0.0, timeout=30.0, code_sha256="",
)  # fmt: skip

LOGGERS = [
    {"level": "error", "logger": "Gateway.Db", "count": 12, "message": "m" * 60},
    {"level": "warn", "logger": "Tags", "count": 3, "message": "slow"},
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


def run(value: object) -> RunInfo:
    """A run that ended with ``value``, with the text that the engine gives it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return msgspec.structs.replace(RUN, value=value, has_value=True, result=text)


def test_what_fits_stands_on_one_line_as_json() -> None:
    assert result_lines(run({"a": [1, None, True]}), 60) == ['{"a": [1, null, true]}']
    assert result_lines(run(2), 60) == ["2"]
    assert result_lines(run(None), 60) == []


def test_a_text_keeps_its_lines() -> None:
    assert result_lines(run("one\ntwo " + "x" * 90), 60) == ["one", "two " + "x" * 90]
    only_text = msgspec.structs.replace(RUN, result="<object>\nof two lines")
    assert result_lines(only_text, 60) == ["<object>", "of two lines"]


def test_rows_that_are_alike_are_a_table_below_their_key() -> None:
    assert result_lines(run({"entries": 15, "levels": {"error": 12}, "loggers": LOGGERS}), 60) == [
        "entries: 15",
        'levels: {"error": 12}',
        "loggers:",
        "  level  logger      count  message",
        "  error  Gateway.Db     12  " + "m" * 60,
        "  warn   Tags            3  slow",
    ]


def test_lists_of_equal_length_are_a_table_without_a_head() -> None:
    assert result_lines(run([["a", 1, None], ["b" * 50, 20, True]]), 60) == [
        "a" + " " * 49 + "   1  null",
        "b" * 50 + "  20  true",
    ]


def test_others_get_a_line_each() -> None:
    assert result_lines(run([{"a": 1, "b": ["x" * 50]}, {"c": 2}]), 60) == [
        "- a: 1",
        f'  b: ["{"x" * 50}"]',
        '- {"c": 2}',
    ]


def test_a_table_is_cut_at_the_terminal_s_width_only() -> None:
    lines = result_lines(run({"loggers": LOGGERS}), 60, 60)
    assert max(map(cell_len, lines)) <= 60
    assert lines[2].endswith("…")
    assert "m" * 60 in "\n".join(result_lines(run({"loggers": LOGGERS}), 60))


def test_a_huge_or_a_deep_result_stays_on_its_lines() -> None:
    huge = ["x" * 100] * 2000
    assert result_lines(run({"a": huge}), 60) == [json.dumps({"a": huge})]
    deep: object = 1
    for _ in range(150):
        deep = {"in": [deep]}
    assert len(result_lines(run(deep), 60)) < 10


@given(JSON, st.integers(20, 100))
def test_every_value_can_be_shown_and_no_name_breaks_its_line(value: object, width: int) -> None:
    lines = result_lines(run(value), width, width)
    assert (not lines) == (value is None)
    if not isinstance(value, str):
        assert not any("\n" in line or "\x1b" in line for line in lines)


def test_a_table_of_pandas_is_a_table_with_its_labels() -> None:
    frame = {"columns": ["tag", "mean"], "rows": [["Line 1/Flow", 1.5], ["Line 1/Pressure", None]]}
    assert result_lines(run(frame), 40) == ["tag              mean", "Line 1/Flow       1.5", "Line 1/Pressure  null"]
    labelled = result_lines(run({**frame, "index": ["2026-01-01", "2026-01-02"]}), 40)
    assert labelled[1] == "2026-01-01  Line 1/Flow       1.5"
    for odd in ({**frame, "rows": [[1]]}, {**frame, "index": [1]}, {**frame, "more": 1}, {"columns": 1, "rows": 2}):
        assert any("columns" in line for line in result_lines(run(odd), 10))
