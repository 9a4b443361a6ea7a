"""What a render waits for while it watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.client import render_watch
from engine.client.answers import EngineError
from engine.client.render_watch import RenderWatch


class Refusing:
    """A client of an engine that tells nothing of what happens."""

    async def events(self) -> AsyncIterator[Any]:
        raise EngineError("busy", "There are too many listeners.", None, 429)
        yield

    async def close(self) -> None:
        pass


async def test_an_engine_that_refuses_its_events_is_not_asked_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, connected = Refusing(), 0

    async def reconnect() -> Any:
        nonlocal connected
        connected += 1
        if connected > 100:
            await asyncio.Event().wait()
        return client

    monkeypatch.setattr(render_watch, "SLOW", 0.05)
    monkeypatch.setattr(render_watch, "SETTLED", 0.01)
    watch = RenderWatch(str(tmp_path), reconnect, client)  # type: ignore[arg-type]
    try:
        await asyncio.wait_for(watch.changed(await watch.seen()), 30)
    finally:
        await watch.close()
    assert connected == 0, "scripts are looked at from time to time instead"
