"""Clients of the two floors: a worker that is used again, and a bare zygote that forks for every run."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from engine.models.runs import RunKind, Stream
from engine.pool.frames import FrameParser, run_frame
from engine.pool.job import Job
from engine.pool.outcome import Ending, from_result
from engine.sandbox.processes import WORKER

HERE = Path(__file__).parent
LENGTH = struct.Struct("<I")


class NoSink:
    """A run's sink for those who only want its ending."""

    def queued(self, position: int, reason: str) -> None: ...

    def started(self, slot: int, pid: int, isolation: str) -> None: ...

    def output(self, stream: Stream, text: str) -> None: ...

    def held(self) -> bool:
        return False


class Floor:
    """One process at the other end of a socket, that answers one request at a time."""

    def __init__(self, interpreter: Path, script: str, *arguments: str) -> None:
        ours, theirs = socket.socketpair()
        command = [str(interpreter), "-I", "-X", "utf8", str(HERE / script), *arguments]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, env={"LANG": "C.UTF-8"})
        theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._answer: asyncio.Future[bytes] | None = None
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)

    def __enter__(self) -> Floor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._process.kill()
        self._process.wait()

    async def ask(self, data: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self._socket.send(data)
        return await self._answer

    def _readable(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            sys.exit(f"the floor {self._process.args!r} ended")
        if self._answer is not None:
            self._answer.set_result(data)
            self._answer = None


class ReusedWorker(Floor):
    """Same client loop, same frames, same compile path as a run in the pool; no fork."""

    def __init__(self, interpreter: Path) -> None:
        super().__init__(interpreter, "reused_worker.py", str(WORKER))

    async def run(self, source: bytes) -> Ending:
        job = Job(run_id=1, kind=RunKind.EXEC, name="x", actor="x", source=source, filename="<exec>", sink=NoSink())
        answer = await self.ask(run_frame(job, 0))
        [(_, payload)] = FrameParser(1 << 20).feed(answer)
        return from_result(payload, 1 << 20, 0.0, "")


class ForkZygote(Floor):
    """A clean process for every run and nothing else: no sandbox, no limits, no records."""

    def __init__(self, interpreter: Path) -> None:
        super().__init__(interpreter, "fork_zygote.py")

    async def run(self, source: bytes) -> bytes:
        return await self.ask(LENGTH.pack(len(source)) + source)


def process_memory(pids: list[int]) -> int:
    """Proportional set size of all ``pids`` together, in bytes (proc_pid_smaps_rollup(5))."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    return total


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            for child in map(int, file.read().split()):
                found += [child, *descendants(child)]
    return found
