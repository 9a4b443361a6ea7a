"""The private view: a root of the slot's own that shows only what a RESTRICTED script may read, read-only.

Made of bind mounts in the slot's mount namespace and entered with pivot_root(2). It holds back what Landlock does not:
names and metadata of the host's files, sockets in the file system, and on kernels below Landlock ABI 3 truncation. On
kernels without Landlock it is what keeps files from scripts.
"""

from __future__ import annotations

import os
import re
import stat

from . import kernel
from .readable import DEVICES

SEARCH_ONLY = 0o111
"""Mode of the root: even its owner cannot list it once the capabilities are gone."""

ROOT_OPTIONS = "size=1m,nr_inodes=4096,mode=755"
SCRATCH_PARENT = "/.gatewright"
"""In the private view. No path with such a component is ever granted, so it covers none: what lies in /tmp may be."""

KEPT_FLAGS = (
    (os.ST_NOSUID, kernel.MS_NOSUID),
    (os.ST_NODEV, kernel.MS_NODEV),
    (os.ST_NOEXEC, kernel.MS_NOEXEC),
    (os.ST_NOATIME, kernel.MS_NOATIME),
    (os.ST_NODIRATIME, kernel.MS_NODIRATIME),
    (os.ST_RELATIME, kernel.MS_RELATIME),
)
"""What a remount in a user namespace must not take away (mount_namespaces(7), "locked" flags)."""

MAX_LINKS = 2_000
"""Symbolic links followed for one view: a system has a few on the way to its libraries."""

_ESCAPED = re.compile(rb"\\([0-7]{3})")
"""Space, tab, newline and backslash in a path of mountinfo (proc(5))."""


class View:
    """A view under construction below ``root``, an existing folder that it covers."""

    def __init__(self, root: str) -> None:
        self._root = root = os.path.abspath(root)  # as the kernel names mounts
        self._shown: list[str] = []
        self._links = 0
        kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, ROOT_OPTIONS)

    def show_all(self, paths: list[str]) -> None:
        """Show these read-only. A folder comes before what lies in it, which then needs no mount of its own."""
        for path in sorted(paths, key=os.path.realpath):
            self.show(path)

    def show(self, path: str) -> None:
        """Let ``path`` and everything below it be seen, read-only, by every name that leads to it."""
        found = self._reach(path)
        if not any(found == above or found.startswith(f"{above}/") for above in self._shown):
            self._shown.append(found)
            self._bind(found, self._root + found, writable=False)

    def show_opened(self, path: str, fd: int, *, writable: bool) -> None:
        """Let what ``fd`` is open on be seen at ``path``, which leads over no link: whatever lies there by now."""
        place = self._root + path
        os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            _make_folder(place)
        else:
            _make_file(place)
        self._bind(f"/proc/self/fd/{fd}", place, writable=writable)

    def _bind(self, source: str, place: str, *, writable: bool) -> None:
        kernel.mount(source, place, None, kernel.MS_BIND | kernel.MS_REC)
        if not writable:
            # What the host mounts below it later would come here with the flags that it has there, writable.
            kernel.mount(None, place, None, kernel.MS_REC | kernel.MS_PRIVATE)
        for mounted in _mounts_at(place):
            flags = _flags(mounted) | (0 if writable else kernel.MS_RDONLY)
            kernel.mount(None, mounted, None, kernel.MS_REMOUNT | kernel.MS_BIND | flags)

    def show_devices(self) -> None:
        """Those that every script may use. Read-only: what is written to a device does not count, its mode does."""
        for path in DEVICES:
            if os.path.exists(path):
                self._bind(path, self._root + self._reach(path), writable=False)

    def folder(self, path: str) -> str:
        """An empty folder in the view; returns where it is now."""
        place = self._root + path
        os.makedirs(place, 0o755, exist_ok=True)
        return place

    def enter(self) -> None:
        """Make the view the root of this mount namespace and let go of the host's tree. Nothing can be added after."""
        flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_RDONLY
        os.chmod(self._root, SEARCH_ONLY)
        kernel.mount(None, self._root, None, flags)
        os.chdir(self._root)
        # The old root ends up on top of the new one, where it can be detached (pivot_root(2), NOTES).
        kernel.pivot_root(".", ".")
        kernel.detach(".")
        os.chdir("/")

    def _reach(self, path: str) -> str:
        """Make what leads to ``path``, and itself, in the view: folders, links, an empty file; its real path."""
        here = ""
        names = path.strip("/").split("/")
        for index, name in enumerate(names):
            here = f"{here}/{name}"
            if os.path.islink(here):
                return self._follow(here, names[index + 1 :])
            if os.path.isdir(here):
                _make_folder(self._root + here)
        _make_file(self._root + here)
        return here

    def _follow(self, link: str, rest: list[str]) -> str:
        """Copy a symbolic link into the view and reach what lies ``rest`` behind it."""
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(f"too many symbolic links on the way to {link}")
        target = os.readlink(link)
        if not os.path.lexists(self._root + link):
            os.symlink(target, self._root + link)
        return self._reach(os.path.normpath(os.path.join(os.path.dirname(link), target, *rest)))


def _make_folder(place: str) -> None:
    try:
        os.mkdir(place, 0o755)
    except FileExistsError:
        return


def _make_file(place: str) -> None:
    """Something to mount a file on, if there is nothing."""
    if not os.path.exists(place):
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _flags(path: str) -> int:
    """The flags that a mount has already, as mount(2) wants them again; never set-user-ID programs."""
    found = os.statvfs(path).f_flag
    return kernel.MS_NOSUID | sum(flag for shown, flag in KEPT_FLAGS if found & shown and flag != kernel.MS_NOSUID)


def _mounts_at(place: str) -> list[str]:
    """``place`` and every mount below it (proc(5), /proc/pid/mountinfo)."""
    found = []
    with open("/proc/self/mountinfo", "rb") as mounts:
        for line in mounts:
            path = os.fsdecode(_ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), line.split()[4]))
            if path == place or path.startswith(place + "/"):
                found.append(path)
    return found
