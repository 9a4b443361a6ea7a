"""Characters of a text that a reader does not see, or that make him see another text than the one that runs.

Whoever shows a script for approval marks them, and whoever checks one warns of them: both mean these.

* Controls (Cc) but tab and newline. Some end a line for ``str.splitlines`` or an editor and not for Python, so that a
  comment looks like code; a carriage return does the reverse.
* Line and paragraph separator, for the same reason.
* Bidirectional controls reorder what is read: Unicode TR 9, and "Trojan Source", CVE-2021-42574.
* Format characters and fillers that have no shape. Some may stand in a name, so that two names look alike:
  ``Default_Ignorable_Code_Point`` in Unicode TR 44, without the signs that are seen.
* Lone surrogates.

A variation selector or joiner behind a pictogram is how pictograms are written, and no name has one.
"""

from __future__ import annotations

import re

_PICTOGRAMS = "\u2190-\u2bff\U0001f000-\U0001faff"
"""Arrows, technical signs, symbols, dingbats, emoji: none may stand in a Python name."""

_ALWAYS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SUSPECTS = re.compile(f"[{_ALWAYS}\u200d\ufe0f]")
"""One character class is searched for in a fifth of the time that ``HIDDEN`` takes."""

HIDDEN = re.compile(f"[{_ALWAYS}]|(?<![{_PICTOGRAMS}])\ufe0f|(?<![{_PICTOGRAMS}])(?<![{_PICTOGRAMS}]\ufe0f)\u200d")
"""One character, wherever it stands."""


def find_hidden(text: str, start: int = 0) -> int:
    """Return where the first hidden character stands from ``start`` on, -1 if there is none."""
    while (found := _SUSPECTS.search(text, start)) is not None:
        if HIDDEN.match(text, found.start()):
            return found.start()
        start = found.end()
    return -1


def code_point(character: str) -> str:
    """Return ``U+202E``, as Unicode writes it."""
    return f"U+{ord(character):04X}"
