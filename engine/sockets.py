"""Unix sockets at any path: longer than the kernel takes, or on a file system that holds none (unix(7))."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.paths import EnginePaths

MAX_PATH = 107
"""Bytes of ``sun_path`` without its closing NUL."""

BACKLOG = 1024
SO_PEERGROUPS = 59
"""Not in Python's socket module (include/uapi/asm-generic/socket.h)."""

NO_SOCKETS_HERE = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOSPC, errno.EDQUOT}
)
"""What bind(2) says on file systems without sockets, or without room for one."""


class NotPrivate(PermissionError):
    """A folder of the account's own, where everybody may make folders, is somebody else's or open to others.

    Attributes:
        sentence: What is wrong, for people.
        hint: What to do.
    """

    def __init__(self, folder: Path, why: str, hint: str) -> None:
        self.sentence = f"{folder} is not a folder that only the project's owner can use: {why}."
        self.hint = hint
        super().__init__(errno.EPERM, self.sentence)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel noted it at connect(2)."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def peer_of(sock: socket.socket) -> Peer:
    """The peer of a connected unix socket. Trust the uid; the pid may have been used again."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return Peer(pid, uid, gid, _peer_groups(sock))


def _peer_groups(sock: socket.socket) -> tuple[int, ...]:
    size = 64 * 4
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, size)
    except OSError as error:
        if error.errno != errno.ERANGE:
            return ()
        # NGROUPS_MAX is 65536 (limits.h); the option says only "larger" without saying how much through this interface.
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 65536 * 4)
    return struct.unpack(f"{len(raw) // 4}I", raw)


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """``path`` as an address: itself, or through its folder's descriptor when it is too long."""
    if len(os.fsencode(path)) <= MAX_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def bind(path: Path, group: int | None = None) -> socket.socket:
    """A listening socket at ``path``. No living engine uses the path: the caller holds the lock.

    Args:
        path: Where.
        group: Whose members may connect, too; else only the owner may.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)
    try:
        with address(path) as place:
            sock.bind(place)
        if group is not None:
            os.chown(path, -1, group, follow_symlinks=False)
            path.chmod(0o660)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


def listen(paths: EnginePaths) -> tuple[socket.socket, Path]:
    """Listen in the project, or in a folder under /tmp where the project's file system holds no sockets."""
    try:
        return bind(paths.socket), paths.socket
    except OSError as error:
        if error.errno not in NO_SOCKETS_HERE:
            raise
    fallback = paths.fallback_socket(os.geteuid())
    with contextlib.suppress(FileExistsError):
        fallback.parent.mkdir(mode=0o700)
    check_private(fallback.parent, os.geteuid())
    return bind(fallback), fallback


async def connect(paths: EnginePaths, owner: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the project's engine.

    Raises:
        OSError: Nothing listens, or what listens is not the owner's.
    """
    return await _streams(await _connect_first(paths, owner), owner)


async def connect_at(path: Path, owner: int, *others: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a socket at one place.

    Args:
        path: Where.
        owner: Who must listen there.
        others: Who may, too.

    Raises:
        OSError: Nothing listens, or what listens is not theirs (EPERM).
    """
    return await _streams(await _connect(path), owner, *others)


async def _streams(sock: socket.socket, owner: int, *others: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        _check_peer(sock, owner, *others)
        return await asyncio.open_unix_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def _connect_first(paths: EnginePaths, owner: int) -> socket.socket:
    if not paths.socket.exists():
        fallback = paths.fallback_socket(owner)
        if fallback.exists():
            check_private(fallback.parent, owner)
            return await _connect(fallback)
    return await _connect(paths.socket)


async def _connect(path: Path) -> socket.socket:
    """Connect without blocking the loop; a full backlog (EAGAIN, unix(7)) is tried again for a second."""
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with address(path) as place:
                sock.connect(place)
        except BlockingIOError:
            sock.close()
            await asyncio.sleep(0.01)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise TimeoutError(errno.ETIMEDOUT, "the engine takes no connections")


def _check_peer(sock: socket.socket, owner: int, *others: int) -> None:
    peer = peer_of(sock)
    if peer.uid != owner and peer.uid not in others:
        raise PermissionError(errno.EPERM, f"the socket belongs to uid {peer.uid}, the project to uid {owner}")


def check_private(folder: Path, owner: int) -> None:
    """Anybody may make folders in /tmp: take only one that is the owner's and closed to others."""
    info = folder.lstat()
    if info.st_uid != owner:
        name = _account(info.st_uid)
        raise NotPrivate(folder, f"it belongs to {name}", f"Have {name} or root remove it, then try again.")
    if not stat.S_ISDIR(info.st_mode):
        raise NotPrivate(folder, "it is no folder", "Remove it, then try again.")
    if info.st_mode & 0o077:
        raise NotPrivate(folder, "other accounts may use it", "Remove it, then try again.")


def _account(uid: int) -> str:
    import pwd  # rarely needed

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
