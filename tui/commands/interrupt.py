"""Ctrl+C while a run goes on: the first one asks the engine to stop it, the second one leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType, TracebackType
from typing import Self

from tui.commands import exit_codes


class Interrupts:
    """SIGINT for as long as the block lasts.

    It is a plain signal handler, not the loop's: while the loop waits for a slow reader of our output, a second Ctrl+C
    must still get the user out.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        """Set by the first Ctrl+C."""
        self.run_id: int | None = None
        """Named to the user who leaves while the run may go on."""
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._leave)
        self._loop.call_soon_threadsafe(self.requested.set)  # the only call that also wakes a waiting loop

    def _leave(self, _signal: int, _frame: FrameType | None) -> None:
        if self.run_id is None:
            text = "\ngatewright: left before the engine named the run; see gatewright runs list\n"
        else:
            text = f"\ngatewright: left; run {self.run_id} may go on: gatewright runs show {self.run_id}\n"
        os.write(2, text.encode())
        os._exit(exit_codes.CANCELLED)
