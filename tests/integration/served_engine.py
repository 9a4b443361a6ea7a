"""A real engine in this process, served over a unix socket as the daemon serves it, for callers that a test names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from engine import Engine, sockets
from engine.api.app import build_app
from engine.api.event_wire import EventWire
from engine.api.server import EngineServer
from engine.client.client import EngineClient
from engine.client.transport import SocketTransport
from engine.config import Settings
from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo
from engine.paths import EnginePaths
from engine.registry.operation import BASE
from engine.services.recent_log import RecentLog

PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class ServedEngine:
    """Implements ``engine.api.host.EngineHost``."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.wire = EventWire("aa")
        self.stopping = asyncio.Event()
        self.in_flight = 32
        self.recent_log = RecentLog()
        self.paths = EnginePaths(folder)
        self.server = EngineServer(build_app(self))

    def info(self) -> EngineInfo:
        return EngineInfo(
            version="1", api_version=API_VERSION, pid=os.getpid(), project="/p", owner="me", started_at=1.0
        )

    def stop(self) -> None:
        self.stopping.set()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[EngineClient]:
        client = EngineClient(SocketTransport(partial(sockets.connect, self.paths, os.geteuid()), "cli"))
        try:
            yield client
        finally:
            await client.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await sockets.connect(self.paths, os.geteuid())

    async def post(self, path: str, body: dict[str, Any], *, base: str = BASE, **headers: str) -> Answer:
        """Ask as a client of the API does that is no program of ours, on a connection of its own."""
        reader, writer = await self.connect()
        try:
            writer.write(posted(path, body, base=base, **headers))
            async with asyncio.timeout(PATIENCE):
                return answered(await reader.read())
        finally:
            writer.close()


def posted(path: str, body: dict[str, Any], *, base: str = BASE, **headers: str) -> bytes:
    data = msgspec.json.encode(body)
    lines = [
        f"POST {base}{path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


def answered(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status.split()[1]), headers, msgspec.json.decode(body))


@asynccontextmanager
async def served_engine(root: Path, settings: Settings | None = None) -> AsyncIterator[ServedEngine]:
    """An engine on ``root``, which is made first."""
    async with Engine.open(root, settings=settings) as engine:
        host = ServedEngine(engine, root)
        sock, _ = sockets.listen(host.paths)
        await host.server.listen(sock)
        try:
            yield host
        finally:
            host.stop()
            await host.server.shutdown()


async def until(condition: Any, what: str) -> None:
    """Wait for a state, never for a time."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)
    assert condition(), what
