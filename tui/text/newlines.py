"""Line ends: which one a text has, and one for all while it is edited or compared."""

from __future__ import annotations

import re
from typing import Literal

Newline = Literal["\r\n", "\n", "\r"]

_LINE_END = re.compile(r"\r\n|\n|\r")


def newline_of(text: str) -> Newline:
    r"""The line end of ``text``; ``\n`` if there is none or if they are mixed."""
    crlf = text.count("\r\n")
    lf = text.count("\n") - crlf
    cr = text.count("\r") - crlf
    if crlf and not lf and not cr:
        return "\r\n"
    return "\r" if cr and not lf and not crlf else "\n"


def normalise(text: str) -> str:
    r"""``text`` with ``\n`` for every line end: what is typed and pasted takes the document's own style."""
    return _LINE_END.sub("\n", text) if "\r" in text else text
