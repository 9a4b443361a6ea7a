"""What a serving engine keeps an eye on: whether anybody still needs it, and whether its place is still there."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine import sockets
from engine.api.server import EngineServer
from engine.lock import LifetimeLock
from engine.paths import EnginePaths

log = logging.getLogger("engine.watch")

PLACE_INTERVAL = 2.0
"""Seconds between two looks at the socket file; a vanished one is back within five."""

IDLE_LOOKS = 10
"""How often idleness is looked at within the time after which the engine leaves."""


async def until_idle(server: EngineServer, unfinished_runs: Callable[[], int], seconds: float) -> None:
    """Return when for ``seconds`` nobody was connected, nothing was asked and nothing ran."""
    last_busy, requests = time.monotonic(), server.request_count
    while time.monotonic() - last_busy < seconds:
        await asyncio.sleep(min(seconds / IDLE_LOOKS, 5.0))
        if server.connection_count or unfinished_runs() or server.request_count != requests:
            last_busy, requests = time.monotonic(), server.request_count


class SocketPlace:
    """Where an engine listens.

    Args:
        paths: The project's places.
        lock: What makes this process the project's engine.
        server: Listens on the socket.
    """

    def __init__(self, paths: EnginePaths, lock: LifetimeLock, server: EngineServer) -> None:
        self._paths = paths
        self._lock = lock
        self._server = server
        self._bound: Path | None = None
        self._identity: tuple[int, int] | None = None
        self.problem: str | None = None

    async def take(self) -> None:
        """Bind the socket and say so in the lock.

        Raises:
            OSError: It cannot be bound.
        """
        sock, self._bound = sockets.listen(self._paths)
        self._identity = _identity(self._bound)
        self._lock.note(str(self._bound))
        await self._server.listen(sock)

    async def keep(self) -> None:
        """Bind the socket again whenever its file vanished. Returns when the project did: there is nothing to serve."""
        while self._lock.in_place:
            if self._bound is None or _identity(self._bound) != self._identity:
                await self._take_again()
            await asyncio.sleep(PLACE_INTERVAL)
        log.error("the lock file of this engine is gone or replaced: the project was moved or deleted")

    def leave(self) -> None:
        """Remove the socket file, if it is still ours."""
        if self._bound is not None and _identity(self._bound) == self._identity:
            self._bound.unlink()
            if self._bound != self._paths.socket:
                with suppress(OSError):  # something else may be in there
                    self._bound.parent.rmdir()
        self._bound = None

    async def _take_again(self) -> None:
        log.warning("the socket %s vanished; binding it again", self._bound)
        try:
            await self.take()
        except OSError as error:
            self.problem = f"The engine cannot bind its socket again: {error.strerror}."
            log.exception("cannot bind the socket again")
        else:
            self.problem = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino
