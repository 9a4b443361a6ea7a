"""What a script left as its result, laid out for people: a line for each member, a table for rows that are alike.

Programs get the JSON: from ``--json``, and in pipes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tui.text.sanitise import sanitise_line

if TYPE_CHECKING:
    from engine.models.runs import RunInfo

LAID_OUT = 100_000
"""Characters of a result up to which it is laid out over lines."""

SHORT = 3
"""Lines of a result that are shown behind what a run printed; a longer one is shown when the user asks for it."""

DEEPEST = 4
"""Levels of lists and objects that are laid out; what is in them stands on one line."""

INDENT = "  "


def result_lines(run: RunInfo, one_line: int, width: int | None = None) -> list[str]:
    """Return a run's result as lines; none for None, which most scripts leave.

    Args:
        run: Finished.
        one_line: Characters up to which the whole result stands on one line.
        width: Cells that a line of a table may take; the widest column is cut. None: nothing is cut.
    """
    if not run.has_value:
        return [] if run.result is None else run.result.split("\n")
    if run.value is None:
        return []
    text = run.result if run.result is not None else _compact(run.value)
    if not isinstance(run.value, dict | list):
        return text.split("\n")
    if not one_line < len(text) <= LAID_OUT:
        return [text]
    return list(_lines(run.value, one_line, width, DEEPEST))


def _lines(value: object, one_line: int, width: int | None, levels: int) -> Iterator[str]:
    """``value`` over as many lines as it needs."""
    if not isinstance(value, dict | list) or not levels or len(_compact(value)) <= one_line:
        yield _compact(value)
        return
    one_line, width = one_line - len(INDENT), None if width is None else width - len(INDENT)
    if isinstance(value, dict) and (frame := _frame(value)) is not None:
        yield from _grid(*frame, width)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _member(sanitise_line(key), member, one_line, width, levels - 1)
    elif _is_table(value):
        yield from _table(value, width)
    elif any(isinstance(item, dict | list) for item in value):
        for item in value:
            first, *more = _lines(item, one_line, width, levels - 1)
            yield f"- {first}"
            yield from (INDENT + line for line in more)
    else:
        yield _compact(value)


def _member(key: str, value: object, one_line: int, width: int | None, levels: int) -> Iterator[str]:
    """A member of an object: on one line if it fits there or is one value, else below its key."""
    text = _compact(value)
    lines = list(_lines(value, one_line - len(key), width, levels))
    if lines == [text]:
        yield f"{key}: {text}"
        return
    yield f"{key}:"
    yield from (INDENT + line for line in lines)


def _is_table(rows: Sequence[object]) -> bool:
    """Tell whether ``rows`` are objects with the same keys, or lists of the same length that hold no others."""
    first = rows[0] if rows else None
    if isinstance(first, dict):
        return bool(first) and all(isinstance(row, dict) and row.keys() == first.keys() for row in rows)
    return isinstance(first, list) and all(
        isinstance(row, list) and len(row) == len(first) and not any(isinstance(cell, dict | list) for cell in row)
        for row in rows
    )


def _frame(value: dict[str, Any]) -> tuple[list[str], list[list[Any]]] | None:
    """Return header and rows of what a pandas DataFrame became, its labels first; None if ``value`` is not that."""
    columns, rows, index = value.get("columns"), value.get("rows"), value.get("index")
    if value.keys() - {"index"} != {"columns", "rows"} or not isinstance(columns, list) or not isinstance(rows, list):
        return None
    if not rows or not columns or not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        return None
    headers = [name if isinstance(name, str) else _compact(name) for name in columns]
    if index is None:
        return headers, rows
    if not isinstance(index, list) or len(index) != len(rows):
        return None
    return ["", *headers], [[label, *row] for label, row in zip(index, rows, strict=True)]


def _table(rows: Sequence[Any], width: int | None) -> list[str]:
    headers = list(rows[0]) if isinstance(rows[0], dict) else None
    return _grid(headers, [[row[name] for name in headers] if headers is not None else row for row in rows], width)


def _grid(headers: list[str] | None, grid: Sequence[Sequence[Any]], width: int | None) -> list[str]:
    from tui.text.table import render

    right = [index for index, column in enumerate(zip(*grid, strict=True)) if all(_is_number(cell) for cell in column)]
    cells = [[cell if isinstance(cell, str) else _compact(cell) for cell in row] for row in grid]
    return render(headers, cells, right=right, width=width).split("\n")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
