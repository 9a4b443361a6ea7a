"""Values as people type them in forms: what is shown reads back as the same value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.text.typed_values import Kind, shown, typed

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1)
TEXTS = st.lists(st.text(st.characters(codec="utf-8")), min_size=1)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(TEXTS, st.sampled_from([Kind.TEXTS, Kind.REQUIREMENTS, Kind.VALUES]))
def test_lists_of_texts_read_back(value: list[str], kind: Kind) -> None:
    assert typed(shown(value, kind), kind) == value


@given(st.lists(NUMBERS | st.booleans() | WORDS, min_size=1))
def test_mixed_lists_read_back(value: list[Any]) -> None:
    found = typed(shown(value, Kind.VALUES), Kind.VALUES)
    assert found == value
    assert [isinstance(item, str) for item in found] == [isinstance(item, str) for item in value]


@given(NUMBERS)
def test_numbers_read_back(value: float) -> None:
    assert typed(shown(value), Kind.NUMBER) == value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("", Kind.TEXTS, None),
        ("  ", Kind.TEXT, None),
        (" Night report ", Kind.TEXT, "Night report"),
        ("24", Kind.TEXT, "24"),
        ("yes", Kind.FLAG, True),
        ("no", Kind.FLAG, False),
        ("maybe", Kind.FLAG, "maybe"),
        ("24", Kind.COUNT, 24),
        ("2.5", Kind.COUNT, "2.5"),
        ("true", Kind.COUNT, "true"),
        ("2.5", Kind.NUMBER, 2.5),
        ("soon", Kind.NUMBER, "soon"),
        ("inf", Kind.NUMBER, "inf"),
        ("logs, night,", Kind.TEXTS, ["logs", "night"]),
        ("pandas>=2,<3, numpy, x ~=1, !=1.4", Kind.REQUIREMENTS, ["pandas>=2,<3", "numpy", "x ~=1, !=1.4"]),
        ('["a, b", "c"]', Kind.TEXTS, ["a, b", "c"]),
        ("[broken", Kind.TEXTS, ["[broken"]),
        ("1, 2.5, true, x", Kind.VALUES, [1, 2.5, True, "x"]),
    ],
)
def test_what_a_line_means(text: str, kind: Kind, value: object) -> None:
    assert typed(text, kind) == value


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, Kind.TEXT, ""),
        (True, Kind.FLAG, "yes"),
        ([], Kind.TEXTS, ""),
        (["a", "b"], Kind.TEXTS, "a, b"),
        (["a, b"], Kind.TEXTS, '["a, b"]'),
        (["pandas>=2,<3", "numpy"], Kind.REQUIREMENTS, "pandas>=2,<3, numpy"),
        (["1"], Kind.VALUES, '["1"]'),
        ([1, False], Kind.VALUES, "[1, false]"),
    ],
)
def test_what_a_value_looks_like(value: object, kind: Kind, text: str) -> None:
    assert shown(value, kind) == text
