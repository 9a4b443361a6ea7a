"""Real engines of real projects: started as users start them, watched through /proc, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from engine.client import launch
from engine.client.client import EngineClient
from engine.lock import engine_lives, holder_of
from engine.models.runs import RunKind, RunRequest
from engine.paths import EnginePaths

PATIENCE = 20.0
FOREVER = RunRequest(kind=RunKind.EXEC, code="print('on', flush=True)\nwhile True: pass", timeout=60)
TWO = RunRequest(kind=RunKind.EXEC, code="result = 1 + 1")


def write_settings(root: Path, text: str) -> None:
    """Settings of a project that is still to be made."""
    private = root / ".gatewright"
    private.mkdir(mode=0o700)
    (private / "settings.toml").write_text(text)
    (private / "settings.toml").chmod(0o600)


def listens(place: Path) -> bool:
    """Tell whether a connection is taken at ``place``: the file is there a little before that."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(place))
        except OSError:
            return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Wait until ``condition`` holds and return how long that took; fail after ``seconds``."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds:g} seconds"
        time.sleep(0.01)
    return time.monotonic() - start


async def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Like ``wait_for``, while the event loop goes on."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds:g} seconds"
        await asyncio.sleep(0.01)
    return time.monotonic() - start


def line_of(process: subprocess.Popen[Any]) -> bytes:
    """The next line of a running command's stdout; fails if it ends before, or takes too long."""
    assert process.stdout is not None
    output, line, deadline = process.stdout.fileno(), b"", time.monotonic() + PATIENCE
    while not line.endswith(b"\n"):
        wait = max(0.0, deadline - time.monotonic())
        assert select.select([output], [], [], wait)[0], f"nothing within {PATIENCE:g} seconds, after {line!r}"
        piece = os.read(output, 1)  # what comes after the line is left to whoever reads next
        assert piece, f"it ended after {line!r}"
        line += piece
    return line


def parents() -> dict[int, int]:
    """Every living process's parent; a zombie is not living."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        with suppress(OSError), open(f"/proc/{entry}/stat") as file:
            state, parent = file.read().rpartition(") ")[2].split()[:2]
            if state != "Z":
                found[int(entry)] = int(parent)
    return found


def family(pid: int) -> set[int]:
    """``pid`` and everything below it."""
    tree = parents()
    found = {pid} & tree.keys()
    while more := {child for child, parent in tree.items() if parent in found} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    return pids & parents().keys()


class ProjectUnderTest:
    """A project's folder and whatever engine it has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = EnginePaths(root)

    async def connect(self, *, start: bool = True) -> EngineClient:
        return await launch.connect(self.root, client="cli", start=start)

    @property
    def engine_pid(self) -> int:
        holder = holder_of(self.paths.lifetime_lock)
        assert holder is not None
        return holder.pid

    @property
    def connections(self) -> int:
        """Connections to the engine: the kernel lists each accepted one, and the socket itself, under its path."""
        with open("/proc/net/unix") as table:
            return sum(line.rstrip().endswith(f" {self.paths.socket}") for line in table) - 1

    def recorded(self, sql: str) -> list[tuple[object, ...]]:
        """What the state database says on disk, read beside the engine."""
        with closing(sqlite3.connect(f"file:{self.paths.private / 'state.db'}?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchall()

    @property
    def lives(self) -> bool:
        return engine_lives(self.paths.lifetime_lock)

    def serve(self, *arguments: str) -> subprocess.Popen[bytes]:
        """An engine in the foreground, listening when this returns."""
        command = [*launch.daemon_command(self.root), *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=launch.daemon_environment(), start_new_session=True,
        )  # fmt: skip
        wait_for(lambda: listens(self.paths.socket) or process.poll() is not None)
        return process

    def settings(self, text: str) -> None:
        self.paths.private.mkdir(mode=0o700, exist_ok=True)
        file = self.paths.private / "settings.toml"
        file.write_text(text)
        file.chmod(0o600)

    def end(self) -> None:
        """Kill what lives of it, and make sure that nothing does."""
        # One that has just begun or is about to end has not written down yet, or no longer, who it is.
        wait_for(lambda: not self.lives or holder_of(self.paths.lifetime_lock) is not None)
        holder = holder_of(self.paths.lifetime_lock)
        if holder is None or not self.lives:
            return
        members = family(holder.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGKILL)
        wait_for(lambda: not alive(members))


def call_client(root: Path, code: str) -> subprocess.Popen[str]:
    """Another client: a process that connects to the project and runs ``code`` with ``client``."""
    program = f"""
import asyncio, sys
from pathlib import Path
from engine.client.launch import LaunchError, connect
from engine.registry.engine import ENGINE_INFO
async def main():
    client = await connect(Path({str(root)!r}), client="cli")
    {code}
    await client.close()
try:
    asyncio.run(main())
except LaunchError as error:
    print(error.message, "|", error.hint)
    sys.exit(error.exit_code)
"""
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
