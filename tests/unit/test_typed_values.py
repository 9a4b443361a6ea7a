"""Values as people type them in forms: what is shown reads back as the same value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.text.typed_values import FieldKind, shown, typed

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1)
TEXTS = st.lists(st.text(st.characters(codec="utf-8")), min_size=1)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(TEXTS, st.sampled_from([FieldKind.TEXTS, FieldKind.REQUIREMENTS, FieldKind.VALUES]))
def test_lists_of_texts_read_back(value: list[str], kind: FieldKind) -> None:
    assert typed(shown(value, kind), kind) == value


@given(st.lists(NUMBERS | st.booleans() | WORDS, min_size=1))
def test_mixed_lists_read_back(value: list[Any]) -> None:
    found = typed(shown(value, FieldKind.VALUES), FieldKind.VALUES)
    assert found == value
    assert [isinstance(item, str) for item in found] == [isinstance(item, str) for item in value]


@given(NUMBERS)
def test_numbers_read_back(value: float) -> None:
    assert typed(shown(value), FieldKind.NUMBER) == value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("", FieldKind.TEXTS, None),
        ("  ", FieldKind.TEXT, None),
        (" Night report ", FieldKind.TEXT, "Night report"),
        ("24", FieldKind.TEXT, "24"),
        ("yes", FieldKind.FLAG, True),
        ("no", FieldKind.FLAG, False),
        ("maybe", FieldKind.FLAG, "maybe"),
        ("24", FieldKind.COUNT, 24),
        ("2.5", FieldKind.COUNT, "2.5"),
        ("true", FieldKind.COUNT, "true"),
        ("2.5", FieldKind.NUMBER, 2.5),
        ("soon", FieldKind.NUMBER, "soon"),
        ("inf", FieldKind.NUMBER, "inf"),
        ("logs, night,", FieldKind.TEXTS, ["logs", "night"]),
        ("pandas>=2,<3, numpy, x ~=1, !=1.4", FieldKind.REQUIREMENTS, ["pandas>=2,<3", "numpy", "x ~=1, !=1.4"]),
        ('["a, b", "c"]', FieldKind.TEXTS, ["a, b", "c"]),
        ("[broken", FieldKind.TEXTS, ["[broken"]),
        ("1, 2.5, true, x", FieldKind.VALUES, [1, 2.5, True, "x"]),
    ],
)
def test_what_a_line_means(text: str, kind: FieldKind, value: object) -> None:
    assert typed(text, kind) == value


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, FieldKind.TEXT, ""),
        (True, FieldKind.FLAG, "yes"),
        ([], FieldKind.TEXTS, ""),
        (["a", "b"], FieldKind.TEXTS, "a, b"),
        (["a, b"], FieldKind.TEXTS, '["a, b"]'),
        (["pandas>=2,<3", "numpy"], FieldKind.REQUIREMENTS, "pandas>=2,<3, numpy"),
        (["1"], FieldKind.VALUES, '["1"]'),
        ([1, False], FieldKind.VALUES, "[1, false]"),
    ],
)
def test_what_a_value_looks_like(value: object, kind: FieldKind, text: str) -> None:
    assert shown(value, kind) == text
