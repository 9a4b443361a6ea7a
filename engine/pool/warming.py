"""Which slots have packages imported ahead: as many as runs ask for, within the memory that they may take together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.pool.job import Profile
from engine.pool.memory_watch import private
from engine.pool.settings import PoolSettings
from engine.pool.slot import Slot
from store.sizes import describe_size

KEEP_GAPS = 4.0
"""A slot stays as it is for so many times the usual time between two runs that want it so."""

LONGEST_KEEP = 3600.0
"""Seconds that it stays so at most, and between two runs at which the second one is no repetition."""

TRY_AGAIN = 600.0
"""Seconds after which a profile is tried again whose zygote could not be started."""

MAX_USES = 64
"""Profiles whose runs are remembered."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Use:
    """When runs wanted a profile. Seconds."""

    last: float
    gap: float | None = None
    """Usual time between two of them; None after the first."""

    def again(self, now: float) -> None:
        gap, self.last = now - self.last, now
        if gap > LONGEST_KEEP:
            self.gap = None
        else:
            self.gap = gap if self.gap is None else (self.gap + gap) / 2

    def keep(self, least: float) -> float:
        """Return for how long after the last one a slot is worth keeping."""
        return least if self.gap is None else min(LONGEST_KEEP, max(least, KEEP_GAPS * self.gap))


class WarmingOwner(Protocol):
    """The pool, as its warming sees it."""

    @property
    def usual(self) -> Profile: ...

    def slots(self) -> Sequence[Slot]: ...


class Warming:
    """Has slots changed while they idle, or beside what they run: no run ever waits for it.

    What a profile takes is known once one slot had it; what is too much goes again and is not tried a second time.
    """

    def __init__(
        self, settings: PoolSettings, owner: WarmingOwner, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = settings.preload_memory
        self._least_keep = settings.profile_keep
        self._owner = owner
        self._clock = clock
        self._uses: dict[Profile, Use] = {}
        self._costs: dict[Profile, int] = {}
        self._failed: dict[Profile, float] = {}
        self._plain = 0
        """Bytes of a child with nothing imported ahead."""
        self._task: asyncio.Task[None] | None = None

    def wanted(self, profile: Profile) -> None:
        """Take note of a run that wants what this profile has imported ahead."""
        now = self._clock()
        if (use := self._uses.get(profile)) is not None:
            use.again(now)
            return
        if len(self._uses) >= MAX_USES:
            del self._uses[min(self._uses, key=lambda known: self._uses[known].last)]
        self._uses[profile] = Use(now)

    def missed(self, profile: Profile, bare: Profile) -> None:
        """Make a slot of ``bare`` ready for the next run of ``profile``."""
        if self._task is not None and not self._task.done():
            return
        found = self._spare(profile, bare)
        if found is not None:
            self._task = asyncio.get_running_loop().create_task(self._warm(*found, bare), name="warm a slot")

    def expired(self, slot: Slot) -> bool:
        """Whether the runs that wanted what a slot has have not come for so long that it may be a usual one again."""
        now = self._clock()
        uses = [use for profile, use in self._uses.items() if slot.profile.serves(profile)]
        return all(now - use.last >= use.keep(self._least_keep) for use in uses)

    def left_out(self, profile: Profile) -> str | None:
        """Return why a slot is not made for a profile, as a part of a sentence; None if it may be."""
        if self._taken() + self._costs.get(profile, 0) < self._budget:
            return None
        allowed = f"pool.preload_memory allows {describe_size(self._budget)}"
        if (cost := self._costs.get(profile, 0)) >= self._budget > 0:
            return f"it takes {describe_size(cost)} in each slot that has it, and {allowed} in all"
        return f"{allowed} for that in all" if self._budget else "pool.preload_memory is 0"

    def too_large(self, profile: Profile) -> bool:
        """Whether no slot can ever have it within the budget."""
        return self._costs.get(profile, 0) >= self._budget

    def look(self, slot: Slot) -> None:
        """Measure what a slot's profile takes, when it is ready with it for the first time."""
        if not slot.profile.preloads:
            if not self._plain and slot.pid is not None:
                self._plain = private(slot.pid)
        elif slot.profile not in self._costs and slot.profile != self._owner.usual and slot.pid is not None:
            self._note_cost(slot.profile, slot.pid)
            if self._taken() > self._budget and (self._task is None or self._task.done()):
                self._task = asyncio.get_running_loop().create_task(self._cool(slot), name="cool a slot")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _taken(self) -> int:
        """Bytes that all slots take for what they have imported ahead."""
        usual = self._owner.usual
        profiles = [slot.coming or slot.profile for slot in self._owner.slots()]
        return sum(self._costs.get(profile, 0) for profile in profiles if profile.preloads and profile != usual)

    def _spare(self, profile: Profile, bare: Profile) -> tuple[Slot, Profile] | None:
        """Return the slot to warm and what for; the last usual one is never taken."""
        slots = [slot for slot in self._owner.slots() if not slot.leaving and slot.coming is None]
        plain = [slot for slot in slots if slot.profile == bare]
        if bare == self._owner.usual:
            usual = sum(slot.profile == bare for slot in self._owner.slots() if not slot.resting)
            plain = plain if usual > 1 else []
        if plain and not self._has_failed(profile) and self.left_out(profile) is None:
            return max(plain, key=lambda slot: (slot.idle, slot.number)), profile
        # None to spare: then one that is warm already gets the one thing and the other.
        for slot in sorted(slots, key=lambda slot: (not slot.idle, slot.used)):
            more = slot.profile.with_preloads(profile.preloads)
            warm = slot.profile != bare and slot.profile.serves(bare) and more.serves(profile)
            if warm and not self._has_failed(more) and self._may_grow(slot.profile, more):
                return slot, more
        return None

    def _has_failed(self, profile: Profile) -> bool:
        return self._clock() - self._failed.get(profile, float("-inf")) < TRY_AGAIN

    def _may_grow(self, profile: Profile, more: Profile) -> bool:
        known = self._costs.get(profile, 0)
        return more != profile and self._taken() - known + max(known, self._costs.get(more, 0)) < self._budget

    async def _warm(self, slot: Slot, profile: Profile, bare: Profile) -> None:
        problem = await slot.succeed(profile)
        if problem is not None:
            # What cannot be imported is the run's to tell of, in its own words.
            log.info("no slot is ready for %s: %s", ", ".join(profile.preloads) or "an environment", problem)
            self._failed[profile] = self._clock()
            return
        pid = slot.pid_for(profile)
        if pid is None:
            return
        self._note_cost(profile, pid)
        if self._taken() > self._budget:
            log.info("%s imported ahead takes more than pool.preload_memory allows", ", ".join(profile.preloads))
            await slot.succeed(bare)

    async def _cool(self, slot: Slot) -> None:
        """Make a slot a usual one again; if that fails, the next health check does."""
        await slot.succeed(self._owner.usual)

    def _note_cost(self, profile: Profile, pid: int) -> None:
        if (held := private(pid)) > 0:
            self._costs[profile] = max(1, held - self._plain)
