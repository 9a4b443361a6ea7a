"""The control: an attack's scripts in a plain process of the same interpreter and account, nothing in their way."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watcher import Measures, watch

from engine.worker.scratch import remove_folder

SERVER = str(Path(__file__).with_name("plain_server.py"))
CONFIGURATION = json.dumps({"mode": "RESTRICTED", "layers": {"seccomp": True}, "grants": [], "scratch": "/nowhere"})
"""What an engine without care would give its processes as an argument."""

PATIENCE = 20.0
OUTPUT_KEPT = 4 << 20


@dataclass(frozen=True, slots=True)
class PlainRun:
    """What came of it."""

    evidence: str
    frames: bytes
    """What arrived on the channel, descriptor 3."""
    output: int
    duration: float
    ended_by_itself: bool
    measures: Measures


class PlainRunner:
    """Runs scripts in processes of their own, in a process group of the caller's choice.

    Args:
        interpreter: The one that the pool's runs have.
        stray: A descriptor that an engine without care would let its processes inherit.
        environment: What stands for the engine's environment.
        folder: Where each of them gets a working folder.
    """

    def __init__(self, interpreter: Path, stray: int, environment: dict[str, str], folder: Path) -> None:
        self._folder = folder
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs:
            self._server = subprocess.Popen(
                [str(interpreter), "-I", SERVER, str(theirs.fileno()), CONFIGURATION],
                env=environment, pass_fds=(theirs.fileno(), stray), stdin=subprocess.DEVNULL,
            )  # fmt: skip

    async def run(
        self, sources: Sequence[str], variables: dict[str, Any], wall: float, group: int, *, watched: bool
    ) -> PlainRun:
        """Run ``sources`` one after the other in one process, for at most ``wall`` seconds."""
        folder = tempfile.mkdtemp(dir=self._folder)
        try:
            request = {"sources": sources, "variables": variables, "wall": wall, "group": group, "folder": folder}
            with tempfile.TemporaryFile(dir=self._folder) as output:
                return await self._follow(request, output.fileno(), watched)
        finally:
            remove_folder(folder)  # of any depth, unlike shutil.rmtree

    async def _follow(self, request: dict[str, Any], output: int, watched: bool) -> PlainRun:
        channel, theirs = socket.socketpair()
        channel.setblocking(False)
        with channel:
            with theirs:
                fds = array.array("i", [theirs.fileno(), output])
                self._control.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            frames = bytearray()
            draining = asyncio.ensure_future(_drain(channel, frames))
            start = time.monotonic()
            async with watch(self._server.pid, really=watched) as measures:
                async with asyncio.timeout(request["wall"] + PATIENCE):
                    answer = json.loads(await asyncio.get_running_loop().sock_recv(self._control, 4096))
            duration = time.monotonic() - start
            _kill_all_in(request["folder"])
            await draining
        measures.memory = max(measures.memory, answer["memory"])  # a short peak may lie between two samples
        evidence = os.pread(output, OUTPUT_KEPT, 0).decode("utf-8", "replace")
        size = os.fstat(output).st_size
        return PlainRun(evidence, bytes(frames), size, duration, answer["ended"], measures)

    def close(self) -> None:
        self._control.close()
        try:
            self._server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            raise


async def _drain(channel: socket.socket, into: bytearray) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while part := await loop.sock_recv(channel, 1 << 16):
            if len(into) < OUTPUT_KEPT:
                into += part


def _kill_all_in(folder: str) -> None:
    """End every process that works in ``folder`` or below, as all that was started there does."""
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd").startswith(folder):
                os.kill(int(entry), signal.SIGKILL)
