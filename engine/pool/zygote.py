"""The host's side of one zygote: its processes, its control socket, and the children it hands over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import msgspec

from engine.pool.environment import seed_place
from engine.pool.isolation import Promise, Ready, UnfitChild
from engine.pool.job import AHEAD_MODULES, Profile
from engine.pool.open_line import make_page
from engine.pool.outcome import ExitReport
from engine.pool.settings import PoolSettings
from engine.sandbox import cgroup
from engine.sandbox.processes import ENTRY, launcher_command, worker_environment
from engine.worker.wire import CHILD, EXIT, ForkRequest, Report

CONTROL_MESSAGE = 8 << 10
ANCILLARY_SPACE = socket.CMSG_SPACE(4 * 4) + socket.CMSG_SPACE(struct.calcsize("3i"))
CREDENTIALS = struct.Struct("3i")

EXERCISES = "_gatewright_worker.exercises"
"""``engine.worker.exercises`` as the launcher knows it."""

KILL_GRACE = 2.0
"""Seconds for the launcher to notice that its zygote has gone, before it is killed too."""


@dataclass(frozen=True, slots=True)
class NewChild:
    """A forked child, before its HELLO. The descriptors are the receiver's to close."""

    pid: int
    """In the engine's numbering."""

    inner_pid: int
    """In the template's, which is what a request to reap names."""

    tree: int
    """The process below which everything stays that a run starts: the child, without a pid namespace the template."""

    run_socket: int
    pidfd: int
    stdout: int
    stderr: int
    scratch_device: int

    line: int = -1
    """The page for lines that are begun: the zygote's own."""


class _Senseless(Exception):
    """A report is none that the template makes."""


class ZygoteOwner(Protocol):
    """Who hears what a zygote reports: its slot."""

    def zygote_ready(self, promise: Promise) -> None: ...

    def zygote_child(self, child: NewChild) -> None: ...

    def zygote_exit(self, inner_pid: int, report: ExitReport) -> None: ...

    def zygote_gone(self, problem: str) -> None:
        """Nothing more will come from it. Called once, unless ``kill`` was called first."""


