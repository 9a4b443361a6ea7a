"""The colours that output asks for, and nothing else that it may ask for."""

from __future__ import annotations

import re

from rich.text import Text

from tui.terminal.guard import pictures

_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
"""Select Graphic Rendition (ECMA-48, 8.3.117), the only sequence that output may use."""
TAB_WIDTH = 8


def coloured(line: str) -> Text:
    """One line of output as a terminal would show it: colours applied, other control characters as pictures."""
    line = _overwritten(line)
    if "\x1b" not in line:
        return Text(pictures(line).expandtabs(TAB_WIDTH) if "\t" in line else pictures(line), end="")
    parts = _COLOUR.split(line)
    # Odd parts are the sequences.
    parts[::2] = [pictures(part) for part in parts[::2]]
    text = Text.from_ansi("".join(parts), end="")
    text.expand_tabs(TAB_WIDTH)
    return text


def _overwritten(line: str) -> str:
    """What is left of a line whose carriage returns went back to its start, as progress bars do."""
    return line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line
