"""What a serving engine keeps an eye on: whether anybody still needs it, and whether its place is still there."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine import sockets
from engine.api.server import EngineServer
from engine.daemon.shared import RuntimeFolder
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
    """Where an engine listens on unix sockets: its own, and that of a shared project.

    Args:
        paths: The project's places.
        lock: What makes this process the project's engine.
        server: Listens on the sockets.
        shared: Where members of a group find it, if it is shared.
    """

    def __init__(
        self, paths: EnginePaths, lock: LifetimeLock, server: EngineServer, shared: RuntimeFolder | None = None
    ) -> None:
        self._paths = paths
        self._lock = lock
        self._own = _BoundSocket(server, "own", lambda: sockets.listen(paths))
        self._all = [self._own]
        if shared is not None:
            self._all.append(_BoundSocket(server, "shared", shared.bind))

    @property
    def problems(self) -> list[str]:
        return [bound.problem for bound in self._all if bound.problem is not None]

    async def take(self) -> None:
        """Bind the sockets and say in the lock where the project's own is.

        Raises:
            OSError: One cannot be bound.
        """
        for bound in self._all:
            await bound.take()
        self._note()

    async def keep(self) -> None:
        """Bind a socket again whenever its file vanished. Returns when the project did: there is nothing to serve."""
        while self._lock.in_place:
            for bound in self._all:
                if bound.vanished and await bound.take_again() and bound is self._own:
                    self._note()
            await asyncio.sleep(PLACE_INTERVAL)
        log.error("the lock file of this engine is gone or replaced: the project was moved or deleted")

    def leave(self) -> None:
        """Remove the sockets' files, as far as they are still ours."""
        for bound in self._all:
            path = bound.leave()
            if path is not None and bound is self._own and path != self._paths.socket:
                with suppress(OSError):  # something else may be in there
                    path.parent.rmdir()

    def _note(self) -> None:
        self._lock.note(str(self._own.path))


class _BoundSocket:
    """A socket that the server listens on, and its file.

    Args:
        server: Listens on it.
        place: What the server knows it by.
        bind: Makes it; returns it with its path.
    """

    def __init__(self, server: EngineServer, place: str, bind: Callable[[], tuple[socket.socket, Path]]) -> None:
        self._server = server
        self._place = place
        self._bind = bind
        self._left = False
        self._identity: tuple[int, int] | None = None
        self.path: Path | None = None
        self.problem: str | None = None

    @property
    def vanished(self) -> bool:
        return not self._left and (self.path is None or _identity(self.path) != self._identity)

    async def take(self) -> None:
        sock, self.path = self._bind()
        self._identity = _identity(self.path)
        await self._server.listen(sock, self._place)

    async def take_again(self) -> bool:
        if self._left:
            return False
        log.warning("the socket %s vanished; binding it again", self.path)
        try:
            await self.take()
        except OSError as error:
            self.problem = f"The engine cannot bind its socket {self.path} again: {error.strerror}."
            log.exception("cannot bind the socket again")
        else:
            self.problem = None
        return self.problem is None

    def leave(self) -> Path | None:
        """Remove the file, if it is still ours; its path then."""
        self._left = True
        path, self.path = self.path, None
        if path is None or _identity(path) != self._identity:
            return None
        path.unlink()
        return path


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino
