"""Going from one text style to another with as few bytes as possible (SGR: ECMA-48 8.3.117; links: OSC 8)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class TextStyle(NamedTuple):
    """What a terminal writes with.

    Attributes:
        sgr: The parameters of the SGR sequence that sets it from plain, such as ``1;38;5;3``.
        link: The OSC 8 string that opens its link, or nothing.
    """

    sgr: str = ""
    link: str = ""


PLAIN = TextStyle()


@lru_cache(16384)
def transition(old: TextStyle, new: TextStyle) -> str:
    """What to write to go from ``old`` to ``new``."""
    if old == new:
        return ""
    link = "" if old.link == new.link else f"\x1b]{new.link or '8;;'}\x1b\\"
    return link + _sgr_transition(old.sgr, new.sgr)


def _sgr_transition(old: str, new: str) -> str:
    if old == new:
        return ""
    if not new:
        return "\x1b[m"
    was, becomes = _parts(old), _parts(new)
    only_colours_change = was.attributes == becomes.attributes
    nothing_to_unset = (becomes.foreground or not was.foreground) and (becomes.background or not was.background)
    if only_colours_change and nothing_to_unset:
        changed = [
            colour
            for colour, before in ((becomes.foreground, was.foreground), (becomes.background, was.background))
            if colour != before
        ]
        return f"\x1b[{';'.join(changed)}m" if changed else ""
    return f"\x1b[0;{new}m" if old else f"\x1b[{new}m"


class _Parts(NamedTuple):
    attributes: str
    foreground: str
    background: str


@lru_cache(4096)
def _parts(sgr: str) -> _Parts:
    """``1;38;2;9;9;9;44`` -> bold, the foreground and the background, each as it is written."""
    codes = sgr.split(";") if sgr else []
    attributes: list[str] = []
    foreground = background = ""
    index = 0
    while index < len(codes):
        code = codes[index]
        # 38;2;R;G;B and 38;5;N.
        length = (5 if codes[index + 1 : index + 2] == ["2"] else 3) if code in ("38", "48") else 1
        written = ";".join(codes[index : index + length])
        if _is_foreground(code):
            foreground = written
        elif _is_background(code):
            background = written
        else:
            attributes.append(code)
        index += length
    return _Parts(";".join(attributes), foreground, background)


def _is_foreground(code: str) -> bool:
    return code in ("38", "39") or (code.isdecimal() and (30 <= int(code) <= 37 or 90 <= int(code) <= 97))


def _is_background(code: str) -> bool:
    return code in ("48", "49") or (code.isdecimal() and (40 <= int(code) <= 47 or 100 <= int(code) <= 107))
