"""Keeps the recovery journal up with the text in the editor: when the user pauses, and at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tui.editing.recovery import RecoveryError, RecoveryJournal, UnsavedText

JOURNAL_AFTER = 1.0
"""Seconds after the last key."""

JOURNAL_AT_LEAST = 5.0
"""Seconds after which the text is journaled although somebody types without a pause."""

Argument = TypeVar("Argument")


class Autosave:
    """One piece of work on the disk after the other, each in a thread.

    Args:
        journal: Where the text is kept.
        text_now: The text in the editor, and whether it is unsaved.
        notify_error: Tells the user that the disk did not take it.
    """

    def __init__(
        self,
        journal: RecoveryJournal,
        text_now: Callable[[], tuple[UnsavedText, bool]],
        notify_error: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._text_now = text_now
        self._notify_error = notify_error
        self._disk = asyncio.Lock()
        self._due: asyncio.TimerHandle | None = None
        self._unwritten_since: float | None = None
        self._journaling: set[asyncio.Task[None]] = set()

    def text_changed(self) -> None:
        """The user typed: the text goes into the journal when they pause."""
        now = time.monotonic()
        if self._unwritten_since is None:
            self._unwritten_since = now
        waited = now - self._unwritten_since
        self.soon(min(JOURNAL_AFTER, max(0.0, JOURNAL_AT_LEAST - waited)))

    def soon(self, seconds: float = 0) -> None:
        """Bring the journal up to date after a while, in place of when it was to be done before."""
        if self._due is not None:
            self._due.cancel()
        self._due = asyncio.get_running_loop().call_later(seconds, self._start)

    def now(self) -> None:
        """Put unsaved text on disk before this returns: the console is about to die."""
        text, unsaved = self._text_now()
        if unsaved:
            self._journal.keep(text)

    async def keep(self) -> bool:
        """Journal the text if it is unsaved; False, and the user told, if the disk did not take it."""
        return await self._write(self._journal.keep)

    async def set_aside(self) -> bool:
        """Put the text, if it is unsaved, where it is offered again; False, and the user told, if that failed."""
        return await self._write(self._journal.set_aside)

    async def forget(self, path: str) -> None:
        """The text of this script was saved, or given up."""
        async with self._disk:
            await self._told(self._journal.forget, path)

    async def discard(self, entry: UnsavedText) -> None:
        """A text that was offered is wanted no more, or in the editor."""
        await self._told(self._journal.discard, entry)

    async def left_behind(self) -> list[UnsavedText]:
        """Texts that earlier consoles left, newest first."""
        return await asyncio.to_thread(self._journal.left_behind)

    async def move(self, path: str, new_path: str) -> None:
        """A script has another path: what earlier consoles left of it goes along."""
        for entry in await self.left_behind():
            if entry.path == path and await self._told(self._journal.set_aside, replace(entry, path=new_path)):
                await self.discard(entry)

    def _start(self) -> None:
        self._due = self._unwritten_since = None
        task = asyncio.create_task(self._bring_up_to_date())
        self._journaling.add(task)
        task.add_done_callback(self._journaling.discard)

    async def _bring_up_to_date(self) -> None:
        text, unsaved = self._text_now()
        if unsaved:
            await self.keep()
        else:
            await self.forget(text.path)

    async def _write(self, write: Callable[[UnsavedText], None]) -> bool:
        async with self._disk:
            text, unsaved = self._text_now()
            return not unsaved or await self._told(write, text)

    async def _told(self, work: Callable[[Argument], None], argument: Argument) -> bool:
        """Do the journal's work in a thread; False, and the user told, if the disk did not take it."""
        try:
            await asyncio.to_thread(work, argument)
        except RecoveryError as error:
            self._notify_error(str(error))
            return False
        return True
