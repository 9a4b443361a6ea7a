"""The encoding that a script declares. Scripts are UTF-8: what people read is then what runs.

Python reads a file by the encoding that a comment in one of its first two lines names. With ``utf-7`` or
``unicode_escape`` such a comment makes code of what every reader, difference and editor shows as a comment. So a script
that names any other encoding than UTF-8 is not run, not approved and not guessed at, whatever its bytes are. (The
child compiles the text that was decoded here, never bytes, so it would not obey the comment either.)

PEP 263 and the tokenizer that implements it: https://peps.python.org/pep-0263/, ``get_coding_spec`` and
``get_normal_name`` in CPython's ``Parser/tokenizer/helpers.c``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
MAX_NAME = 40
"""Characters of an encoding's name in a sentence."""

COOKIE = re.compile(rb"[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-\w.]+)")
"""On the first line, or on the second if the first has nothing but a comment."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FIRST_LINES = re.compile(rb"(?:[^\r\n]*(?:\r\n|\r|\n|\Z)){1,2}")
_BLANK = b" \t\f"

_ALIASES = frozenset({"utf8", "u8"})
"""Of UTF-8, without a byte order mark: beside one Python takes the name itself only."""


class Coding(NamedTuple):
    """A declared encoding, and the line that declares it."""

    name: str
    line: int

    def is_utf8(self, *, bom: bool) -> bool:
        """Whether Python takes it for UTF-8, ``utf-8-sig`` and Emacs' ``utf-8-unix`` included."""
        name = self.name.lower().replace("_", "-")
        return name == "utf-8" or name.startswith("utf-8-") or (name in _ALIASES and not bom)


def declared_coding(data: bytes) -> Coding | None:
    """Return the encoding that a script's first two lines name, None if they name none.

    Lines end where Python ends them: at CR, LF and both.
    """
    head = _FIRST_LINES.match(data.removeprefix(BOM))
    for number, line in enumerate(_LINE_END.split(head[0])[:2] if head else (), start=1):
        if cookie := COOKIE.match(line):
            return Coding(cookie[1].decode("ascii"), number)
        if line.strip(_BLANK) and not line.lstrip(_BLANK).startswith(b"#"):
            return None
    return None


def foreign_coding(data: bytes) -> Coding | None:
    """Return the declared encoding of a script if it is another one than UTF-8."""
    found = declared_coding(data)
    return None if found is None or found.is_utf8(bom=data.startswith(BOM)) else found


def coding_problem(data: bytes) -> str | None:
    """Say in one sentence what is wrong with a script's declared encoding, and what to do."""
    found = foreign_coding(data)
    if found is None:
        return None
    said = f"It declares the encoding {found.name[:MAX_NAME]} in line {found.line}, but scripts are UTF-8"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return f"{said}: convert it, for example with iconv, and take that declaration out."
    return f"{said}: take that declaration out."
