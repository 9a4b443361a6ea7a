"""Count refused logins by address, and say when one has had enough of them for now."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

FAILURES = 10
"""Refused logins of one address within ``WINDOW``; those that follow are answered without a look at why."""

WINDOW = 60.0
"""Seconds."""

ADDRESSES = 1024
"""Addresses that are remembered; of more than that, the one that failed longest ago is forgotten."""


class LoginThrottle:
    """The refused logins of the last minute. What a valid token asks is none of its business.

    Args:
        clock: Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str) -> float | None:
        """Note a refused login. Return the seconds until ``address`` may try again; None while it may at once.

        An attempt that is throttled is not counted: who goes on at the same pace gets its turn when the first ones
        are a minute old.
        """
        now = self._clock()
        failures = self._failures.get(address)
        if failures is None:
            failures = self._failures[address] = deque(maxlen=FAILURES)
            if len(self._failures) > ADDRESSES:
                self._failures.popitem(last=False)
        self._failures.move_to_end(address)
        if len(failures) == FAILURES and now - failures[0] < WINDOW:
            return WINDOW - (now - failures[0])
        failures.append(now)
        return None
