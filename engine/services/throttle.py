"""Count refused logins by address, and say when one has had enough of them for now."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network, ip_address

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


def origin_of(address: str) -> str:
    """Return what an address counts as: itself, or the network of 64 bits that one host has (RFC 4291).

    An IPv4 address that a socket of both families shows as a mapped one is that IPv4 address.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))
