"""A real server on a real socket in front of a small engine: real event bus and buffers, runs that a test scripts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

from engine import sockets
from engine.api.app import build_app
from engine.api.event_wire import EventWire
from engine.api.exposition import Exposition
from engine.api.host import HostOperations
from engine.api.openapi import Document
from engine.api.server import EngineServer
from engine.client.client import EngineClient
from engine.client.transport import SocketTransport
from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo, PoolInfo
from engine.models.runs import Mode, OutputChunk, RunInfo, RunKind, RunRequest, RunState, Stream
from engine.models.scripts import SaveRequest, ScriptInfo, ScriptList, ScriptText
from engine.paths import EnginePaths
from engine.registry import OPERATIONS
from engine.registry.engine import POOL_INFO
from engine.registry.operation import Operation
from engine.registry.runs import RUNS_EVENTS, RUNS_FILE, RUNS_GET, RUNS_START
from engine.registry.scripts import SCRIPTS_LIST, SCRIPTS_LOAD, SCRIPTS_SAVE
from engine.services.access import Actor, ServiceError, owner_actor
from engine.services.callers import Callers
from engine.services.events import EventBus
from engine.services.operations import bind, implements
from engine.services.recent_log import RecentLog
from engine.services.runs.uploads import BufferService


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until ``condition`` holds; fail when it does not within ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any state, not one that somebody announces
            await asyncio.sleep(0.005)


def run_info(run_id: int = 1, state: RunState = RunState.RUNNING, **fields: Any) -> RunInfo:
    base: dict[str, Any] = {
        "id": run_id, "kind": RunKind.EXEC, "name": "<exec>", "state": state, "mode": Mode.RESTRICTED, "actor": "me",
        "source": "cli", "queued_at": 1.0, "timeout": 30.0, "code_sha256": "0" * 64,
    }  # fmt: skip
    return RunInfo(**{**base, **fields})


def chunk(seq: int, text: str = "x") -> OutputChunk:
    return OutputChunk(seq=seq, stream=Stream.STDOUT, text=text, at=1.0)


Item = list[OutputChunk] | RunInfo


@dataclass
class ScriptedRuns:
    """Runs whose stream a test writes: item by item, with an optional gate."""

    items: list[Item] = field(default_factory=list)
    requests: list[tuple[RunRequest, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    unfinished: int = 0
    forgotten: bool = False
    followers: int = 0
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    @implements(RUNS_START)
    async def start(self, request: RunRequest, actor: Actor, source: str, wait: float | None = None) -> RunInfo:
        if request.code == "boom":
            raise RuntimeError("the secret inside")
        self.requests.append((request, source))
        return run_info(state=RunState.QUEUED)

    @implements(RUNS_GET)
    async def get(self, run_id: int, actor: Actor) -> RunInfo:
        if run_id != 1 or self.forgotten:
            raise ServiceError("no_run", f"There is no run {run_id}.", status=404)
        return run_info()

    @implements(RUNS_FILE)
    async def file(self, run_id: int, name: str, actor: Actor) -> bytes:
        if name not in self.files:
            raise ServiceError("no_file", f"Run {run_id} left no file {name!r}.", status=404)
        return self.files[name]

    @implements(RUNS_EVENTS)
    async def events(self, run_id: int, actor: Actor, after: int = 0) -> AsyncIterator[Item]:
        await self.get(run_id, actor)
        return self.follow(run_id, actor, after=after)

    async def follow(self, run_id: int, actor: object, *, after: int = 0, kept: bool = False) -> AsyncIterator[Item]:
        self.followers += 1
        try:
            for item in self.items:
                if isinstance(item, list):
                    item = [c for c in item if c.seq >= after]
                    if not item:
                        continue
                yield item
            if not isinstance(self.items[-1], RunInfo) or self.items[-1].state is not RunState.FINISHED:
                await self.hold.wait()
        finally:
            self.followers -= 1


class MemoryScripts:
    def __init__(self) -> None:
        self.saved: dict[str, str] = {}

    @implements(SCRIPTS_LIST)
    async def list(self) -> ScriptList:
        return ScriptList(scripts=[ScriptInfo(path=path, title=path) for path in self.saved])

    @implements(SCRIPTS_LOAD)
    async def load(self, path: str) -> ScriptText:
        if path not in self.saved:
            raise ServiceError("no_script", f"There is no script {path}.", status=404)
        return ScriptText(info=ScriptInfo(path=path, title=path), text=self.saved[path])

    @implements(SCRIPTS_SAVE)
    async def save(self, path: str, request: SaveRequest, actor: Actor) -> ScriptInfo:
        if request.base_sha256 is None and path in self.saved:
            raise ServiceError("conflict", f"{path} has changed.", hint="Load it again.", status=409)
        self.saved[path] = request.text
        return ScriptInfo(path=path, title=path)


class FixedPool:
    @implements(POOL_INFO)
    def info(self) -> PoolInfo:
        return PoolInfo(size=3, slots=[])


def refusing(operations: Iterable[Operation[Any, Any, Any]]) -> object:
    """A part of an engine that carries out ``operations`` by failing."""

    def method(self: object, params: object, request: object, actor: Actor) -> None:
        raise NotImplementedError

    methods = {f"method{number}": implements(each)(copy_of(method)) for number, each in enumerate(operations)}
    return type("Refusing", (), methods)()


def copy_of(function: Any) -> Any:
    return FunctionType(function.__code__, function.__globals__, function.__name__)


class SmallEngine:
    def __init__(self) -> None:
        self.owner = owner_actor()
        self.callers = Callers(self.owner)
        self.runs = ScriptedRuns()
        self.scripts = MemoryScripts()
        self.buffers = BufferService(max_buffer=4 << 20)
        self.events = EventBus(ring=64)
        self.pool_service = FixedPool()


class SmallHost:
    """Implements ``engine.api.host.EngineHost``."""

    def __init__(self, folder: Path) -> None:
        self.engine: Any = SmallEngine()
        self.wire = EventWire("aa")
        self.stopping = asyncio.Event()
        self.in_flight = 32
        self.recent_log = RecentLog()
        self.paths = EnginePaths(folder)
        served = bind([*vars(self.engine).values(), HostOperations(self), Document(()), Exposition(self)])
        self.server = EngineServer(
            build_app(self, OPERATIONS, refusing(row for row in OPERATIONS if row not in served))
        )

    def info(self) -> EngineInfo:
        return EngineInfo(
            version="1", api_version=API_VERSION, pid=os.getpid(), project="/p", owner="me", started_at=1.0
        )

    def stop(self) -> None:
        self.engine.events.close()
        self.stopping.set()

    def client(self, name: str = "cli") -> EngineClient:
        return EngineClient(SocketTransport(partial(sockets.connect, self.paths, os.geteuid()), name))

    async def raw(self, data: bytes, *, until: bytes | None = None) -> bytes:
        """Send bytes as they are and return what comes back, up to ``until`` or the end of the connection."""
        reader, writer = await sockets.connect(self.paths, os.geteuid())
        try:
            writer.write(data)
            async with asyncio.timeout(5):
                return await (reader.readuntil(until) if until else reader.read(-1))
        finally:
            writer.close()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[SmallHost]:
    host = SmallHost(folder)
    host.paths.private.mkdir(mode=0o700, parents=True)
    sock, _ = sockets.listen(host.paths)
    await host.server.listen(sock)
    try:
        yield host
    finally:
        host.stop()
        await host.server.shutdown()
        host.engine.buffers.close()
