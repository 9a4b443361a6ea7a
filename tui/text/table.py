"""Tables for people: aligned, harmless, and as wide as the terminal at most."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Container, Sequence

from tui.text.sanitise import sanitise_line

GAP = "  "
NARROWEST = 6
"""A column is not cut below this many cells."""


def terminal_width(is_terminal: bool) -> int | None:
    """Columns to fit a table into; None in a pipe, where nothing is cut."""
    return shutil.get_terminal_size().columns if is_terminal else None


def cut(text: str, width: int) -> str:
    """``text``, shortened with an ellipsis to ``width`` cells."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def render(
    headers: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    *,
    right: str | Container[int] = "",
    width: int | None = None,
    less: Sequence[str] = (),
) -> str:
    """The table as lines.

    Args:
        headers: The column names; None for rows alone, at least one then.
        rows: The cells; hostile text is made visible.
        right: The columns that are aligned to the right: their names with spaces between, or their places.
        width: Cells that a line may take; the widest column is cut until it fits. None: no limit.
        less: Names of columns that are left out before anything is cut, in this order.
    """
    from rich.cells import cell_len, set_cell_size

    grid = [[sanitise_line(cell) for cell in row] for row in ([headers, *rows] if headers is not None else rows)]
    widths = [max(map(cell_len, column)) for column in zip(*grid, strict=True)]
    for name in less if width is not None and headers is not None else ():
        if sum(widths) + len(GAP) * (len(widths) - 1) <= (width or 0):
            break
        left_out = grid[0].index(name)
        grid, headers = [[*row[:left_out], *row[left_out + 1 :]] for row in grid], grid[0]
        del widths[left_out]
    headers = None if headers is None else grid[0]
    columns = range(len(grid[0]))
    if width is not None:
        _shrink(widths, width - len(GAP) * (len(columns) - 1))
    if headers is not None and isinstance(right, str):
        right = [column for column in columns if headers[column] in right.split()]
    rights = [column in right for column in columns]
    lines = []
    for row in grid:
        line = []
        for cell, cells, to_right in zip(row, widths, rights, strict=True):
            text = cut(cell, cells)
            line.append(" " * (cells - cell_len(text)) + text if to_right else set_cell_size(text, cells))
        lines.append(GAP.join(line).rstrip())
    return "\n".join(lines)


def fields(pairs: Sequence[tuple[str, str]], *, width: int | None = None) -> str:
    """Names and values, one pair a line; empty values are left out, long ones go on in further lines of ``width``."""
    shown = [(name, sanitise_line(value)) for name, value in pairs if value]
    indent = max((len(name) for name, _ in shown), default=0) + len(GAP)
    lines = []
    for name, value in shown:
        wrapped = [] if width is None else textwrap.wrap(value, max(width - indent, NARROWEST))
        first, *more = wrapped or [value]
        lines.append(name.ljust(indent) + first)
        lines += [" " * indent + line for line in more]
    return "\n".join(lines)


def paragraph(text: str, indent: str, *, width: int | None) -> str:
    """Write a sentence in lines of ``width`` behind an indent: cut short it would be of no use. None: in one line."""
    if width is None:
        return indent + sanitise_line(text)
    return textwrap.fill(
        sanitise_line(text), max(width, NARROWEST + len(indent)), initial_indent=indent, subsequent_indent=indent
    )


def _shrink(widths: list[int], total: int) -> None:
    while sum(widths) > total:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
