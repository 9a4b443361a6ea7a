"""A terminal driver that reads the terminal itself, since only who reads knows what came at once."""

from __future__ import annotations

import os
import select
import signal
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tui.terminal.bursts import PASTE_GOES_ON, Bursts

POLL = 0.1
"""Seconds between two looks whether the driver is to stop, and whether an escape was a key of its own."""

_PIECE = 4096
"""Bytes; no terminal hands over more at once."""

_MOST_AT_ONCE = 64 * 1024
"""Bytes that are taken in as one read while more is there."""


class KeyboardDriver(LinuxDriver):
    """Textual's own driver, with pasted text as ``Paste`` whatever the terminal says, and bunched keys as
    ``KeyBurst``."""

    def run_input_thread(self) -> None:
        """Read the terminal until the driver stops or the terminal is gone."""
        parser = XTermParser(self._debug)
        # A paste may hold anything: what is no UTF-8 must not end the console.
        decode = getincrementaldecoder("utf-8")("replace").decode
        bursts = Bursts()
        while not self.exit_event.is_set():
            if self._has_input(PASTE_GOES_ON if bursts.holds_paste else POLL):
                data = self._read()
                if not data:
                    # Nobody is there any more; with the hangup ignored (nohup) nothing else would say so.
                    os.kill(os.getpid(), signal.SIGHUP)
                    return
                self._process(bursts.take(parser.feed(decode(data)), time.monotonic()))
            else:
                self._process(bursts.release())
            self._process(bursts.take(parser.tick(), time.monotonic()))

    def _process(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.process_message(message)

    def _has_input(self, seconds: float) -> bool:
        return bool(select.select([self.fileno], [], [], seconds)[0])

    def _read(self) -> bytes:
        """Return all that has arrived; nothing when the terminal is gone."""
        data = b""
        try:
            while True:
                piece = os.read(self.fileno, _PIECE)
                data += piece
                if not piece or len(data) >= _MOST_AT_ONCE or not self._has_input(0):
                    return data
        except OSError:  # EIO: the other end of the terminal is closed
            return data
