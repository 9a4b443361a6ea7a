"""The folder a run works in: empty at its start, gone at its end.

With a mount namespace it is a small tmpfs, which the launcher mounts anew when a run has touched it. Without one it is
a private folder that the template empties, by a descriptor that it has of it from the start.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat
import struct
import time

from . import kernel
from .locks import handed_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Protocol

    from .locks import LockBroker
    from .shared_memory import SharedMemory

    class Scratch(Protocol):
        """What the template needs to know of a scratch folder."""

        path: str
        device: int
        """Device number, by which a child proves that it works there."""

        writable: bool
        launcher: socket | None
        """Where a new one is asked for."""

        def prepare(self, size: int, inodes: int) -> None:
            """Empty it of what the last run left, and let the next one fill it this far."""


MOUNT_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOATIME
SIZES = struct.Struct("<QI")
"""Bytes and inodes of a tmpfs: what the template asks the launcher for."""

RECEIVING = (_socket.CMSG_LEN(4), _socket.MSG_CMSG_CLOEXEC)
"""Room for a descriptor beside a message (unix(7)), and its flag."""

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
        self.launcher: socket | None = launcher
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
    launcher: socket | None = None

    def __init__(self, parent: str) -> None:
        for name in os.listdir(parent):
            if not os.path.exists(f"/proc/{name}"):  # of a launcher that was killed
                _remove_leftover(os.path.join(parent, name))
        self.path = os.path.join(parent, str(os.getpid()))
        os.mkdir(self.path, 0o700)
        self._folder = HeldFolder(self.path)
        self.device = self._folder.device

    def prepare(self, size: int, inodes: int) -> None:  # noqa: ARG002 - RLIMIT_FSIZE is all that holds here
        self._folder.empty()
        self._folder.expect_in_place()  # the next child goes there by its path

    def remove(self) -> None:
        """Remove the folder that was made here, and none that has come to lie at its path."""
        self._folder.remove()


class NoScratch(FolderScratch):
    """An empty folder to be in, where nobody can write: Landlock allows nothing, or else seccomp denies the chmod."""

    writable = False

    def __init__(self, parent: str) -> None:
        super().__init__(parent)
        self._folder.set_mode(0o500)

    def prepare(self, size: int, inodes: int) -> None:
        """It is as empty as before."""


def _remove_leftover(path: str) -> None:
    """Remove what a launcher before left. What may not be removed stays, and is no reason not to start."""
    try:
        remove_folder(path)
    except OSError as error:
        os.write(2, f"What an earlier run left in {path} could not be removed: {error}\n".encode())


def mount_scratch(parent: str, size: int, inodes: int) -> None:
    """Mount the scratch as ``s`` under a read-only tmpfs of its own on ``parent`` (launcher's side)."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", parent, "tmpfs", flags, "size=4k,nr_inodes=4,mode=755")
    path = os.path.join(parent, "s")
    os.mkdir(path, 0o700)
    _mount_tmpfs(path, size, inodes)
    kernel.mount(None, parent, None, kernel.MS_REMOUNT | kernel.MS_RDONLY | flags)


def serve_template(
    path: str, template: socket, shared: SharedMemory | None = None, broker: LockBroker | None = None
) -> None:
    """Replace the scratch whenever the template asks; ends when the template has gone (launcher's side).

    Meanwhile ``broker`` answers calls that lock files.
    """
    while True:
        if broker is not None:
            broker.serve(template)
        request, ancillary, _, _ = template.recvmsg(SIZES.size, *RECEIVING)
        if not request:
            return
        listener = handed_over(ancillary)
        if listener is not None and broker is not None:
            broker.listen(listener)
            continue
        kernel.detach(path)
        _mount_tmpfs(path, *SIZES.unpack(request))
        if shared is not None:
            shared.replace()
        template.send(b"k")


class FolderRefused(OSError):
    """A folder is not the one that may be emptied, or holds what is not its own. Nothing of it was changed."""


class HeldFolder:
    """A folder that is emptied, and removed, by a descriptor of it: where its path leads by then does not matter.

    Scripts without a sandbox can put another folder in the place of theirs, or mount one inside. So device and inode
    are compared before anything is changed, and a mount point is never entered, be it this one or below.
    """

    def __init__(self, path: str) -> None:
        """Hold the folder at ``path``, best as soon as it was made.

        Raises:
            FolderRefused: It is the root folder or a mount point.
            OSError: There is none, or it is a symbolic link.
        """
        above, self._name = os.path.split(os.path.abspath(path))
        if not self._name:
            raise FolderRefused(f"{path} is the root folder, which is never emptied")
        self._path = path
        self._fd = self._parent = -1
        try:
            self._parent = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._fd = os.open(self._name, _HOLD | os.O_DIRECTORY, dir_fd=self._parent)
            self._identity = _identity(os.fstat(self._fd))
            self._mount = _mount_of(self._fd)
            self._refuse_mount_points()
        except BaseException:
            self.close()
            raise

    def _refuse_mount_points(self) -> None:
        if self._identity == _identity(os.stat("/")):
            raise FolderRefused(f"{self._path} is the root folder, which is never emptied")
        if self._mount != _mount_of(self._parent):
            raise FolderRefused(f"{self._path} is a mount point, which is never emptied")

    @property
    def device(self) -> int:
        return self._identity[0]

    def set_mode(self, mode: int) -> None:
        """Change the mode of this folder, whatever lies at its path."""
        self._expect()
        _set_mode(self._fd, mode)

    def empty(self) -> None:
        """Remove everything in it, in constant depth: folders inside folders are first moved up.

        Scripts nest folders by the thousand: recursion would end at the interpreter's limit, a descriptor a level at
        the process's own.

        Raises:
            FolderRefused: Something is mounted in it. What was found before that is removed.
            OSError: Something cannot be removed.
        """
        self.set_mode(0o700)
        serial = 0
        root = _listable(self._fd)
        try:
            while names := os.listdir(root):
                for name in names:
                    serial = self._remove_one(root, name, serial)
        finally:
            os.close(root)

    def remove(self) -> None:
        """Empty it, remove it and let go of it.

        Raises:
            FolderRefused: As ``empty``, or something else lies at its path by now.
            OSError: As ``empty``.
        """
        try:
            self.empty()
            self.expect_in_place()
            os.rmdir(self._name, dir_fd=self._parent)
        finally:
            self.close()

    def expect_in_place(self) -> None:
        """Raise FolderRefused if something else lies at its path by now, or is mounted there."""
        here = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        if _identity(here) != self._identity:
            raise FolderRefused(f"what lies at {self._path} is not the folder that was made there")

    def close(self) -> None:
        """Let go of it as it is."""
        for fd in (self._fd, self._parent):
            if fd >= 0:
                os.close(fd)
        self._fd = self._parent = -1

    def _expect(self) -> None:
        """Raise FolderRefused if the descriptor is of another folder, as when its number was given out again."""
        if self._fd < 0 or _identity(os.fstat(self._fd)) != self._identity:
            raise FolderRefused(f"the folder that was made at {self._path} is no longer held")

    def _remove_one(self, root: int, name: str, serial: int) -> int:
        """Remove what is called ``name``; what lies deeper moves up, and is called by numbers from ``serial`` on."""
        if not _is_folder(root, name):
            os.unlink(name, dir_fd=root)
            return serial
        folder = self._enter(root, name)
        try:
            for inner in os.listdir(folder):
                if _is_folder(folder, inner):
                    os.close(self._enter(folder, inner))  # so that it can be moved: that writes to it
                    serial = _move_up(folder, inner, root, serial)
                else:
                    os.unlink(inner, dir_fd=folder)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=root)
        return serial

    def _enter(self, parent: int, name: str) -> int:
        """Open a folder that is part of this one, made ours to change first."""
        held = os.open(name, _HOLD | os.O_DIRECTORY, dir_fd=parent)
        try:
            if os.fstat(held).st_dev != self.device or _mount_of(held) != self._mount:
                place = os.readlink(f"/proc/self/fd/{held}")
                raise FolderRefused(f"something is mounted at {place}, and has to be unmounted first")
            _set_mode(held, 0o700)
            return _listable(held)
        finally:
            os.close(held)


_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Needs no right on the file itself, which a script may have taken away."""


def remove_folder(path: str) -> None:
    """Remove ``path`` and everything below it, as ``HeldFolder.remove`` does."""
    HeldFolder(path).remove()


def empty_folder(path: str) -> None:
    """Remove everything below ``path``, as ``HeldFolder.empty`` does."""
    folder = HeldFolder(path)
    try:
        folder.empty()
    finally:
        folder.close()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _mount_of(fd: int) -> bytes:
    """The mount that ``fd`` was opened in (proc(5), fdinfo). A bind mount of the same device has another one, too."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
        return next(line for line in lines if line.startswith(b"mnt_id:"))


def _listable(held: int) -> int:
    """Another descriptor of a folder that is held: one of O_PATH cannot be read."""
    return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)


def _set_mode(fd: int, mode: int) -> None:
    """Like fchmod(2), which refuses a descriptor of O_PATH; this link leads to the file itself, never by a name."""
    os.chmod(f"/proc/self/fd/{fd}", mode)


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
