"""How fast a run's child is read: a token bucket, so that no run takes the engine's time from everybody else.

Who writes faster is read later, and waits in its own write (backpressure): slowness is never a reason to end a run.
"""

from __future__ import annotations

import time

PER_SECOND = 100_000
"""Tokens that come back in a second. A token is about 0.2 us of the engine: a run has 2 % of a core, and as much again
for what followers and records are told of it."""

BURST = 75_000
"""Tokens that a run begins with and may save up: 1,500 lines that each wake the engine, 15 ms of it in all."""

FRAME = 1
"""Tokens for a frame."""

SMALL_READ = 50
"""Tokens for a wake-up that brought less than ``SMALL`` bytes."""

SMALL_READ_OF_BATCH = 4
"""The same where macros are called: each of ten thousand tags may ask for documents, and waits for the answer. Such a
batch may have a core of the engine's; what others ask has its turn between any two of its calls."""

SWITCH = 25
"""Tokens for output of another stream than before: it begins a chunk, and a row in the records. It costs four times as
much, but scripts that print and log in turns are ordinary, and the time that they wait counts for their limit."""

SMALL = 4 << 10
FREE_OF_CALL = 1 << 10
CALL_BYTES = 200
"""A call costs a token for so many bytes, the first ``FREE_OF_CALL`` of them apart: they are searched and decoded."""

MAX_NESTED = 10_000
"""Lists and objects that a call may hold: decoding them keeps the event loop for 10 ms and more."""

FREE_NESTED = 16
NESTED = 5
"""Tokens for each list and object in a call above so many: of all that JSON can hold, they take longest by far, since
the collector looks at all of them again and again."""

PAUSE = 0.002
"""Seconds at least until a run that is out of tokens is read again: what it writes meanwhile comes in one read."""

PAUSES = 500
LONG_PAUSE = 0.01
"""The same for a run that goes on so after ``PAUSES`` of them, a second or more of nothing but tiny frames: the engine
is woken less often for it, and its text is still shown at once."""

HELD = 0.005
"""Seconds until a run is looked at again that is not read because a follower has as much to read as may wait."""

FRAMES_PER_TURN = 512
"""Frames of one run that are acted on before everything else in the event loop has its turn."""


def of_call(payload: bytes) -> float:
    """Tokens that a call costs beside its frame: as good as none for most."""
    nested = payload.count(b"{") + payload.count(b"[")
    return max(0, len(payload) - FREE_OF_CALL) / CALL_BYTES + max(0, min(nested, MAX_NESTED) - FREE_NESTED) * NESTED


class Pace:
    """What one run may still have read now."""

    __slots__ = ("_at", "_pauses", "_tokens")

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._at = time.monotonic()
        self._pauses = 0
        """Since it had all its tokens."""

    def spend(self, tokens: float) -> None:
        self._tokens -= tokens

    def pause(self) -> float:
        """Seconds to wait before the next read, 0 for none."""
        if self._tokens > 0:
            return 0.0
        now = time.monotonic()
        self._tokens += (now - self._at) * PER_SECOND
        self._at = now
        if self._tokens > 0:
            if self._tokens >= BURST:
                self._tokens, self._pauses = float(BURST), 0
            return 0.0
        pause = PAUSE if self._pauses < PAUSES else LONG_PAUSE
        self._pauses += 1
        return max(pause, -self._tokens / PER_SECOND)
