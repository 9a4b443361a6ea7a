r"""Text of others made harmless before a terminal sees it.

Script text, output, git output and file names may hold control characters. A terminal obeys them (ECMA-48: C0, DEL and
C1; an escape sequence begins with one of them), and bidirectional controls (Unicode TR 9) reorder what a person reads.
Each becomes its visible escape, ``\x1b`` for escape, so nothing is lost and nothing is obeyed. Names and code are also
read closely, so there nothing hides: see ``engine.models.hidden``. In code an escape could be the author's own; there
a hidden character is shown as ``<U+202E>``. Console and command line both use it.
"""

from __future__ import annotations

import re

from engine.models.hidden import HIDDEN, code_point

TAB = 8
"""Cells from one tab stop to the next."""

_HARMFUL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_HARMFUL}]")
_IN_LINE = re.compile(f"{HIDDEN.pattern}|[\t\n]")


def sanitise(text: str) -> str:
    """``text`` for a terminal: newlines and tabs stay, a carriage return ends the line, other controls are shown."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _IN_TEXT.sub(_visible, text)


def sanitise_line(text: str) -> str:
    """``text`` as one line, for names, titles and table cells: newlines and tabs are shown too."""
    return text if text.isascii() and text.isprintable() else _IN_LINE.sub(_visible, text)


def sanitise_code(line: str) -> str:
    """A line of a script as one line, its tabs as the cells that they take; the CR of a CRLF is a short ``\\r``."""
    text = line.expandtabs(TAB)
    if text.isascii() and text.isprintable():
        return text
    shown = HIDDEN.sub(_marked, text.removesuffix("\r")).replace("\n", r"\n")
    return shown + r"\r" if text.endswith("\r") else shown


def sanitise_source(text: str) -> str:
    """A script's whole text for people: lines end where Python ends them, and nothing in them hides."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return HIDDEN.sub(_marked, text)


def _visible(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _marked(match: re.Match[str]) -> str:
    return f"<{code_point(match[0])}>"
