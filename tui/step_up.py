"""Whether the console is in ADMIN: by explicit choice, for a few minutes, never at the start and nowhere kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.models import Mode

STEP_UP = 300.0
"""Seconds after which the console falls back to RESTRICTED."""


STILL_MEANT = 1.0
"""Seconds after ADMIN ended by itself in which no run is sent: its key was on its way before the user could know."""


class StepUp:
    """The choice and its end.

    Args:
        now: A clock that nobody can set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = 0.0

    @property
    def mode(self) -> Mode:
        """What runs that start now are."""
        return Mode.ADMIN if self.remaining > 0 else Mode.RESTRICTED

    @property
    def remaining(self) -> float:
        """Seconds until the fall back; 0 when not in ADMIN."""
        return max(0.0, self._until - self._now())

    @property
    def just_ended(self) -> bool:
        """Whether ADMIN ended a moment ago, and not because the user left it."""
        return 0 < self._until <= self._now() < self._until + STILL_MEANT

    def begin(self) -> None:
        self._until = self._now() + STEP_UP

    def end(self, *, by_user: bool) -> None:
        self._until = 0.0 if by_user else min(self._until, self._now())
