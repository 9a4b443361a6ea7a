"""The socket files of a serving engine: bound again when they vanish, gone when it leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api_support import eventually

from engine.api.server import EngineServer
from engine.daemon import idle
from engine.daemon.idle import SocketPlace
from engine.lock import LifetimeLock
from engine.paths import EnginePaths


async def no_application(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


async def test_an_engine_that_has_left_binds_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PLACE_INTERVAL", 0.01)
    paths = EnginePaths(tmp_path)
    paths.private.mkdir(mode=0o700)
    lock = LifetimeLock(paths.lifetime_lock)
    lock.acquire()
    server = EngineServer(no_application)
    place = SocketPlace(paths, lock, server)
    await place.take()
    keeping = asyncio.create_task(place.keep())
    paths.socket.unlink()
    await eventually(paths.socket.exists)
    place.leave()
    for bound in place._all:
        assert not await bound.take_again()
    await asyncio.sleep(0.1)
    assert not paths.socket.exists()
    assert place.problems == []
    keeping.cancel()
    await server.shutdown()
    lock.release()
