"""The change from one usual environment to another: slots go over one after the other, beside what runs there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from engine.pool.job import Environment, Profile
from engine.pool.slot import Slot

TRIES = 3
"""Zygotes in a row that fail in an environment in which none has ever started: then it is given up.

On a busy host one may fail that the next one would not."""

TRY_AGAIN = 0.2
"""Seconds before the second try; each one waits twice as long as the one before."""

log = logging.getLogger(__name__)


class UnusableEnvironment(Exception):
    """Nothing can be started in an environment. The message is the sentence for the user."""


class SwitchOwner(Protocol):
    """The pool, as its switch sees it."""

    @property
    def usual(self) -> Profile:
        """What slots are made for unless a run needs something else, in the new environment."""

    def slots(self) -> Sequence[Slot]: ...

    def switch_failed(self, before: Environment, failed: Environment) -> None:
        """Nothing can be started in the new environment."""


class Switch:
    """Brings the slots of a pool from one environment to another, one at a time.

    A new zygote takes some tenths of a second of processor time: only one is being made, so the host's other work and
    the runs of the other slots hardly notice.
    """

    def __init__(self, pool: SwitchOwner, before: Environment, environment: Environment) -> None:
        self._pool = pool
        self._before = before
        self._environment = environment
        self._proved = False
        self._task = asyncio.get_running_loop().create_task(self._go(), name="switch of the environment")
        self._task.add_done_callback(_noted)

    @property
    def goes_on(self) -> bool:
        """Whether slots are still to go over."""
        return not self._task.done()

    @property
    def untried(self) -> bool:
        """Whether it is still to be seen that something can be started in the new environment."""
        return not self._proved and not self._task.done()

    def superseded(self) -> Environment:
        """Make way for the next switch; return the environment that is known to work."""
        self._task.cancel()
        return self._environment if self._proved else self._before

    async def cancel(self) -> None:
        """End it where it stands."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def wait(self) -> None:
        """Wait for its end; one that made way for another one has ended, too.

        Raises:
            UnusableEnvironment: Nothing can be started there.
        """
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _go(self) -> None:
        tries: dict[Slot, int] = {}
        while (slot := self._next(tries)) is not None:
            # What was imported ahead there may be what is no longer installed.
            problem = await slot.succeed(self._pool.usual if slot in tries else slot.profile.inside(self._environment))
            if problem is None:
                self._proved = True
                tries[slot] = TRIES
                continue
            tries[slot] = tries.get(slot, 0) + 1
            # The first time it may only be what was imported ahead there, and is gone with the old packages.
            level = logging.INFO if tries[slot] == 1 else logging.WARNING
            log.log(level, "slot %d cannot go over to the new environment: %s", slot.number, problem)
            if tries[slot] >= TRIES and not self._proved:
                self._pool.switch_failed(self._before, self._environment)
                raise UnusableEnvironment(
                    f"No script can be started in the new environment, so the one from before is used on: {problem}."
                )
            await asyncio.sleep(TRY_AGAIN * 2 ** (tries[slot] - 1))

    def _next(self, tries: dict[Slot, int]) -> Slot | None:
        """Return a slot that is to go over: the one that failed last again, else a usual one, the idle ones first."""
        stale = [slot for slot in self._pool.slots() if self._is_stale(slot) and tries.get(slot, 0) < TRIES]

        def rank(slot: Slot) -> tuple[int, bool, bool, int]:
            special = slot.profile.inside(self._environment) != self._pool.usual
            return -tries.get(slot, 0), special, not slot.idle, slot.number

        return min(stale, key=rank, default=None)

    def _is_stale(self, slot: Slot) -> bool:
        """Whether a slot was made for an environment that has been the usual one."""
        there = slot.profile.environment
        usual = there is not None and there.name == self._before.name and there != self._environment
        comes = slot.coming is not None and slot.coming.environment == self._environment
        return usual and not slot.leaving and not comes


def _noted(task: asyncio.Task[None]) -> None:
    """Take the exception, for which ``wait`` need not have been called."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("%s", error)
