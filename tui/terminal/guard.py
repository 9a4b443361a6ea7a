"""The last gate before the terminal: no text of others drives it.

A terminal obeys C0, DEL and C1 control characters wherever they come from (ECMA-48), and bidirectional controls
reorder what a person reads (Unicode TR 9, "Trojan Source"). Widgets that show text of others draw such characters
with ``pictures``, one cell each, so that columns keep their place. ``HostileTextFilter`` then goes over everything
any widget drew and drops what is left: such characters have no width, so the layout does not change. Names, titles
and messages are made readable by ``tui.text.sanitise``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.filter import LineFilter

from engine.models.hidden import HIDDEN

if TYPE_CHECKING:
    from rich.style import Style
    from textual.color import Color

SUBSTITUTE = "\u2426"
"""SYMBOL FOR SUBSTITUTE FORM TWO: one cell wide everywhere, unlike the replacement character."""

_DELETE = 0x7F
_BIDI_AND_SEPARATORS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_SURROGATES = range(0xD800, 0xE000)

_PICTURES: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    _DELETE: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), SUBSTITUTE),
    **dict.fromkeys(_BIDI_AND_SEPARATORS, SUBSTITUTE),
    **dict.fromkeys(_SURROGATES, SUBSTITUTE),
}
_PICTURES_BUT_TAB = {code: picture for code, picture in _PICTURES.items() if code != 0x09}
_NOTHING: dict[int, None] = dict.fromkeys(_PICTURES)


def pictures(text: str) -> str:
    """``text`` with each control character drawn as one visible cell; tabs stay, and so does the number of
    characters."""
    return text if text.isprintable() else text.translate(_PICTURES_BUT_TAB)


def code_pictures(text: str) -> str:
    """As ``pictures``, with a picture also for what has no shape: in code nothing hides, not even in a name."""
    return HIDDEN.sub(_picture, text) if not text.isascii() else pictures(text)


def is_harmless(text: str) -> bool:
    """Whether a terminal only draws ``text``."""
    return text.isprintable() or text.translate(_NOTHING) == text


class HostileTextFilter(LineFilter):
    """Drops control characters, and hyperlinks that hold any, from every line that a widget drew.

    An app returns it from ``get_line_filters`` behind the filters that are there. Control characters have no width,
    so a line keeps its length.
    """

    def __eq__(self, other: object) -> bool:
        """All are one: what was filtered by one need not be filtered again by another."""
        return isinstance(other, HostileTextFilter)

    def __hash__(self) -> int:
        return hash(HostileTextFilter)

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002  (the interface's)
        if all(_is_safe(segment) for segment in segments):
            return segments
        cleaned = (Segment(text.translate(_NOTHING), _safe_style(style)) for text, style, _control in segments)
        return [segment for segment in cleaned if segment.text]


def _picture(match: re.Match[str]) -> str:
    return _PICTURES.get(ord(match[0]), SUBSTITUTE)


def _is_safe(segment: Segment) -> bool:
    style = segment.style
    return (
        segment.text.isprintable()
        and not segment.control
        and (style is None or not style.link or is_harmless(style.link))
    )


def _safe_style(style: Style | None) -> Style | None:
    """``style`` without a link that would end its own escape sequence and begin another (OSC 8)."""
    if style is None or not style.link or is_harmless(style.link):
        return style
    return style.update_link(None)
