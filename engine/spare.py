"""Folders outside of the projects for what an engine must write where its project takes nothing.

They lie where every account may make folders, so each is checked to be this account's own and closed to others. An
engine that leaves removes its own; what a killed one left, the account's next engine clears away.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from engine.paths import EnginePaths
from engine.sockets import address, check_private

PLACES = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108 - owner and mode are checked

MIN_AGE = 60.0
"""Seconds since something changed in a folder after which nobody is just about to use it."""

_NAME = re.compile(r"gatewright-(\d+)-[0-9a-f]{16}")
_LOCKS = ("engine.lock", "start.lock")
_SOCKET = "engine.sock"

log = logging.getLogger(__name__)


def folders(paths: EnginePaths, uid: int) -> list[Path]:
    """Where an engine of this project may write instead, the first choice first."""
    name = paths.fallback_socket(uid).parent.name
    return [place / name for place in PLACES]


def prepare(folder: Path) -> None:
    """Make the folder, or take the one that is there.

    Raises:
        NotPrivate: Somebody else has it.
        OSError: It cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private(folder, os.geteuid())


def remove(folder: Path) -> None:
    """Remove a folder of this account's that no engine and no client uses."""
    with contextlib.ExitStack() as stack:
        if all(stack.enter_context(_free(folder / name)) for name in _LOCKS):
            shutil.rmtree(folder, ignore_errors=True)  # follows no links on the way


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep the folder from being cleared away meanwhile."""
    descriptor = os.open(folder / _LOCKS[0], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def clear_leftovers(uid: int, own: Path, now: float | None = None) -> list[Path]:
    """Remove what killed engines of this account left; the folders that went.

    Args:
        uid: The account.
        own: The folder of the engine that asks.
        now: Seconds since the epoch; else this moment.
    """
    gone = []
    for place in PLACES:
        for folder in _of(uid, place):
            if folder.name != own.name and not _in_use(folder, time.time() if now is None else now):
                remove(folder)
                if not folder.exists():
                    gone.append(folder)
    if gone:
        log.info("cleared away what engines left: %s", ", ".join(map(str, gone)))
    return gone


def _of(uid: int, place: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(place)):
            match = _NAME.fullmatch(entry.name)
            if match is not None and int(match[1]) == uid:
                yield Path(entry.path)


def _in_use(folder: Path, now: float) -> bool:
    """Whether somebody may need it; also what is not ours to judge."""
    try:
        info = os.lstat(folder)
    except OSError:
        return True
    ours = stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o077
    return not ours or now - info.st_mtime < MIN_AGE or _answers(folder / _SOCKET)


def _answers(path: Path) -> bool:
    """Whether an engine listens: its lock may lie in a project that nobody knows here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as trial:
        try:
            with address(path) as there:
                trial.connect(there)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except OSError:  # a full backlog, for one
            return True
    return True


@contextlib.contextmanager
def _free(lock: Path) -> Iterator[bool]:
    """Take a lock for a moment; False where somebody has it. One that does not exist is nobody's."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
