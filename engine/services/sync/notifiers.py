"""Keeps a change notifier over the scripts' folders while these come and go, and knows how far it can be relied on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from store.files.names import SUFFIX
from store.watch.folders import Folders, Watched
from store.watch.notifier import CannotWatch, ChangeNotifier

log = logging.getLogger(__name__)

RETRY = 30.0
"""Seconds until inotify is tried again after it failed: watches are given back when others end."""

FEW = 100
"""Paths that the notifier told of together of which none can have been forgotten: the kernel's queue holds many more.
"""

ROUNDS = 3
"""How often the folders are read again because some came or went while the notifier was set."""

_LOOKING = "Outside changes of scripts are found by looking every few seconds"


class Notifier(Protocol):
    """See ``store.watch.notifier.ChangeNotifier``."""

    @property
    def works(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    async def armed(self) -> None: ...

    def take_down(self) -> None: ...

    async def gone(self) -> None: ...


MakeNotifier = Callable[[Sequence[str], Callable[[str], bool], Callable[[Sequence[str]], None]], Notifier]


class WatchSupervisor:
    """One working notifier at a time.

    Args:
        place: What is to be watched.
        notified: Called in the event loop when something may have happened.
        make: Makes a notifier; tests have others.

    Attributes:
        deaf: Something happened that the notifier did not tell.
    """

    def __init__(self, place: Watched, notified: Callable[[], None], make: MakeNotifier = ChangeNotifier) -> None:
        self._place = place
        self._notified = notified
        self._make = make
        self._notifier: Notifier | None = None
        self._notifiers: list[Notifier] = []
        self._folders: Folders = {}
        self._failure: CannotWatch | None = None
        self._again_at = float("-inf")
        self._remote: str | None = None
        self._doubt = True
        """Folders may have come or gone."""
        self.deaf = False

    @property
    def hears_all(self) -> bool:
        """Whether looking now and then is enough, because the notifier tells everything else."""
        return self._notifier is not None and self._notifier.works and self._remote is None and not self.deaf

    @property
    def problem(self) -> str | None:
        """How the scripts are watched, and what to do about it, where that is not as it should be."""
        if self._failure is not None:
            return f"{_LOOKING}: {self._failure.reason}. {self._failure.advice}".rstrip()
        if self._remote is not None:
            return f"{_LOOKING}: they are on a network file system ({self._remote}), which does not tell of them."
        if self.deaf:
            return f"{_LOOKING}: their file system did not tell of one. Keep the project on a local disk if you can."
        return None

    async def arm(self, *, notified: bool = False) -> bool:
        """See to it that all folders that are there now are watched, if that is possible.

        Args:
            notified: Only because of a notice: then the folders are read if what it told of may be one.

        Returns:
            Whether a new notifier had to be set: until then something may have happened unheard.
        """
        if notified and not self._doubt and self._notifier is not None and self._notifier.works:
            return False
        self._doubt, replaced = False, False
        folders = await asyncio.to_thread(self._place.folders)
        for _ in range(ROUNDS):
            works = self._notifier is not None and self._notifier.works
            if (works and folders == self._folders) or asyncio.get_running_loop().time() < self._again_at:
                break
            await self._hang(folders)
            replaced = True
            # What was made since, before there was a notifier over it, may hold more.
            folders = await asyncio.to_thread(self._place.folders)
        return replaced

    def take_down(self) -> None:
        """Watch no more."""
        if self._notifier is not None:
            self._notifier.take_down()

    async def gone(self) -> None:
        """Wait until nothing of any notifier is left."""
        await asyncio.gather(*(notifier.gone() for notifier in self._notifiers))

    async def _hang(self, folders: Folders) -> None:
        self.take_down()
        self._remote = await asyncio.to_thread(self._place.remote_kind)
        self._notifiers = [notifier for notifier in self._notifiers if not notifier.ended]
        self._notifier = self._make(sorted(folders), self._place.concerns, self._heard)
        self._notifiers.append(self._notifier)
        self._folders = folders
        try:
            await self._notifier.armed()
        except FileNotFoundError:  # a folder went away just now
            return
        except CannotWatch as failure:
            if self._failure is None:
                log.warning("%s: %s", _LOOKING, failure.reason)
            self._failure = failure
            self._again_at = asyncio.get_running_loop().time() + RETRY
        else:
            self._failure = None

    def _heard(self, paths: Sequence[str]) -> None:
        self.deaf = False
        if not 0 < len(paths) <= FEW or not all(path.endswith(SUFFIX) for path in paths):
            self._doubt = True
        self._notified()
