"""Where a command writes: the script's own text and tables to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from tui.text.sanitise import sanitise, sanitise_line

FAILED, PLAIN = b"\x1b[31m", b"\x1b[39m"
"""Red as the terminal has it, and the terminal's own colour again (ECMA-48, SGR)."""


class Writer:
    """One of the process's output streams.

    A terminal gets sanitised text; a pipe or a file gets exactly what the script wrote. When the reader has gone,
    ``closed`` says so and what follows is dropped: a closed pipe is how ``head`` says "enough", not a failure.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """``stream`` is None when the process was started with that descriptor closed: then nobody wants to read."""
        self._stream = stream
        self.closed = False
        self.is_terminal = stream is not None and stream.isatty()
        self.problem: str | None = None
        """Why it could not take everything, a reader that left apart."""
        self._mid_line = False
        # https://no-color.org; a terminal that says dumb obeys no sequence.
        self._colours = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """Write and flush."""
        if not text:
            return
        self._mid_line = not text.endswith("\n")
        self._send((sanitise(text) if self.is_terminal else text).encode(self._encoding, "backslashreplace"))

    @property
    def _encoding(self) -> str:
        return self._stream.encoding if self._stream is not None and self.is_terminal else "utf-8"

    def line(self, text: str = "", *, failed: bool = False) -> None:
        """Write a line; one that tells of a failure is red where a terminal shows colours."""
        if failed and self._colours:
            self._send(FAILED)
            self.write(text)
            self._send(PLAIN)
            text = ""
        self.write(text + "\n")

    def overwrite(self, text: str) -> None:
        """Show ``text`` in place of a terminal's current line (ECMA-48: CR, then EL erases the rest)."""
        if self.is_terminal:
            self._send(f"\r{sanitise_line(text)}\x1b[K".encode(self._encoding, "backslashreplace"))

    @property
    def replaces(self) -> bool:
        """Whether lines can be written in place of others."""
        return self.is_terminal and os.environ.get("TERM", "dumb") != "dumb"

    def replace_lines(self, count: int, lines: Sequence[str]) -> None:
        """Write ``lines`` in place of the last ``count`` ones (ECMA-48: CUU goes up, EL and ED erase what is left)."""
        up = f"\x1b[{count}A" if count else ""
        shown = "".join(f"\r{sanitise_line(line)}\x1b[K\n" for line in lines)
        self._send(f"{up}{shown}\x1b[J".encode(self._encoding, "backslashreplace"))

    @property
    def mid_line(self) -> bool:
        """Whether the line that was written last has no end yet."""
        return self._mid_line

    def fresh_line(self) -> None:
        """End the line that the script left open, if it did."""
        if self._mid_line:
            self.line()

    def _send(self, data: bytes) -> None:
        if self._stream is None or self.closed:
            return
        try:
            self._stream.buffer.write(data)
            self._stream.buffer.flush()
        except BrokenPipeError:
            self._drop()
        except OSError as error:
            self.problem = error.strerror
            self._drop()

    def _drop(self) -> None:
        """The interpreter flushes once more at exit: let that go nowhere, quietly."""
        self.closed = True
        if self._stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class Streams:
    """Both output streams of a command."""

    def __init__(self) -> None:
        self.out = Writer(sys.stdout)
        self.err = Writer(sys.stderr)
        self.for_same_engine: Callable[[str], str] = str
        """Has command lines in a sentence name the engine that this command is for."""

    def notify(self, message: str, hint: str | None = None, *, failed: bool = False) -> None:
        """A message of ours, to stderr."""
        self.err.fresh_line()
        self.err.line(f"gatewright: {self._told(message)}", failed=failed)
        if hint:
            self.err.line(f"  {self._told(hint)}")

    def _told(self, sentence: str) -> str:
        """Return a sentence; on a terminal its further lines are indented, so that none looks like one of ours."""
        told = self.for_same_engine(sentence)
        return sanitise(told).replace("\n", "\n  ") if self.err.is_terminal else told