class Zygote:
    """One launcher process and what is below it, from ``start`` to ``kill``.

    Attributes:
        cgroup: Where all its processes are, and nobody else; None without one.
        gone: Done when the launcher has been reaped, which waits for the template and so for everything below.
    """

    def __init__(self, settings: PoolSettings, profile: Profile, scratch: Path, owner: ZygoteOwner) -> None:
        self._owner: ZygoteOwner | None = owner
        self._plan = settings.plan_for(profile)
        self._own_files = self._plan.owns_files(profile.grants)
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._init_pidfd: int | None = None
        self._problem: str | None = None
        self._ready = False
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._control.setblocking(False)
            # The template attaches each child's credentials; the kernel turns the pid into our numbering (unix(7)).
            self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._line = make_page()
            try:
                self._process = _launch(settings, profile, scratch, theirs.fileno(), self._line)
            except OSError:
                self._control.close()
                os.close(self._line)
                raise
        # Before it forks: its interpreter takes longer to start.
        self.cgroup = None if settings.cgroup is None else cgroup.place(settings.cgroup, self._process.pid)
        self._launcher_pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._launcher_pidfd, self._launcher_ended)
        self._loop.add_reader(self._control.fileno(), self._receive)

    @property
    def pid(self) -> int:
        """The launcher's."""
        return self._process.pid

    def hand_to(self, owner: ZygoteOwner) -> None:
        """Let ``owner`` hear its reports from now on."""
        self._owner = owner

    def request(self, request: ForkRequest) -> None:
        """Send a request to the template; if it has gone, ``zygote_gone`` is on its way."""
        with contextlib.suppress(OSError):
            self._control.send(request.pack())

    def kill(self) -> None:
        """End everything: with the first process of a pid namespace the kernel kills the rest (pid_namespaces(7))."""
        self._owner = None
        self._close_control()
        if self.gone.done():
            return
        if not self._ready:
            self._kill_launcher()  # the rest dies with it (prctl(2), PR_SET_PDEATHSIG)
            return
        if self._init_pidfd is not None:
            _kill(self._init_pidfd)
        # Without one the launcher cleans up, once the template has left with the control socket.
        self._loop.call_later(KILL_GRACE, self._kill_launcher)

    def _kill_launcher(self) -> None:
        if not self.gone.done():
            _kill(self._launcher_pidfd)

    def _receive(self) -> None:
        owner = self._owner
        if owner is None:
            return
        try:
            message, ancillary, _, _ = self._control.recvmsg(CONTROL_MESSAGE, ANCILLARY_SPACE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"its control socket failed: {error}")
            return
        fds, sender = _unpack_ancillary(ancillary)
        try:
            self._hear(owner, message, fds, sender)
        except (struct.error, msgspec.MsgspecError, _Senseless):  # preloaded packages have its sender's process
            for fd in fds:
                os.close(fd)
            self._lost("it reported what makes no sense")

    def _hear(self, owner: ZygoteOwner, message: bytes, fds: list[int], sender: int) -> None:
        tag = message[:1]
        if tag == Report.CHILD:
            self._take_child(owner, message, fds, sender)
        elif tag == Report.EXIT:
            _, inner_pid, status, cpu = EXIT.unpack(message)
            owner.zygote_exit(inner_pid, ExitReport(status, cpu / 1e6))
        elif tag == Report.READY:
            if self._ready or len(fds) > 1:
                raise _Senseless
            report = msgspec.json.decode(message[1:], type=Ready)
            self._ready = True
            self._init_pidfd = fds[0] if fds else None
            self._take_ready(owner, report)
        elif tag == Report.FAILED:
            text = message[1:].decode("utf-8", "replace")
            self._problem = "".join(character if character.isprintable() else " " for character in text)
        else:
            self._lost(self._problem or "it has ended by itself")

    def _take_ready(self, owner: ZygoteOwner, report: Ready) -> None:
        try:
            promise = Promise.of(self._plan, report, own_files=self._own_files)
        except UnfitChild as problem:
            self._lost(f"it failed its self-test: {problem}")
            return
        owner.zygote_ready(promise)

    def _take_child(self, owner: ZygoteOwner, message: bytes, fds: list[int], sender: int) -> None:
        _, inner_pid, device, ended_pid, status, cpu = CHILD.unpack(message)
        if len(fds) != 4:
            raise _Senseless
        if ended_pid:
            owner.zygote_exit(ended_pid, ExitReport(status, cpu / 1e6))
        if self._owner is None:  # that report was all the slot was waiting for to leave
            for fd in fds:
                os.close(fd)
            return
        run_socket, pidfd, stdout, stderr = fds
        # Without a pid namespace there is nothing to translate, and the kernel names the template as the sender.
        pid = sender if self._plan.layers.pidns else inner_pid
        owner.zygote_child(NewChild(pid, inner_pid, sender, run_socket, pidfd, stdout, stderr, device, self._line))

    def _lost(self, problem: str) -> None:
        owner = self._owner
        self.kill()
        if owner is not None:
            owner.zygote_gone(problem)

    def _launcher_ended(self) -> None:
        self._loop.remove_reader(self._launcher_pidfd)
        os.close(self._launcher_pidfd)
        status = self._process.wait()
        if self.cgroup is not None:
            cgroup.remove(self.cgroup)
        self.gone.set_result(None)
        self._lost(self._problem or f"it could not start, or was killed (status {status})")
        if self._init_pidfd is not None:
            _kill(self._init_pidfd)
            os.close(self._init_pidfd)
            self._init_pidfd = None
        os.close(self._line)  # now that its owner has closed the child that looked there

    def _close_control(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()


def _launch(
    settings: PoolSettings, profile: Profile, scratch: Path, control: int, line: int
) -> subprocess.Popen[bytes]:
    config = json.dumps(_config(settings, profile, scratch, control, line)).encode()
    environment = settings.environment_of(profile)
    inside = settings.plan_for(profile).layers.locks
    command = launcher_command(environment.interpreter, ENTRY, inside=inside, environment=environment.prefix)
    with _error_log(settings.log_file) as log, _in_memory(config) as told:
        return subprocess.Popen(
            command,
            pass_fds=[control, line],
            env=worker_environment(),
            stdin=told,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )


def _config(settings: PoolSettings, profile: Profile, scratch: Path, control: int, line: int) -> dict[str, object]:
    """What the launcher is told (``engine.worker.config.Config``)."""
    plan = settings.plan_for(profile)
    environment = settings.environment_of(profile)
    seeds = seed_place(settings.seeds, environment)
    rule = {
        "mode": profile.mode.value,
        "allowed": (*settings.modules, *environment.modules),
        "lifted": settings.lifted,
        "preset": settings.preset,
    }
    return {
        "control": control,
        "line": line,
        "engine": os.getpid(),
        "scratch": str(scratch),
        "scratch_size": settings.limits.scratch,
        "scratch_inodes": settings.limits.inodes,
        "shm_size": settings.admin_memory,
        "mode": profile.mode.value,
        "leaves": profile.leaves,
        "layers": msgspec.to_builtins(plan.layers),
        "scripts": settings.scripts,
        "prefix": str(environment.prefix),
        "packages": str(environment.packages),
        "seeds": str(seeds) if seeds is not None and seeds.is_dir() else "",
        "preloads": profile.preloads if AHEAD_MODULES.isdisjoint(profile.preloads) else (EXERCISES, *profile.preloads),
        "grants": [(grant.access.value, grant.path, grant.device, grant.inode) for grant in profile.grants],
        "own_files": plan.owns_files(profile.grants),
        "rule": None if profile.tools else rule,
    }


@contextlib.contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """Return a memfd that holds ``data``: unlike arguments it is private, unlike a pipe it has no size limit."""
    fd = os.memfd_create("configuration")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _error_log(path: Path | None) -> Iterator[int | IO[bytes]]:
    if path is None:
        yield subprocess.DEVNULL
        return
    with path.open("ab") as log:
        yield log


def _unpack_ancillary(ancillary: list[tuple[int, int, bytes]]) -> tuple[list[int], int]:
    """The descriptors of a message and the pid in its credentials, 0 if there are none."""
    fds: list[int] = []
    pid = 0
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            fds += struct.unpack(f"{len(data) // 4}i", data)
        elif kind == socket.SCM_CREDENTIALS:
            pid = CREDENTIALS.unpack(data)[0]
    return fds, pid


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
