"""Wait until something has changed that a render depends on: files of the source folder, or scripts of the project."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from watchfiles import awatch

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.starter import LaunchError

SLOW = 15.0
"""Seconds between two looks that no notice told of: the notifier drops notices when there are too many."""

SETTLED = 0.2
"""Seconds without a notice after which a burst of changes is over."""


class RenderWatch:
    """Watches for one command.

    Args:
        source: The folder that is rendered.
        reconnect: Gets another client when the engine is gone.
        client: The first one; stays the caller's.
    """

    def __init__(self, source: str, reconnect: Callable[[], Awaitable[EngineClient]], client: EngineClient) -> None:
        self.client = client
        self._source = source
        self._reconnect = reconnect
        self._own: EngineClient | None = None
        self._wake = asyncio.Event()
        self._scripts_changed = False
        self._tasks = [asyncio.create_task(self._watch_files()), asyncio.create_task(self._watch_scripts())]

    async def seen(self) -> bytes:
        """Return what the source folder looks like now; a change after this is not missed."""
        self._scripts_changed = False
        return await asyncio.to_thread(signature, self._source)

    async def changed(self, seen: bytes) -> None:
        """Return when something is not as it was seen, and the changes have come to an end."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SLOW):
                    await self._wake.wait()
            while self._wake.is_set():
                self._wake.clear()
                await asyncio.sleep(SETTLED)
            if self._scripts_changed or await asyncio.to_thread(signature, self._source) != seen:
                return

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._own is not None:
            await self._own.close()

    async def _watch_files(self) -> None:
        while True:
            with suppress(OSError, RuntimeError):  # the folder is gone, or too many watches: looks go on
                async for _ in awatch(self._source, step=50):
                    self._wake.set()
            await asyncio.sleep(SLOW)

    async def _watch_scripts(self) -> None:
        while True:
            try:
                async for event in self.client.events():
                    if event.type == "script":
                        self._scripts_changed = True
                        self._wake.set()
            except EngineUnreachable:
                pass
            except EngineError:  # it is there, but tells nothing now: another connection would be told the same
                await asyncio.sleep(SLOW)
                self._scripts_changed = True
                self._wake.set()
                continue
            # The engine is gone, and with it what happened meanwhile: another one says what is there now.
            if self._own is not None:
                await self._own.close()
                self._own = None
            try:
                self.client = self._own = await self._reconnect()
            except LaunchError:
                await asyncio.sleep(SLOW)
                continue
            self._scripts_changed = True
            self._wake.set()


def signature(folder: str) -> bytes:
    """Return a hash over names, sizes and times of all that is below a folder, links not followed. Blocks."""
    lines = sorted(_lines(folder, ""))
    return hashlib.sha256("\0".join(lines).encode("utf-8", "surrogateescape")).digest()


def _lines(folder: str, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return
    for entry in listed:
        try:
            state = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        path = prefix + entry.name
        yield f"{path} {state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
        if stat.S_ISDIR(state.st_mode):
            yield from _lines(entry.path, path + "/")
