"""When a burst of changes is over: an editor's save is three of them, a checkout thousands."""

from __future__ import annotations

from store.files.listing import Stamp

QUIET = 0.15
"""Seconds without another change after which a burst is over."""

LIMIT = 0.8
"""Seconds after which it counts as over anyway: somebody who writes all the time must not keep everybody uninformed."""

LOCKED_LIMIT = 10.0
"""Seconds for which a git that holds its lock is waited for. ``git commit -a`` holds it while a message is written."""

LOCKED_LOOK = 0.25
"""Seconds between two looks at the lock; usually its end is heard before."""


class Debounce:
    """One burst. Times are of any one monotonic clock, in seconds.

    Args:
        now: When the first change was heard.
        ignored: A lock that nobody is waited for any more.
    """

    def __init__(self, now: float, ignored: Stamp | None = None) -> None:
        self._first = self._since = self._last = now
        self.ignored = ignored
        """A lock that was waited for in vain: what a git that was killed leaves behind."""

    def notified(self, now: float) -> None:
        """There was another change."""
        self._last = now

    def rest(self, now: float, lock: Stamp | None) -> float:
        """Seconds to wait for before asking again; 0 when the burst is over.

        Args:
            now: The time.
            lock: What says that git is at work, and who; None if it is not.
        """
        if lock is not None and lock != self.ignored:
            if now - self._first < LOCKED_LIMIT:
                self._since = now
                return LOCKED_LOOK
            self.ignored = lock
        return max(0.0, min(self._last + QUIET, self._since + LIMIT) - now)
