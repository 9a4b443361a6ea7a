"""Charts of one line: a sparkline, and a bar for a share; with glyphs of their own or in plain ASCII."""

from __future__ import annotations

import os
from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*%#"
"""As many steps as blocks have: the first one is nothing, the second one more than nothing."""

_PLAIN_TERMINALS = frozenset({"linux", "dumb", "vt100", "vt220"})
"""Values of TERM whose fonts may have no block elements (Unicode, U+2581 to U+2588)."""


def shows_blocks(encoding: str | None) -> bool:
    """Tell whether a terminal of this encoding shows block elements."""
    plain = os.environ.get("TERM", "") in _PLAIN_TERMINALS
    return not plain and (encoding or "").lower().replace("-", "").replace("_", "") == "utf8"


def gathered(values: Sequence[float | None], width: int) -> list[float | None]:
    """Return ``width`` values at most: of neighbours that share a place the largest, so that no peak is lost."""
    count = len(values)
    if count <= width or width <= 0:
        return list(values)
    found: list[float | None] = []
    for place in range(width):
        shared = [one for one in values[place * count // width : (place + 1) * count // width] if one is not None]
        found.append(max(shared, default=None))
    return found


def sparkline(values: Sequence[float | None], width: int, *, blocks: bool = True, most: float | None = None) -> str:
    """Return ``values`` as one line of ``width`` cells, the newest at the right; a blank where there is none.

    Args:
        values: In the order of time; none is below zero.
        width: Cells. Fewer values than that begin further right.
        blocks: Draw with block elements; else with ASCII.
        most: The value that is as high as the line; None: the largest one.
    """
    steps = BLOCKS if blocks else ASCII
    shown = gathered(values, width)
    top = max((one for one in shown if one is not None), default=0.0) if most is None else most
    return "".join(_step(one, top, steps) for one in shown).rjust(width)


def _step(value: float | None, top: float, steps: str) -> str:
    if value is None or value <= 0:
        return steps[0]
    last = len(steps) - 1
    return steps[min(last, max(1, round(last * value / top)))] if top > 0 else steps[0]


def share_bar(percent: float | None, width: int, *, blocks: bool = True) -> str:
    """Return a share of a hundred percent as a bar of ``width`` cells; anything above nothing fills one at least."""
    full, rest = ("█", "░") if blocks else ("#", ".")
    if percent is None:
        return rest * width
    filled = min(width, round(width * percent / 100))
    return full * max(filled, 1 if percent >= 1 else 0) + rest * (width - max(filled, 1 if percent >= 1 else 0))
