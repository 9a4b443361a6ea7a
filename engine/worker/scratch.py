"""The folder a run works in: empty at its start, gone at its end.

With a mount namespace it is a small tmpfs, which the launcher mounts anew when a run has touched it. Without one it is
a private folder that the template empties.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import time

from . import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Protocol

    from .shared_memory import SharedMemory

    class Scratch(Protocol):
        """What the template needs to know of a scratch folder."""

        path: str
        device: int
        """Device number, by which a child proves that it works there."""

        writable: bool

        def prepare(self, size: int, inodes: int) -> None:
            """Empty it of what the last run left, and let the next one fill it this far."""


MOUNT_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOATIME
SIZES = struct.Struct("<QI")
"""Bytes and inodes of a tmpfs: what the template asks the launcher for."""

COARSE_TICK = 0.01
"""Before Linux 6.13 timestamps advance with the timer: a change this soon after the mount may leave no trace."""


class TmpfsScratch:
    """The template's side: notices a dirty scratch and has the launcher replace it, and with it what else it mounts.

    ``more`` are those other places, in which a run can leave something as well.
    """

    writable = True

    def __init__(self, path: str, launcher: socket, size: int, inodes: int, more: tuple[str, ...] = ()) -> None:
        self.path = path
        self._more = more
        self._launcher = launcher
        self._sizes = (size, inodes)
        self._fine_timestamps = kernel.version() >= (6, 13)
        self._young = False
        self._note_fresh()

    def prepare(self, size: int, inodes: int) -> None:
        if self._young or (size, inodes) != self._sizes or _trace(self.path) != self._pristine or self._left():
            self._replace(size, inodes)
        self._young = not self._fine_timestamps and time.monotonic() - self._mounted_at < COARSE_TICK

    def _replace(self, size: int, inodes: int) -> None:
        self._launcher.send(SIZES.pack(size, inodes))
        if not self._launcher.recv(1):
            raise OSError("the launcher left while it was asked for a new scratch")
        self._sizes = (size, inodes)
        self._note_fresh()

    def _note_fresh(self) -> None:
        self._pristine = _trace(self.path)
        self._pristine_more = tuple(map(_trace, self._more))
        self.device = self._pristine[0]
        self._mounted_at = time.monotonic()

    def _left(self) -> bool:
        """Whether something was left in the other places."""
        return bool(self._more) and tuple(map(_trace, self._more)) != self._pristine_more


class FolderScratch:
    """A private folder on disk, where there are no namespaces to mount in.

    Each launcher makes its own below ``parent``: the one before may still be busy removing its.
    """

    writable = True

    def __init__(self, parent: str) -> None:
        for name in os.listdir(parent):
            if not os.path.exists(f"/proc/{name}"):  # of a launcher that was killed
                remove_folder(os.path.join(parent, name))
        self.path = os.path.join(parent, str(os.getpid()))
        os.mkdir(self.path, 0o700)
        self.device = os.stat(self.path).st_dev

    def prepare(self, size: int, inodes: int) -> None:  # noqa: ARG002 - RLIMIT_FSIZE is all that holds here
        empty_folder(self.path)


class NoScratch(FolderScratch):
    """An empty folder to be in, where nobody can write: Landlock allows nothing, or else seccomp denies the chmod."""

    writable = False

    def __init__(self, parent: str) -> None:
        super().__init__(parent)
        os.chmod(self.path, 0o500)

    def prepare(self, size: int, inodes: int) -> None:
        """It is as empty as before."""


def mount_scratch(parent: str, size: int, inodes: int) -> None:
    """Mount the scratch as ``s`` under a read-only tmpfs of its own on ``parent`` (launcher's side)."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", parent, "tmpfs", flags, "size=4k,nr_inodes=4,mode=755")
    path = os.path.join(parent, "s")
    os.mkdir(path, 0o700)
    _mount_tmpfs(path, size, inodes)
    kernel.mount(None, parent, None, kernel.MS_REMOUNT | kernel.MS_RDONLY | flags)


def serve_replacements(path: str, template: socket, shared: SharedMemory | None) -> None:
    """Replace the scratch whenever the template asks; ends when the template has gone (launcher's side)."""
    while request := template.recv(SIZES.size):
        kernel.detach(path)
        _mount_tmpfs(path, *SIZES.unpack(request))
        if shared is not None:
            shared.replace()
        template.send(b"k")


def remove_folder(path: str) -> None:
    """Remove ``path`` and everything below it."""
    empty_folder(path)
    os.rmdir(path)


def empty_folder(path: str) -> None:
    """Remove everything below ``path`` in constant depth: folders inside folders are first moved up to ``path``.

    Scripts nest folders by the thousand: recursion would end at the interpreter's limit, a descriptor a level at the
    process's own.
    """
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(root, 0o700)
        serial = 0
        while names := os.listdir(root):
            for name in names:
                serial = _remove_one(root, name, serial)
    finally:
        os.close(root)


def _remove_one(root: int, name: str, serial: int) -> int:
    if not _is_folder(root, name):
        os.unlink(name, dir_fd=root)
        return serial
    os.chmod(name, 0o700, dir_fd=root)
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    try:
        for inner in os.listdir(folder):
            if _is_folder(folder, inner):
                os.chmod(inner, 0o700, dir_fd=folder)
                serial = _move_up(folder, inner, root, serial)
            else:
                os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=root)
    return serial


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _move_up(folder: int, name: str, root: int, serial: int) -> int:
    """Move a folder up to ``root`` under the next free number."""
    while True:
        serial += 1
        try:
            os.rename(name, f".{serial}", src_dir_fd=folder, dst_dir_fd=root)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            return serial


def _mount_tmpfs(path: str, size: int, inodes: int) -> None:
    kernel.mount("tmpfs", path, "tmpfs", MOUNT_FLAGS, f"size={size},nr_inodes={inodes},mode=700")


def _trace(path: str) -> tuple[int, ...]:
    """What any change to an empty tmpfs alters, its device number first."""
    status, space = os.stat(path), os.statvfs(path)
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        space.f_ffree,
        space.f_bfree,
    )
