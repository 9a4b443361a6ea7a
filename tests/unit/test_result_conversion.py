"""Results that JSON cannot carry as they are: every value has a form, none costs the rest, and the note tells."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import enum
import fractions
import ipaddress
import itertools
import json
import math
import pathlib
import sqlite3
import sys
import types
import uuid
import xml.etree.ElementTree as ET
import zoneinfo
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pool.outcome import Ending, from_result
from engine.worker.results import MAX_DEPTH, ResultTooLarge, encode_result

LIMIT = 1 << 20
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def ending(value: object, limit: int = LIMIT) -> Ending:
    """How the engine reads the result ``value``."""
    return from_result(encode_result(value, limit), limit, 0.0, "")


class State(enum.Enum):
    RUN = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Row:
    tag: str
    value: float


class Point(collections.namedtuple("Point", "x y")):
    __slots__ = ()


FORMS: list[tuple[object, object]] = [
    (dt.datetime(2026, 11, 20, 10), "2026-11-20T10:00:00"),  # noqa: DTZ001 - a local time, as scripts have them
    (dt.datetime(2026, 7, 1, 12, tzinfo=BERLIN), "2026-07-01T12:00:00+02:00"),
    (dt.date(2026, 11, 20), "2026-11-20"),
    (dt.time(10, 30), "10:30:00"),
    (dt.timedelta(minutes=1.5), 90.0),
    (Decimal("1.10"), 1.1),
    (Decimal(3), 3),
    (Decimal("0.1234567890123456789"), "0.1234567890123456789"),
    (Decimal("1E+1000000"), "1E+1000000"),
    (Decimal("NaN"), None),
    (Decimal("-Infinity"), None),
    (fractions.Fraction(1, 3), "1/3"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (State.RUN, "RUN"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    (BERLIN, "Europe/Berlin"),
    (Row("T1", 1.5), {"tag": "T1", "value": 1.5}),
    (types.SimpleNamespace(a={1}), {"a": [1]}),
    ({"b", "a"}, ["a", "b"]),
    (frozenset({2, 1}), [1, 2]),
    ([{1}, Point(1, 2), Level.HIGH], [[1], [1, 2], 3]),
    (range(3), [0, 1, 2]),
    (collections.deque([1, {2}]), [1, [2]]),
    (array.array("d", [1, 2]), [1.0, 2.0]),
    ({1: 2}.values(), [2]),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    (b"bytes", "Ynl0ZXM="),
    (memoryview(b"bytes"), "Ynl0ZXM="),
    (math.nan, None),
    ([1.5, math.inf, -math.inf], [1.5, None, None]),
    (10**5000, hex(10**5000)),
    ("\ud800", "\\ud800"),
    ({"\ud800": 1}, {"\\ud800": 1}),
    ({dt.date(2026, 1, 1): 1, State.RUN: 2, (1, 2): 3}, {"2026-01-01": 1, "RUN": 2, "[1, 2]": 3}),
    ({None: 0, True: 1, 1.5: {2}}, {"null": 0, "true": 1, "1.5": [2]}),
    ({1: "a", "1": {"b"}}, {"1": "a", "1 (2)": ["b"]}),
    ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
    ([{"x": [{None: 1, "null": 2}]}], [{"x": [{"null": 1, "null (2)": 2}]}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "form"), FORMS, ids=[f"{type(value).__name__}-{n}" for n, (value, _) in enumerate(FORMS)]
)
def test_every_kind_of_value_has_its_form_and_the_note_names_it(value: object, form: object) -> None:
    for given_value, expected in ((value, form), ({"cell": value, "n": 3}, {"cell": form, "n": 3})):
        end = ending(given_value)
        assert (end.value, end.has_value) == (expected, True)
        assert (end.note or "").startswith("Changed in the result, since JSON has no such values: ")


def test_the_note_counts_what_is_alike_and_is_bounded() -> None:
    end = ending({"a": math.nan, "b": math.nan, "c": {1}})
    assert end.note == "Changed in the result, since JSON has no such values: 2 of NaN to null, set to list."
    kinds = [type(f"Kind{n}", (), {"__iter__": lambda _: iter(())})() for n in range(100)]
    note = ending(kinds).note or ""
    assert "92 more kinds of values" in note
    hostile = type("X" * 10_000 + "\x1b[31m", (), {})()
    assert len(ending([hostile]).note or "") < 200


class Breaks:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise KeyboardInterrupt

    def __iter__(self) -> Iterator[object]:
        raise SystemExit(3)


ODD_DICT = type("OddDict", (dict,), {"items": None, "keys": None})(a=1)


@pytest.mark.parametrize(
    "odd",
    [Breaks(), object(), 1j, map(str, [1]), itertools.count(), ET.fromstring("<a><b/></a>"), sys, ODD_DICT],
    ids=["raises", "object", "complex", "iterator", "endless", "element", "module", "odd-dict"],
)
def test_one_odd_cell_does_not_cost_the_rest(odd: object) -> None:
    end = ending({"rows": [1, odd, 2], "n": 3})
    assert (end.value["rows"][0], end.value["rows"][2], end.value["n"]) == (1, 2, 3)
    assert isinstance(end.value["rows"][1], str)
    assert f"{type(odd).__name__} to text" in (end.note or "")


def test_an_iterator_as_the_result_says_what_to_do() -> None:
    end = ending(n for n in range(3))
    assert not end.has_value
    assert "make a list of it" in (end.note or "")


def test_a_coroutine_as_the_result_says_what_to_do_and_python_says_nothing(recwarn: pytest.WarningsRecorder) -> None:
    async def work() -> None:
        """Be awaited by nobody."""

    end = ending(work())
    assert "asyncio.run" in (end.note or "")
    assert not recwarn.list


def test_keys_of_other_types_are_no_change_where_they_stay_apart() -> None:
    end = ending({1: "a", "2": "b", None: 1.5, 2.5: [{"x": ({3: 4},)}]})
    assert end.note is None


def test_what_has_no_end_is_refused_as_too_large() -> None:
    endless = type("Endless", (), {"__iter__": lambda _: itertools.count()})()
    for value in ([endless], np.zeros(LIMIT), np.zeros((1000, 2000)), set(range(LIMIT))):
        with pytest.raises(ResultTooLarge, match="1,024 KiB"):
            encode_result(value, LIMIT)


def test_what_holds_itself_or_is_too_deep_is_cut_there() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    assert ending(loop).value == [1, "<list that holds itself>"]
    shared = [1]
    assert ending([shared, shared, {2}]).value == [[1], [1], [2]]
    deep: object = {1}
    for _ in range(MAX_DEPTH * 2):
        deep = [deep]
    end = ending([3, deep])
    assert end.value[0] == 3
    assert f"more than {MAX_DEPTH} levels deep" in (end.note or "")


def test_a_low_recursion_limit_of_the_script_costs_nothing() -> None:
    before = sys.getrecursionlimit()
    deep: object = {1}
    for _ in range(MAX_DEPTH - 3):
        deep = [deep]
    sys.setrecursionlimit(200)
    try:
        payload = encode_result(deep, LIMIT)
        assert sys.getrecursionlimit() == 200
    finally:
        sys.setrecursionlimit(before)
    assert "set to list" in (from_result(payload, LIMIT, 0.0, "").note or "")


def test_rows_of_sqlite_keep_their_names() -> None:
    with sqlite3.connect(":memory:") as database:
        database.row_factory = sqlite3.Row
        assert ending(database.execute("select 1 as a, 2 as b").fetchall()).value == [{"a": 1, "b": 2}]
    database.close()


ARRAYS: list[tuple[object, object]] = [
    (np.int64(3), 3),
    (np.float32(0.5), 0.5),
    (np.float64("nan"), None),
    (np.longdouble(1.5), 1.5),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.datetime64("2026-01-01T00:00:00.5"), "2026-01-01T00:00:00.500"),
    (np.datetime64("NaT", "s"), None),
    (np.timedelta64(90, "s"), 90.0),
    (np.arange(3), [0, 1, 2]),
    (np.array(3), 3),
    (np.array([[1.5, np.nan], [np.inf, 2]]), [[1.5, None], [None, 2.0]]),
    (np.array([["2026-01-01", "NaT"]], dtype="datetime64[ns]"), [["2026-01-01T00:00:00", None]]),
    (np.array([1, {1}], dtype=object), [1, [1]]),
    (np.array([1j]), ["1j"]),
    (np.array([b"ab"]), ["YWI="]),
    (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), [[1, 2.0]]),
    (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
    ({np.int64(1): 2}, {"1": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "form"), ARRAYS)
def test_numbers_and_arrays_of_numpy(value: object, form: object) -> None:
    assert ending([value]).value == [form]


FRAME = pd.DataFrame(
    {
        "tag": ["a", None],
        "n": [1, 2],
        "v": [0.5, math.nan],
        "t": pd.to_datetime(["2026-01-01T00:00:00.00", "2026-01-02T00:00:00.25"]),
        "z": pd.to_datetime(["2026-01-01", None]).tz_localize("Europe/Berlin"),
        "c": pd.Categorical(["u", "v"]),
        "i": pd.array([1, None], dtype="Int64"),
    }
)
ROWS = [
    ["a", 1, 0.5, "2026-01-01T00:00:00.000000", "2026-01-01T00:00:00+01:00", "u", 1],
    [None, 2, None, "2026-01-02T00:00:00.250000", None, "v", None],
]


def without_zeros(rows: list[list[Any]]) -> list[list[Any]]:
    """``rows`` with times in one precision: which one pandas picks depends on its version."""
    return [[cell.rstrip("0") if isinstance(cell, str) and "." in cell else cell for cell in row] for row in rows]


def test_a_frame_is_columns_and_rows() -> None:
    end = ending(FRAME)
    assert set(end.value) == {"columns", "rows"}
    assert end.value["columns"] == list(FRAME.columns)
    assert without_zeros(end.value["rows"]) == without_zeros(ROWS)
    assert "DataFrame to columns and rows" in (end.note or "")
    assert "NaN to null" in (end.note or "")


def test_labels_that_say_something_are_kept() -> None:
    end = ending(
        {"by": FRAME.groupby("n")["v"].sum(), "plain": FRAME["n"], "table": FRAME[["n"]].set_index(FRAME["t"])}
    )
    assert end.value["by"] == {"index": [1, 2], "values": [0.5, 0.0]}
    assert end.value["plain"] == [1, 2]
    assert end.value["table"]["rows"] == [[1], [2]]
    assert end.value["table"]["index"][1].startswith("2026-01-02T00:00:00.25")
    two = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "x")]))
    assert ending(two).value == {"columns": [["a", "x"]], "rows": [[1]]}


def test_single_values_of_pandas() -> None:
    values = [
        pd.NaT,
        pd.Timestamp("2026-01-01", tz="UTC"),
        pd.NA,
        pd.Period("2026-01"),
        pd.Timedelta("1h"),
        pd.Index([1, 2]),
    ]
    assert ending(values).value == [None, "2026-01-01T00:00:00+00:00", None, "2026-01", 3600.0, [1, 2]]


def test_offsets_follow_the_daylight_saving_time() -> None:
    times = pd.Series(pd.date_range("2026-03-29 00:30", periods=3, freq="h", tz="Europe/Berlin"))
    assert ending(times).value == [moment.isoformat() for moment in times]
    old = pd.Series(pd.to_datetime(["1890-01-01"]).tz_localize("Europe/Berlin"))
    assert ending(old).value == [old[0].isoformat()]


any_text = st.text(st.characters(), max_size=9)
cells = (
    st.none() | st.floats() | st.binary(max_size=9) | any_text | st.datetimes() | st.decimals() | st.uuids()
    | st.complex_numbers() | st.timedeltas()
)  # fmt: skip
keys = any_text | st.integers() | st.dates() | st.floats()
odd_values = st.recursive(
    cells,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.builds(Row, st.just("t"), inner)
    ),
    max_leaves=12,
)


@given(odd_values)
def test_no_value_breaks_the_conversion_and_lists_keep_their_length(value: object) -> None:
    end = ending([value, 1])
    assert len(end.value) == 2
    assert end.value[1] == 1
    msgspec.json.encode([end.value, end.text, end.note])
    assert json.loads(end.text or "null") == end.value
