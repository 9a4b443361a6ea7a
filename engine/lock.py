"""One engine per project: the lock that an engine holds as long as it lives, and what it says about its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path

import msgspec

ACQUIRE_PATIENCE = 0.5
"""Seconds. A client that only looks whether the lock is held holds it for an instant."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine holds a project. ``boot_id`` tells a pid of before a reboot from one of now."""

    pid: int
    host: str
    boot_id: str
    socket: str = ""

    @property
    def elsewhere(self) -> bool:
        """On another host, which shares the project's file system with this one."""
        return self.host != socket.gethostname()

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


class AlreadyRunning(Exception):
    """Another engine serves this project."""

    hint = "Stop it first: gatewright engine stop, or systemctl stop if a service runs it."

    def __init__(self, holder: Holder | None) -> None:
        known = f" ({holder}{f', socket {holder.socket}' if holder.socket else ''})" if holder else ""
        super().__init__(f"An engine already serves this project{known}.")
        self.holder = holder


class LifetimeLock:
    """Kept as long as the process lives: the kernel lets go of it then, whatever ends the process (flock(2))."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> None:
        """Raises ``AlreadyRunning`` when another engine lives."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + ACQUIRE_PATIENCE
        while not _try(fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = _read(fd)
                os.close(fd)
                raise AlreadyRunning(holder)
            time.sleep(0.02)
        self._fd = fd
        self.note()

    def note(self, socket_path: str = "") -> None:
        """Write down who holds the lock. The lock counts, not the note: a disk too full for it is no reason to stop."""
        holder = Holder(pid=os.getpid(), host=socket.gethostname(), boot_id=boot_id(), socket=socket_path)
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, msgspec.json.encode(holder), 0)

    @property
    def in_place(self) -> bool:
        """Whether the lock's path still leads to what is locked; if not, another engine could take what is there."""
        try:
            there, held = os.stat(self._path), os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        os.close(self._fd)
        self._fd = -1


def engine_lives(lock: Path) -> bool:
    """Whether an engine holds the lock right now."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def holder_of(lock: Path) -> Holder | None:
    """Who holds the lock, or held it last; None if nobody wrote it down."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return _read(fd)
    finally:
        os.close(fd)


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.DecodeError:
        return None
