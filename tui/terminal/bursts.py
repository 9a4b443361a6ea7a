"""Tell what a person typed from what was pasted, where the terminal does not say which.

A terminal that brackets pasted text says so. Others send it as if it had been typed: the Linux console, a serial line,
tmux when it is told to. Nobody types two keys so fast that one read of the terminal brings both, but a slow line
bunches what was typed. So keys that mean more than a character keep their meaning wherever they stand, and only a run
of characters, tabs and line ends with a line end among them is a paste.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from textual import events
from textual.message import Message

LINE_ENDS = {"enter": "\r", "ctrl+j": "\n"}
"""Keys that a terminal sends for CR and LF."""

PACE = 0.005
"""Seconds between two keys of a paste that a slow line lets through one by one; a person needs several times that."""

QUICK_KEYS = 2
"""Keys at that pace after which the next one was not typed by a person."""

MOST_TYPED = 64
"""Characters in one read above which they are a paste also without a line end, unless a tab among them leads on."""

PASTE_GOES_ON = 0.05
"""Seconds of silence after which a paste is over. Until then it is held back, so that it is one paste."""

LONGEST_PASTE = 1024 * 1024
"""Characters after which a paste is handed on although it goes on."""


class KeyBurst(events.Event, bubble=False):
    """Characters and tabs that came at once, without a line end: typed on a slow line, or pasted.

    Attributes:
        keys: In the order in which they came.
    """

    def __init__(self, keys: Sequence[events.Key]) -> None:
        super().__init__()
        self.keys = keys


class Bursts:
    """Goes over what the terminal sent, one read after the other."""

    def __init__(self) -> None:
        self._quick = 0
        """Text keys that came at the pace of a paste, up to now."""
        self._last = 0.0
        self._paste: list[str] = []

    @property
    def holds_paste(self) -> bool:
        """Whether a paste waits for its end."""
        return bool(self._paste)

    def take(self, messages: Iterable[Message], now: float) -> Iterator[Message]:
        """Return what one read of the terminal brought, with text that was pasted as ``Paste``.

        Args:
            messages: What was read.
            now: When, in seconds of a monotonic clock.
        """
        run: list[events.Key] = []
        for message in messages:
            if now - self._last > PACE:
                self._quick = 0
            self._last = now
            if isinstance(message, events.Key) and _text_of(message) is not None:
                run.append(message)
            elif isinstance(message, events.MouseMove):
                yield message  # the mouse may be moved during a paste
            else:
                yield from self._end_of_run(run)
                yield from self.release()
                yield message
                run, self._quick = [], 0
        yield from self._end_of_run(run)

    def release(self) -> Iterator[Message]:
        """Return the paste that waits, if there is one: it is over."""
        if self._paste:
            yield events.Paste("".join(self._paste).replace("\0", ""))
            self._paste = []

    def _end_of_run(self, run: Sequence[events.Key]) -> Iterator[Message]:
        if not run:
            return
        keys = {key.key for key in run}
        pasted = not keys.isdisjoint(LINE_ENDS) or (len(run) > MOST_TYPED and "tab" not in keys)
        alone = len(run) == 1 and self._quick < QUICK_KEYS
        self._quick += len(run)
        if self._paste or (pasted and not alone):
            self._paste += [_text_of(key) or "" for key in run]
            if len(self._paste) > LONGEST_PASTE:
                yield from self.release()
        elif alone:
            yield run[0]
        else:
            yield KeyBurst(run)


def _text_of(key: events.Key) -> str | None:
    """Return the character that a key stands for in pasted text; None for a key that is none."""
    if key.key in LINE_ENDS:
        return LINE_ENDS[key.key]
    if key.key == "tab":
        return "\t"
    modified = key.key.startswith(("alt+", "ctrl+", "super+", "hyper+", "meta+"))
    return key.character if key.is_printable and not modified else None
