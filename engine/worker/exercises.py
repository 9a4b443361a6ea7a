"""Uses packages once that were imported ahead: what they make at their first use is there when a run comes.

Only zygotes with such packages have this module. Nothing here draws random numbers, prints, or leaves anything that a
script could meet; what a package of another version does not have is left out.
"""

from __future__ import annotations

import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 10
"""The interpreter specialises code after some calls (PEP 659)."""


def in_template() -> None:
    """Use all of them, often enough that code is specialised."""
    for _ in range(ROUNDS):
        _quietly(_numpy)
        _quietly(_pandas)
    _quietly(_matplotlib)


def in_child() -> None:
    """Use those for which it takes a thousandth of a second: a child's first write to a page copies it."""
    _quietly(_pandas)


def _quietly(exercise: Callable[[], None]) -> None:
    with suppress(Exception):  # a run that needs it will say so
        exercise()


def _numpy() -> None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    values = numpy.arange(10.0)
    float((values * 2 + 1).mean())
    repr(values)


def _pandas() -> None:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return
    int(pandas.Series([1, 2, 3]).sum())
    frame = pandas.DataFrame({"name": ["a", "b", "a"], "value": [1.0, 2.0, 3.0]})
    frame.groupby("name")["value"].sum().to_dict()
    frame[frame["value"] > 1.0].sort_values("value").to_dict("records")


def _matplotlib() -> None:
    if "matplotlib.backends.backend_agg" not in sys.modules:
        return
    from io import BytesIO

    # By no way that pyplot hears of: it numbers its figures and picks a backend once.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found]
    from matplotlib.figure import Figure  # type: ignore[import-not-found]

    figure = Figure()
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([1, 3, 2])
    axes.set_title("a")
    canvas.print_png(BytesIO())
