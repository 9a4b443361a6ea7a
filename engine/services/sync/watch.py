"""Watches for what others do to the scripts and to the repository, and tells everybody who listens.

The notifier only says that something may have happened; what has happened a look at the files says, as it does for
lists. Looks are also taken now and then without a notifier, and every second or two where the notifier cannot be relied
on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from engine.services.events import EventBus, outside_change
from engine.services.sync.debounce import Debounce
from engine.services.sync.notifiers import MakeNotifier, WatchSupervisor
from store.errors import StoreError
from store.files.listing import Stamp
from store.index.external_changes import ExternalChanges, together
from store.index.reconcile import Reconciler
from store.watch.folders import Watched
from store.watch.notifier import ChangeNotifier

log = logging.getLogger(__name__)

SLOW = 30.0
"""Seconds between two looks that no notice told of."""

POLL = 1.0
"""Seconds between two looks where the notifier cannot be relied on."""

POLL_SHARE = 20
"""Looks take no more than one part in so many of the time, where they take long."""

HEARD_WITHIN = 0.5
"""Seconds within which the notifier must have told of what a look has found, or else it is deaf."""

AFTER_FAILURE = 30.0
"""Seconds before watching goes on after it failed in an unforeseen way."""

FAILED = "Watching the scripts failed; the engine's log says how, and it is tried again."


class WatchService:
    """One project's watch.

    Args:
        place: What is watched.
        reconciler: Looks at the scripts.
        events: Gets one event for every burst of changes.
        make_notifier: Makes a notifier; tests have others.
    """

    def __init__(
        self, place: Watched, reconciler: Reconciler, events: EventBus, make_notifier: MakeNotifier = ChangeNotifier
    ) -> None:
        self._place = place
        self._reconciler = reconciler
        self._events = events
        self._notifiers = WatchSupervisor(place, self._notified, make_notifier)
        self._wake = asyncio.Event()
        self._found: list[ExternalChanges] = []
        self._looking = False
        self._cost = 0.0
        self._unreadable: StoreError | None = None
        self._failed = False
        self._told: Sequence[str] | None = None
        self._ignored_lock: Stamp | None = None
        self._signs: list[Stamp | None] | None = None
        self._others: list[Callable[[], Awaitable[None]]] = []
        reconciler.outside.heard = self._heard

    def also(self, look: Callable[[], Awaitable[None]]) -> None:
        """Have others look at their files, too, whenever something may have changed. They tell of it themselves."""
        self._others.append(look)

    @property
    def problems(self) -> list[str]:
        """What the user should know, one sentence each."""
        failed = FAILED if self._failed else None
        return [text for text in (self._notifiers.problem, self._unreadable_sentence(), failed) if text is not None]

    async def run(self) -> None:
        """Watch until cancelled. Whatever goes wrong, it is tried again."""
        try:
            while True:
                try:
                    await self._watch()
                except Exception:  # a mistake of ours must not leave everybody uninformed for good
                    self._failed = True
                    log.exception("watching the scripts failed")
                await asyncio.sleep(AFTER_FAILURE)
        finally:
            self._notifiers.take_down()

    async def gone(self) -> None:
        """Wait until nothing of it is left, after ``run`` has ended."""
        await self._notifiers.gone()

    async def _watch(self) -> None:
        await self._notifiers.arm()
        await self._look()
        self._failed = False
        while True:
            await self._round()

    async def _round(self) -> None:
        notified = await self._notified_within(self._pause())
        if notified:
            await self._settle()
        replaced = await self._notifiers.arm(notified=notified)
        if not (notified or replaced or self._events.listening):
            return
        found = await self._look()
        if found and not notified and not replaced and self._notifiers.hears_all:
            await self._test_hearing()

    def _pause(self) -> float:
        if self._notifiers.hears_all and self._unreadable is None:
            return SLOW
        return min(max(POLL, POLL_SHARE * self._cost), SLOW)

    async def _notified_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        notified = self._wake.is_set()
        self._wake.clear()
        return notified

    async def _settle(self) -> None:
        """Wait until a burst of changes is over."""
        now = asyncio.get_running_loop().time
        burst = Debounce(now(), self._ignored_lock)
        while (rest := burst.rest(now(), await asyncio.to_thread(self._place.git_lock))) > 0:
            if await self._notified_within(rest):
                burst.notified(now())
        self._ignored_lock = burst.ignored

    async def _look(self) -> bool:
        """Look at everything and tell what is new; whether others changed scripts."""
        now = asyncio.get_running_loop().time
        begun, self._looking = now(), True
        try:
            await self._reconciler.scripts()
            self._unreadable = None
        except StoreError as error:
            if self._unreadable is None:
                log.warning("the scripts could not be looked at: %s", error)
            self._unreadable = error
        finally:
            self._looking = False
        self._cost = now() - begun
        found = together(self._found)
        self._found.clear()
        self._publish(found)
        for look in self._others:
            try:
                await look()
            except StoreError as error:
                log.warning("files could not be looked at: %s", error)
        await self._look_at_git()
        return bool(found)

    def _publish(self, found: ExternalChanges) -> None:
        problem = self._news()
        if not found and problem is None:
            return
        change = outside_change(found, problem)
        count = change.created + change.updated + change.removed + change.renamed
        log.info("others changed scripts: %d, the first %r", count, change.paths[:1])
        self._events.publish("script", change)

    def _news(self) -> str | None:
        """What is wrong with the scripts since now, if anything."""
        sentence = self._unreadable_sentence()
        problems = [*self._reconciler.problems, *([sentence] if sentence else [])]
        before, self._told = self._told, problems
        return next((problem for problem in problems if before is not None and problem not in before), None)

    def _unreadable_sentence(self) -> str | None:
        if self._unreadable is None:
            return None
        return f"The scripts cannot be looked at, and nothing is forgotten meanwhile: {self._unreadable}"

    async def _look_at_git(self) -> None:
        before, self._signs = self._signs, await asyncio.to_thread(self._place.git_signs)
        if before is not None and before != self._signs:
            self._events.publish("git", {"change": "repository"})

    async def _test_hearing(self) -> None:
        """A look has found something that no notice told of. Perhaps the notifier is only slow."""
        if await self._notified_within(HEARD_WITHIN):
            self._wake.set()
        else:
            self._notifiers.deaf = True

    def _notified(self) -> None:
        self._wake.set()

    def _heard(self, found: ExternalChanges) -> None:
        self._found.append(found)
        if not self._looking:  # a list was asked for, and that came before us
            self._wake.set()
