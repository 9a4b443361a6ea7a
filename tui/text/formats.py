"""How times, durations and sizes are written on screen."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.models.engine import RetentionPass
    from engine.models.runs import RunProgress


def clock(at: float) -> str:
    """Time of day of ``at``; with the date when that is not today."""
    moment, now = time.localtime(at), time.localtime()
    today = moment[:3] == now[:3]
    return time.strftime("%H:%M:%S" if today else "%d %b %H:%M", moment)


def duration(seconds: float) -> str:
    """A measured duration: ``0.8 ms``, ``1.20 s``, ``2 min 05 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def time_left(seconds: float) -> str:
    """Time that runs out, to the second: ``4:07``."""
    whole = math.ceil(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def age(seconds: float) -> str:
    """How long something has been going on; coarse, so that a figure on screen changes once a second at most."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d}"
    return f"{int(seconds // 86400)} d"


def size(count: int) -> str:
    """A number of bytes: ``512 B``, ``3.4 KiB``, ``20.0 MiB``."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def percent(progress: RunProgress) -> str:
    """How much is done: ``30 %``; nothing where the run does not say."""
    if progress.done is None:
        return ""
    return f"{min(100, int(100 * progress.done / progress.total))} %"


def progress_text(progress: RunProgress) -> str:
    """How far a run says it is: ``3 of 10, 30 %  reading``. Its own words are as it wrote them."""
    counted = (
        f"{progress.done:,.15g} of {progress.total:,.15g}" if progress.done is not None and progress.total != 1 else ""
    )
    return "  ".join(filter(None, (", ".join(filter(None, (counted, percent(progress)))), progress.text)))


def removed(last: RetentionPass) -> str:
    """What a look at old records removed: ``3 outputs, 12 versions``."""
    gone = [
        f"{count} {what}"
        for count, what in (
            (last.outputs, "outputs"),
            (last.runs, "runs"),
            (last.versions, "versions"),
            (last.leftovers, "leftovers"),
        )
        if count
    ]
    return ", ".join(gone) or "nothing"
