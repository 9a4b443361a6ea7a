"""Whether the host has memory for one run more, if those that go on take all that they asked for.

What they hold already is missing from what is available, so only the rest of it counts. The figures of the host are
read when the sum could matter; while it is far from it, they may be a second old.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.sandbox.host_memory import HostMemory
from store.sizes import describe_size

TIGHT = 0.05
EASY = 1.0
"""Seconds for which a figure is used again: near what is available, and below half of it."""

STEP = 64 << 20
"""Bytes to which free memory is rounded in a queue reason: clients are told each time that the reason changes."""

ReadMemory = Callable[[], HostMemory | None]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run that goes on may take. ``held`` says how much of it that is by now, in bytes."""

    asked: int
    held: Callable[[], int]


class MemoryGauge:
    """Reads the host's figures, seldom.

    Args:
        read: What the host has; None where it does not say, and then every run fits.
        reserve: Bytes that stay free for everybody else.
    """

    def __init__(self, read: ReadMemory, reserve: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self.reserve = reserve
        self._known: HostMemory | None = None
        self._read_at = float("-inf")

    def now(self) -> HostMemory | None:
        self._known, self._read_at = self._read(), self._clock()
        return self._known

    def lately(self, needed: int) -> HostMemory | None:
        """A figure fresh enough to compare ``needed`` bytes with."""
        age = self._clock() - self._read_at
        if age >= EASY:
            return self.now()
        known = self._known
        return known if known is None or age < TIGHT or 2 * needed <= known.available else self.now()


class MemoryRoom:
    """The room at one moment, beside the runs that have ``claims``."""

    def __init__(self, gauge: MemoryGauge, claims: Sequence[Claim]) -> None:
        self._gauge = gauge
        self._claims = claims
        self._claimed = sum(claim.asked for claim in claims)
        self._host: HostMemory | None = None
        self._room = 0
        self._exact = False

    def fits(self, asked: int) -> bool:
        """Whether a run that asks for ``asked`` bytes could take them all."""
        most = self._claimed + asked
        host = self._gauge.lately(most)
        # Sufficient without reading what each run holds: the full claims fit.
        return host is None or most <= host.available - self._gauge.reserve or asked <= self._exact_room()

    def wait_reason(self, asked: int) -> str:
        """Say why a run that does not fit waits. After ``fits``."""
        steps = max(0, self._room) // STEP
        free = f"about {describe_size(steps * STEP)}" if steps else f"less than {describe_size(STEP)}"
        return f"it asks for {describe_size(asked)} of memory; {free} are free beside what running scripts may take"

    def refusal(self, asked: int) -> str:
        """Say why a run is refused that does not fit although nothing runs. After ``fits``."""
        host, reserve = self._host, self._gauge.reserve
        assert host is not None, "everything fits where the host says nothing"  # noqa: S101
        kept = f", of which {describe_size(reserve)} stay free" if reserve else ""
        has = f"{host.giver} {describe_size(host.available)} available{kept}"
        return f"The run asks for {describe_size(asked)} of memory; {has}."

    def _exact_room(self) -> int:
        if not self._exact:
            # The host first: what a run takes between the two looks then counts twice, never not at all.
            self._host = self._gauge.now()
            available = 0 if self._host is None else self._host.available
            rest = sum(max(0, claim.asked - claim.held()) for claim in self._claims)
            self._room = available - self._gauge.reserve - rest
            self._exact = True
        return self._room
