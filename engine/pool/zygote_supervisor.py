"""Which zygote a slot has: started, replaced when it is worn, and after a failure started again, later each time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from engine.pool.job import Environment, Profile
from engine.pool.memory_watch import NOWHERE, MemoryPlaces, private_shm
from engine.pool.settings import PoolSettings
from engine.pool.successor import Successor
from engine.pool.zygote import Zygote, ZygoteOwner
from engine.sandbox import cgroup
from engine.worker.scratch import remove_folder
from engine.worker.wire import ForkRequest

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 30.0
STEADY_AFTER = 5.0
"""A zygote that lived this long was sound: the next one starts at once."""


class ZygoteSupervisor:
    """Owns a slot's zygote.

    Attributes:
        restarts: How often a zygote had to be replaced.
        failures: How many failed in a row without ever bringing forth a child.
    """

    def __init__(self, settings: PoolSettings, scratch: Path, owner: ZygoteOwner) -> None:
        self.restarts = 0
        self.failures = 0
        self._settings = settings
        self._scratch = scratch
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._zygote: Zygote | None = None
        self._profile: Profile | None = None
        self._dying: dict[asyncio.Future[None], Profile] = {}
        self._started_at = 0.0
        self._forks = 0
        self._backoff: asyncio.TimerHandle | None = None
        self._successor: Successor | None = None

    def renew(self, profile: Profile, buffer: bytearray, ready: Callable[[], None], *, idle: bool) -> bool:
        """Start a successor beside a zygote that has brought forth as many children as it should.

        Args:
            profile: The zygote's.
            buffer: The slot's, for reading from children.
            ready: Called when ``successor`` can be adopted.
            idle: Whether nothing runs in the slot; a busy one keeps its zygote for longer.

        Returns:
            Whether one was started.
        """
        limit = self._settings.recycle_idle if idle else self._settings.recycle_busy
        if self._successor is not None or self._zygote is None or self._forks < limit:
            return False
        return self.succeed(profile, buffer, ready, self._not_renewed)

    def succeed(
        self, profile: Profile, buffer: bytearray, ready: Callable[[], None], failed: Callable[[str], None]
    ) -> bool:
        """Start a successor of this profile beside the zygote, in place of one that is being started.

        Args:
            profile: What it is for.
            buffer: The slot's, for reading from children.
            ready: Called when ``successor`` can be adopted.
            failed: Called with the reason when it never can. The zygote goes on.

        Returns:
            Whether one was started; else ``failed`` was called.
        """
        self.drop_successor()

        def give_up(problem: str) -> None:
            self.drop_successor()
            failed(problem)

        try:
            self._successor = Successor(self._settings, profile, self._scratch, buffer, ready, give_up)
        except OSError as error:
            give_up(str(error))
            return False
        return True

    @property
    def coming(self) -> Profile | None:
        """What a successor is, or is being made, for."""
        return None if self._successor is None else self._successor.profile

    @property
    def environments(self) -> set[Environment]:
        """Of every process that there still is."""
        profiles = [self._profile if self._zygote is not None else None, self.coming, *self._dying.values()]
        return {profile.environment for profile in profiles if profile is not None and profile.environment is not None}

    @property
    def successor(self) -> Successor | None:
        """The one that can be adopted now."""
        return self._successor if self._successor is not None and self._successor.fit else None

    def adopt(self, successor: Successor) -> None:
        """Make the successor's zygote the slot's, reset the count of its children, and end the present one."""
        self._successor = None
        successor.taken_over()
        self.drop()
        self._zygote, self._profile = successor.zygote, successor.profile
        self._started_at = self._loop.time()
        self._forks = 1

    def _not_renewed(self, problem: str) -> None:
        """Go on with what there is, and try again when as many children have come again."""
        log.warning("a zygote could not be replaced by a new one: %s", problem)
        self._forks = 0

    def drop_successor(self) -> None:
        """End the one that is being started, or stands ready."""
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.drop()
            self._note_dying(successor.zygote, successor.profile)

    def _note_dying(self, zygote: Zygote, profile: Profile) -> None:
        if not zygote.gone.done():
            self._dying[zygote.gone] = profile
            zygote.gone.add_done_callback(lambda gone: self._dying.pop(gone, None))

    def start(self, profile: Profile) -> None:
        """Start a zygote of this profile.

        Raises:
            OSError: It cannot be started.
        """
        self._forget_backoff()
        self._started_at = self._loop.time()
        self._forks = 0
        self._zygote, self._profile = Zygote(self._settings, profile, self._scratch, self._owner), profile

    def request(self, request: ForkRequest) -> None:
        """Pass ``request`` on, if there is a zygote to take it."""
        self._forks += request.fork
        if self._zygote is not None:
            self._zygote.request(request)

    def memory_places(self) -> MemoryPlaces:
        """Where to look for memory that no process is seen to hold."""
        if self._zygote is None:
            return NOWHERE
        return MemoryPlaces(private_shm(self._zygote.pid), self._zygote.cgroup)

    def kill_cgroup(self) -> None:
        """Kill everything in the cgroup of the zygote, if it has one."""
        if self._zygote is not None and self._zygote.cgroup is not None:
            cgroup.kill(self._zygote.cgroup)

    def drop(self) -> None:
        """Kill the zygote, everything below it, and its successor."""
        self._forget_backoff()
        self.drop_successor()
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.kill()
            if self._profile is not None:
                self._note_dying(zygote, self._profile)

    def start_again(self, start: Callable[[], None], *, at_once: bool) -> bool:
        """Count a replacement and call ``start``, now or after a while; True if it was now."""
        steady = self._loop.time() - self._started_at >= STEADY_AFTER
        self.restarts += 1
        if at_once or steady:
            self.failures = 0
            start()
            return True
        self.failures += 1
        delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (self.failures - 1))
        self._backoff = self._loop.call_later(delay, start)
        return False

    async def all_gone(self) -> None:
        """Wait until no process of any zygote is left, and remove the slot's scratch folder."""
        if self._dying:
            await asyncio.wait(self._dying)
        try:
            await asyncio.to_thread(remove_folder, str(self._scratch))
        except FileNotFoundError:
            return  # no zygote ever was
        except OSError as error:
            log.warning("cannot remove the scratch folder %s: %s", self._scratch, error)

    def _forget_backoff(self) -> None:
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None
