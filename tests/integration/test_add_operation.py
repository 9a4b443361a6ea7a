"""What one more operation takes: a row, a method and a command. ARCHITECTURE has the recipe ("To add an operation")."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pin_operation
import pytest
from pin_operation import PIN, PinService

from engine import Engine, sockets
from engine.api.app import build_app
from engine.api.event_wire import EventWire
from engine.api.server import EngineServer
from engine.client.answers import EngineError
from engine.client.client import EngineClient
from engine.client.transport import SocketTransport
from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo
from engine.paths import EnginePaths
from engine.registry import OPERATIONS
from engine.registry.engine import OPENAPI
from engine.registry.scripts import ScriptParams
from engine.services.operations import UnboundOperation

TABLE = (*OPERATIONS, PIN)

COMMAND_LINE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from pin_operation import pin
from tui.cli import main
from tui.commands.scripts import scripts
scripts.add_command(pin)
main()
"""


class Serving:
    """Implements ``engine.api.host.EngineHost`` for an engine whose table has one operation more."""

    def __init__(self, engine: Engine, paths: EnginePaths) -> None:
        self.engine = engine
        self.paths = paths
        self.wire = EventWire("pins")
        self.stopping = asyncio.Event()
        self.in_flight = 32

    def info(self) -> EngineInfo:
        return EngineInfo(
            version="0",
            api_version=API_VERSION,
            pid=os.getpid(),
            project=str(self.paths.project),
            owner=self.engine.owner.name,
            started_at=time.time(),
        )

    def stop(self) -> None:
        self.stopping.set()

    async def gatewright(self, *arguments: str) -> str:
        """Run the command line in a process of its own; what it wrote to stdout."""
        here = str(Path(pin_operation.__file__).parent)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND_LINE, here, "--project", str(self.paths.project), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        return out.decode()


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Serving]:
    async with Engine.open(root, pool_size=1) as engine:
        host = Serving(engine, EnginePaths(root))
        server = EngineServer(build_app(host, TABLE, PinService(engine.scripts)))
        sock, _ = sockets.listen(host.paths)
        await server.listen(sock)
        try:
            yield host
        finally:
            host.stop()
            await server.shutdown()


def test_it_takes_forty_lines_at_most() -> None:
    source = Path(pin_operation.__file__).read_text()
    assert len(source.splitlines()) <= 40
    assert [source.count(part) for part in ("Operation(", "@implements(", "@click.command(")] == [1, 1, 1]


async def test_it_is_called_over_the_socket_and_the_command_line(tmp_path: Path) -> None:
    async with serving(tmp_path / "plant") as host:
        client = EngineClient(SocketTransport(partial(sockets.connect, host.paths, os.geteuid()), "cli"))
        pins = await client.call(PIN, ScriptParams(path="tour"))
        assert pins.paths == ["defaults/tour.py"]
        with pytest.raises(EngineError, match="There is no script 'nowhere'"):
            await client.call(PIN, ScriptParams(path="nowhere"))
        assert "/scripts/pin/{path}" in (await client.call(OPENAPI))["paths"]
        await client.close()
        assert await host.gatewright("scripts", "pin", "log_digest") == "defaults/tour.py defaults/log_digest.py\n"
        answer = json.loads(await host.gatewright("scripts", "pin", "tour", "--json"))
        assert answer == {"paths": ["defaults/tour.py", "defaults/log_digest.py", "defaults/tour.py"]}


async def test_a_row_without_its_method_is_found_before_anything_is_served(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        host = Serving(engine, EnginePaths(tmp_path / "plant"))
        with pytest.raises(UnboundOperation, match=r"No method carries out scripts\.pin"):
            build_app(host, TABLE)
        with pytest.raises(UnboundOperation, match=r"The table does not have scripts\.pin"):
            build_app(host, OPERATIONS, PinService(engine.scripts))
        with pytest.raises(UnboundOperation, match=r"Two methods carry out scripts\.pin"):
            build_app(host, TABLE, PinService(engine.scripts), PinService(engine.scripts))
