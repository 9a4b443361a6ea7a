"""The engine's latest log lines, kept in memory so that clients without an account on the host can read them."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

LINES = 1000
LONGEST = 4000
"""Characters of a line with its traceback; the middle of a longer one is left out."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""All control characters but tab and line feed, and those that turn the direction of text."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """``level`` is one of Python's numbers. ``message`` holds no control characters but line ends and tabs."""

    id: int
    at: float
    level: int
    logger: str
    message: str


class RecentLog(logging.Handler):
    """Numbers lines from 1 on, in the order of their arrival. It may be called from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._lines: deque[LogLine] = deque(maxlen=LINES)
        self._last = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as text: its arguments may change, or hold on to much. Called with the handler's lock held."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - a message that does not fit its arguments is one line the less, as in logging
            self.handleError(record)
            return
        self._last += 1
        self._lines.append(LogLine(self._last, record.created, record.levelno, record.name, plain(text)))

    def newest_first(self) -> Iterator[LogLine]:
        self.acquire()
        try:
            lines = list(self._lines)
        finally:
            self.release()
        return reversed(lines)


def plain(text: str) -> str:
    """Escape what a terminal or JSON could not take, and leave out the middle of what is too long."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
    text = text.encode("utf-8", "backslashreplace").decode()  # names of files may hold lone surrogates
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
