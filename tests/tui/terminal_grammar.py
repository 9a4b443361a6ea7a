"""What the console itself may write to a terminal. Anything else in what a terminal got came out of somebody's text."""

from __future__ import annotations

import re

from tui.terminal.guard import is_harmless

KNOWN = re.compile(
    rb"\x1b\[\d+;\d+H|\x1b\[\d*C|\x1b\[[0-9;]*m"  # moves and styles
    rb"|\x1b\[\?(?:7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl]"  # modes, set at the start
    rb"|\x1b\[\?\d+\$p|\x1b\[[<>=]\d*u|\r\n"
    rb"|\x1b\]22;[a-z-]*\x07"  # shape of the pointer
)
_LINK = re.compile(rb"\x1b\]8;[^\x07\x1b]*\x1b\\")
_CUT_OFF = re.compile(rb"(?:\x1b(?:\[[?<>=0-9;$]*|\](?:8;[^\x07\x1b]*\x1b?|2{0,2};?[a-z-]*))?|\r)\Z")
"""What was read of a sequence of the console's own while it was still being written."""

_CONTROL = re.compile(r"[^\x20-\x7e]{1,2}.{0,24}", re.DOTALL)


def foreign(raw: bytes, *, links: bool = False) -> list[str]:
    """Every place where the terminal got something that it would obey, other than what the console writes itself.

    Args:
        raw: All that a console wrote, from its start on.
        links: Whether links are its own.
    """
    raw = _CUT_OFF.sub(b"", raw)
    rest = KNOWN.sub(b"", _LINK.sub(b"", raw) if links else raw).decode("utf-8", "replace")
    found = [match[0] for match in _CONTROL.finditer(rest) if not is_harmless(match[0])]
    if raw.count(b"\x1b[?1049h") > 1 or b"\x1b[?1049l" in raw:
        found.append("the alternate screen was left")
    return found
