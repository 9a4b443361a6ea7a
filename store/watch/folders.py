"""What of a project is watched for changes that others make: folders of scripts and documents, and git's own one."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from store import disk
from store.files.documents import is_of_documents
from store.files.listing import IGNORED_FOLDERS, Stamp, stamp_of
from store.files.names import DOCUMENT_NAMES, MAX_DEPTH, SCRIPT_NAMES, SUFFIX, Naming
from store.git.command import repository_folder
from store.project import DOCUMENTS, SCRIPTS

Folders = dict[str, tuple[int, int]]
"""Device and inode by absolute path: a folder that was replaced by another of its name is another one."""

_GIT = ".git"
_LOCK = "index.lock"
_SIGNS = ("HEAD", "index", "logs/HEAD", "packed-refs", "MERGE_HEAD", "COMMIT_EDITMSG")
"""One of these is another file after everything that a status or a log could show."""


_REMOTE = {
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x65735546: "FUSE",
    0x01021997: "9p",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x19830326: "BeeGFS",
    0x47504653: "GPFS",
    0x0BD00BD0: "Lustre",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x786F4256: "a VirtualBox shared folder",
    0xBACBACBC: "a VMware shared folder",
}
"""Where others than this kernel can change files. Magic numbers: statfs(2) and linux/magic.h."""

_BUFFER = 256
"""Bytes; a struct statfs has 120 on x86-64 and aarch64. Its first member is the magic number."""

_libc = ctypes.CDLL(None, use_errno=True)


class Watched:
    """One project's places. Its methods block."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._scripts = os.path.join(self._root, SCRIPTS)
        self._documents = os.path.join(self._root, DOCUMENTS)

    @property
    def _git(self) -> str:
        """git's folder of the repository that the project stands in; looked up each time, since one may be made."""
        return os.path.join(repository_folder(Path(self._root)) or self._root, _GIT)

    def folders(self) -> Folders:
        """Those that are there now. The project's own folder is one, so that others can come back."""
        found: Folders = {}
        for path in (self._root, self._git):
            with suppress(OSError):
                _add(found, path, os.lstat(path))
        for top, naming in ((self._scripts, SCRIPT_NAMES), (self._documents, DOCUMENT_NAMES)):
            with suppress(OSError), disk.open_folder(top) as folder:
                _add(found, top, os.fstat(folder))
                for path, info in _below(naming, folder, top, 1):
                    _add(found, path, info)
        return found

    def concerns(self, path: str) -> bool:
        """Whether it may matter that something happened at ``path``, which is in one of the folders or is one."""
        folder, name = os.path.split(path)
        if path == self._root or folder == self._git:
            return True
        if folder == self._root:
            return name in (SCRIPTS, DOCUMENTS, _GIT)
        if name.startswith(".") or name in IGNORED_FOLDERS:
            return False
        if path.startswith(self._documents + os.sep):
            return is_of_documents(name) or not _is_file(path)
        return name.endswith(SUFFIX) or not _is_file(path)

    def git_lock(self) -> Stamp | None:
        """The lock of a git that is changing the index, and perhaps files; None if there is none."""
        with suppress(OSError):
            return stamp_of(os.lstat(os.path.join(self._git, _LOCK)))
        return None

    def git_signs(self) -> list[Stamp | None]:
        """Another value after every change of the repository."""
        folder = self._git
        return [_stamp(os.path.join(folder, name)) for name in _SIGNS]

    def remote_kind(self) -> str | None:
        """What a network file system is called, if the scripts are on one: others can change them unheard."""
        with suppress(OSError):
            return remote_kind(Path(self._scripts))
        return None


def _add(found: Folders, path: str, info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        found[path] = info.st_dev, info.st_ino


def _below(naming: Naming, folder: int, path: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    """The folders in which files are looked for, as ``ScriptFiles`` and ``DocumentFiles`` do."""
    if depth >= MAX_DEPTH:
        return
    with os.scandir(folder) as entries:
        names = [
            entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and _is_looked_in(naming, entry.name)
        ]
    for name in names:
        with suppress(OSError), disk.open_folder(name, folder) as inner:  # gone, or not for us to read
            yield os.path.join(path, name), os.fstat(inner)
            yield from _below(naming, inner, os.path.join(path, name), depth + 1)


def _is_looked_in(naming: Naming, name: str) -> bool:
    return not name.startswith(".") and name not in IGNORED_FOLDERS and naming.folder_problem(name) is None


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:  # perhaps it was a folder
        return False


def _stamp(path: str) -> Stamp | None:
    try:
        return stamp_of(os.lstat(path))
    except OSError:
        return None


def remote_kind(folder: Path) -> str | None:
    """What a network file system is called; None for one that only this kernel changes.

    Raises:
        OSError: The folder cannot be examined.
    """
    return _REMOTE.get(magic(folder))


def magic(folder: Path) -> int:
    """The number that says what kind of file system a folder is on.

    Raises:
        OSError: The folder cannot be examined.
    """
    buffer = ctypes.create_string_buffer(_BUFFER)
    if _libc.statfs(os.fsencode(folder), buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(folder))
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
