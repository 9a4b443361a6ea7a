"""Whom an attack could reach on the host: listeners, a process of the same account, and the engine's own process."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from place import LISTENING

PATIENCE = 20.0

VICTIM = """
import ctypes, json, os, sys
secret = ctypes.create_string_buffer(os.environ["GATEWRIGHT_SECRET"].encode())
room = ctypes.create_string_buffer(64)
file = os.open(sys.argv[1], os.O_RDONLY)
print(json.dumps({"address": ctypes.addressof(secret), "scratch": ctypes.addressof(room)}), flush=True)
for line in sys.stdin:
    print(flush=True)
"""


class Listeners:
    """Sockets that somebody could send to. They accept and note; they never answer."""

    def __init__(self, folder: Path, tag: str) -> None:
        self._streams = {"tcp": _bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))}
        self._packets = {"udp": _bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))}
        kinds = ((socket.SOCK_STREAM, self._streams), (socket.SOCK_DGRAM, self._packets))
        for name, (kind, held) in zip(LISTENING, kinds, strict=True):
            held[name] = _bound(socket.AF_UNIX, kind, str(folder / name))
            held[name.replace("unix", "abstract")] = _bound(socket.AF_UNIX, kind, f"\0{tag}-{name}")

    def for_scripts(self) -> dict[str, Any]:
        every = self._streams | self._packets
        return {
            name: own.getsockname()[1] if own.family == socket.AF_INET else _text(own.getsockname())
            for name, own in every.items()
        }

    def heard(self) -> list[str]:
        """Who was reached since this was asked before."""
        found = []
        for name, listener in self._streams.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    connection.close()
                    found.append(name)
        for name, listener in self._packets.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.recv(9999)
                    found.append(name)
        return found

    def close(self) -> None:
        for listener in (*self._streams.values(), *self._packets.values()):
            listener.close()


def _bound(family: int, kind: int, address: tuple[str, int] | str) -> socket.socket:
    listener = socket.socket(family, kind)
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen(20)
    listener.setblocking(False)
    return listener


def _text(address: str | bytes) -> str:
    return address if isinstance(address, str) else address.decode()


class Victim:
    """A process of the engine's account that only answers. It is started again when it was harmed."""

    def __init__(self, secret: str, secret_file: Path) -> None:
        self._environment = {"GATEWRIGHT_SECRET": secret}
        self._file = str(secret_file)
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", VICTIM, self._file], env=self._environment, process_group=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.address, self.scratch = told["address"], told["scratch"]
        self._treatment = self._as_it_is()

    def for_scripts(self) -> dict[str, Any]:
        return {"victim_pid": self.process.pid, "victim_address": self.address, "victim_scratch": self.scratch}

    def harm(self) -> list[str]:
        """What was done to it since it was started; it is mended."""
        if not self._answers():
            signs = ["host:victim"]
        elif self._as_it_is() != self._treatment:
            signs = ["host:treated"]
        else:
            return []
        self.close()
        self._start()
        return signs

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _answers(self) -> bool:
        """Whether it still does what it is asked. A signal that was sent before has taken effect then."""
        asking, answers = self.process.stdin, self.process.stdout
        assert asking is not None
        assert answers is not None
        try:
            os.write(asking.fileno(), b"\n")
        except BrokenPipeError:
            return False
        deadline = time.monotonic() + PATIENCE
        while not select.select([answers], [], [], 0.005)[0]:
            if self._stopped():
                return False
            assert time.monotonic() < deadline, "the victim neither answers nor has ended"
        return os.read(answers.fileno(), 1) == b"\n"

    def _stopped(self) -> bool:
        with open(f"/proc/{self.process.pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] in (b"T", b"t", b"Z")

    def _as_it_is(self) -> tuple[object, ...]:
        pid = self.process.pid
        with open(f"/proc/{pid}/oom_score_adj") as score:
            return (
                os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid), os.sched_getscheduler(pid),
                resource.prlimit(pid, resource.RLIMIT_NOFILE), score.read(), _io_priority(pid),
            )  # fmt: skip


def _io_priority(pid: int) -> int:
    return int(ctypes.CDLL(None).syscall(252, 1, pid))  # ioprio_get(2)


class Engine:
    """This process, as attacks see it: its pid, a secret in its memory, and the signals it must not get."""

    def __init__(self, secret: str) -> None:
        self._secret = ctypes.create_string_buffer(secret.encode())
        self._signals = 0
        signal.signal(signal.SIGUSR1, self._count)
        self._treatment = self._as_it_is()

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def for_scripts(self) -> dict[str, Any]:
        return {"engine_pid": os.getpid(), "engine_address": ctypes.addressof(self._secret)}

    def harm(self) -> list[str]:
        signs = ["host:signal"] if self._signals else []
        self._signals = 0
        if self._as_it_is() != self._treatment:
            signs.append("host:treated")
            os.setpriority(os.PRIO_PROCESS, 0, self._treatment[0])
        return signs

    @staticmethod
    def _as_it_is() -> tuple[int, set[int], tuple[int, int]]:
        return os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_NOFILE)
