"""Numbers of bytes as people read and write them. Standard library only: every layer may use it."""

from __future__ import annotations

import re

_SHOWN = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_WRITTEN = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(B|[KMGT]i?B)", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def describe_size(size: float) -> str:
    """Return ``1 MiB``, ``1.5 GiB`` or ``100 bytes``: three digits, in the units of settings and frontmatter."""
    for unit, name in _SHOWN:
        if size >= unit:
            amount = size / unit
            return f"{amount:.3g} {name}" if amount < 999.5 else f"{amount:.0f} {name}"
    return f"{size:.0f} bytes"


def parse_size(text: str) -> int | None:
    """Return the bytes meant by ``"512 MiB"``, ``"1.5 GB"`` or ``"800 B"``; None if it is not a size."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        return None
    unit = found[2].lower()
    return int(float(found[1]) * (1024 if "i" in unit else 1000) ** _POWERS[unit[0]])
