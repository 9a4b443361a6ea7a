"""Lines that are written again from their start, as progress bars do: overwritten text does not count as output.

A carriage return takes the next character to the start of the line (ECMA-48, 8.3.15). What stood there is gone as far
as what follows reaches, or all of it when that erases the line. A text that is longer than all that follow it still
shows its end, so it stays.

A script decides what is looked at here, so each look is bounded: a flood of returns costs no more than other output.
"""

from __future__ import annotations

import re

LONGEST = 4 << 10
"""Characters of a line without an end that are remembered. What is longer is kept as it was written."""

MOST_TEXTS = 64
"""Texts of one line that are compared, the last ones; older ones have been overwritten that often."""

MOST_LINES = 256
"""Returns in what is written at once up to which every line of it is looked at; else only the first and the last."""

MOST_COLOURS = 8
"""Colours of overwritten text that what follows is still given."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
"""Control sequences, operating system commands, and the short ones (ECMA-48, 5.3 to 5.6)."""
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_RESET = re.compile(r"\x1b\[0*m")
_ERASES = re.compile(r"\x1b\[[02]?K")
"""Erase in line (ECMA-48, 8.3.41), of its end or of all of it: nothing older shows beside such a text."""


class RewritableLine:
    """The line of one stream that has no end yet."""

    __slots__ = ("_lost", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._lost = False
        """It is longer than what is remembered of a line."""

    def take(self, text: str) -> tuple[str, bool]:
        """Take what is written next.

        Returns:
            What to keep of it, and whether that stands for the whole open line: then what was kept of that goes. It
            begins with a return in that case, so that it comes right for a reader who has seen the line so far, too.
        """
        if "\r" in text:
            return self._take_rewritten(text)
        _, ended, rest = text.rpartition("\n")
        self._remember(rest if ended else self._text + rest, ended=bool(ended))
        return text, False

    def _take_rewritten(self, text: str) -> tuple[str, bool]:
        first, ended, rest = text.partition("\n")
        before = self._text
        whole = before + first
        line = first if self._lost else squeezed(whole)
        replaces = bool(before) and line is not whole
        if before:
            line = "\r" + line.removeprefix("\r") if replaces else first
        if not ended:
            self._remember(line if replaces else before + line, ended=False)
            return line, replaces
        lines = rest.split("\n")
        if text.count("\r") <= MOST_LINES:
            lines = [squeezed(each) for each in lines]
        else:
            lines[-1] = squeezed(lines[-1])
        self._remember(lines[-1], ended=True)
        return "\n".join((line, *lines)), replaces

    def _remember(self, text: str, *, ended: bool) -> None:
        self._lost = len(text) > LONGEST or (self._lost and not ended)
        self._text = "" if self._lost else text


def squeezed(line: str) -> str:
    """``line`` without the texts that were overwritten on it; the same object if there are none."""
    if line.find("\r", 0, -1) < 0:
        return line
    texts = line.rsplit("\r", MOST_TEXTS)
    dropped = len(texts) > MOST_TEXTS and texts.pop(0) != ""
    kept: list[str] = []
    gone: list[str] = []
    """Between the last one of ``kept`` and the one that is looked at; both from the end of the line on."""
    widest = -1.0
    for text in reversed(texts):
        width = _width(text)
        if width <= widest:
            gone.append(text)
            dropped = dropped or text != ""
        else:
            _colour(kept, gone)
            kept.append(text)
            widest = width
        if _ERASES.search(text):
            widest = float("inf")
    if not dropped:
        return line
    _colour(kept, gone)
    return "\r".join(reversed(kept))


def _colour(kept: list[str], gone: list[str]) -> None:
    """Give the last of ``kept`` the colours that the texts before it, which go, have left on."""
    if gone:
        effect = _COLOUR.findall(_RESET.split("".join(reversed(gone)))[-1])
        kept[-1] = "".join(effect[-MOST_COLOURS:]) + kept[-1]
        gone.clear()


def _width(text: str) -> int:
    return len(_SEQUENCE.sub("", text)) if "\x1b" in text else len(text)
