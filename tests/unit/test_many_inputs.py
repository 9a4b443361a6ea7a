"""How much a run may be given, and that much of it is not looked through while others wait."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.models.runs import RunKind, RunRequest
from engine.services.access import ServiceError
from engine.services.runs.inputs import MANY_VALUES, MOST_VALUES, MUCH_TEXT, is_much
from store.frontmatter.secret_names import _PARTS, _SECRET, LONGEST_NAME, names_a_secret

TABLE = [[number, "name", 1.5, None] for number in range(50_000)]


def request(**given: Any) -> RunRequest:
    return RunRequest(kind=RunKind.SCRIPT, script="a.py", **given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"args": [1, "two", [3]], "kwargs": {"rows": [[1, 2] for _ in range(100)]}},
        {"params": {"text": "x" * (MUCH_TEXT // 2)}, "argv": ["x"]},
        {"variables": {"rows": [[1] for _ in range(MANY_VALUES // 2 - 1)]}},
    ],
)
def test_what_people_give_a_run_is_not_much(given: dict[str, Any]) -> None:
    assert not is_much(request(**given))


@pytest.mark.parametrize(
    "given",
    [
        {"variables": {"rows": TABLE}},
        {"variables": {"rows": [dict(zip("abcd", row, strict=True)) for row in TABLE]}},
        {"kwargs": {"rows": TABLE}, "params": {"rows": TABLE}},  # as a script by its title gets them
        {"kwargs": {"text": "x" * MUCH_TEXT, "y": "y"}},
        {"kwargs": {"x" * MUCH_TEXT: 1, "y": "y"}},
        {"kwargs": {"x": {"x" * MUCH_TEXT: "y"}}},
        {"argv": ["x" * 60_000] * 5},
        {"args": [1] * (MANY_VALUES + 1)},
    ],
)
def test_a_large_table_is_much_and_may_be(given: dict[str, Any]) -> None:
    assert is_much(request(**given))


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "given",
    [
        {"variables": {f"k{number}": 1 for number in range(MOST_VALUES + 1)}},
        {"kwargs": {f"k{number}": 1 for number in range(MOST_VALUES // 2)}, "args": [1] * (MOST_VALUES // 2 + 1)},
        {"params": {"a": {"b": [[1] * 100 for _ in range(MOST_VALUES // 100)]}}},
        {"args": nested(MOST_VALUES + 1)},
    ],
)
def test_more_than_any_run_may_be_given_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="at most 300,000 values") as caught:
        is_much(request(**given))
    assert (caught.value.code, caught.value.status) == ("too_large", 413)


def test_files_are_counted_before_they_are_looked_for() -> None:
    with pytest.raises(ServiceError, match="A run can take 64 files and buffers, not 65"):
        is_much(request(files={f"f{number}": "id" for number in range(65)}))


def test_names_are_looked_through_quickly() -> None:
    """Hundreds of thousands come in one request; a long one is not read, and counts as secret."""
    names = [f"temperature_of_pump_{number}_in_area_{number}_north_side" for number in range(100_000)]
    begun = time.process_time()
    assert not any(map(names_a_secret, names))
    assert time.process_time() - begun < 5
    assert all(any(part in word for part in _PARTS) for word in _SECRET)
    long = "aA" * (1 << 20)
    begun = time.process_time()
    assert names_a_secret(f"{long}\ufdfakey")
    assert time.process_time() - begun < 1
    assert not names_a_secret("a" * LONGEST_NAME)
