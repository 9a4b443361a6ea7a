"""Files below one root folder: read and saved so that no saved byte is ever lost (the save protocol).

Every path is walked component by component from the root, never through a symbolic link, and only regular files are
opened. A save never overwrites: it swaps the new file with the old one in a single step and then looks at what it got.
If that is not what the author had loaded, the two are swapped back. What was replaced goes to the history by its hash;
the very inode does, so that an editor which still has it open and writes into it loses nothing either.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from store import disk
from store.errors import BadName, Conflict, NotFound, NoVersion, StoreError, from_os_error
from store.files import save
from store.files.names import MAX_DEPTH, Naming, clashing, shown
from store.files.save import MAX_SIZE, FileLocation, keep, read, sha256

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What a file holds."""

    path: str
    sha256: str
    size: int


class VersionedFiles:
    """The files below one root folder, with one history. Its methods block, and may be called from several threads."""

    naming: Naming
    """How they are called; said by each kind."""

    def __init__(self, root: Path, history: Path) -> None:
        self._root = root
        self._history = history

    @property
    def folder(self) -> Path:
        return self._root

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            BadName: There can be no such file.
            NotFound: There is none.
            StoreError: It is not a regular file, too large, or may not be read.
        """
        path = self.naming.path(path)
        with self._sentences("read", path), self._folder_of(path) as (folder, name):
            return read(folder, name, path).data

    def there(self, path: str) -> bool:
        """Tell whether there is a file of exactly this path, without reading it or looking at any other."""
        try:
            if path != self.naming.path(path):
                return False
            with self._folder_of(path) as (folder, name):
                return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except (BadName, OSError):
            return False

    def version(self, path: str) -> FileVersion | None:
        """Return what a file holds now; None if there is none.

        Raises:
            BadName: There can be no such file.
            StoreError: It is not a regular file, too large, or may not be read.
        """
        path = self.naming.path(path)
        try:
            data = self.read(path)
        except NotFound:
            return None
        return FileVersion(path, sha256(data), len(data))

    def mtime(self, path: str) -> float:
        """When the file was last changed, in seconds since the epoch.

        Raises:
            StoreError: As ``read`` does.
        """
        path = self.naming.path(path)
        with self._sentences("read", path), self._folder_of(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime

    def save(self, path: str, data: bytes, base_sha256: str | None) -> str:
        """Write a file durably; when this returns, it survives a crash of everything.

        Args:
            path: The file.
            data: Its new content.
            base_sha256: Hash of the content that the author had loaded; None for a new one.

        Returns:
            The hash of ``data``, the base of the next save.

        Raises:
            BadName: There can be no such file.
            Conflict: The file holds something the author has not seen; it was left alone.
            NotFound: The file has gone since the author loaded it.
            StoreError: The disk or the rights did not allow it; the old content is intact.
        """
        path = self.naming.path(path)
        if len(data) > MAX_SIZE:
            raise StoreError(f"{path} would be {len(data):,} bytes; it may have {MAX_SIZE:,}.")
        with (
            self._sentences("save", path),
            self._turn() as history,
            self._place(path) if base_sha256 is None else self._folder_of(path) as (folder, name),
        ):
            if base_sha256 is None:
                _create(folder, name, path, data)
            else:
                save.replace(FileLocation(folder, name, path, history), data, base_sha256)
        return sha256(data)

    def rename(self, path: str, new_path: str, base_sha256: str) -> None:
        """Give a file another name, perhaps in another folder, which is made if need be. What it holds is kept.

        Args:
            path: The file.
            new_path: Its new path.
            base_sha256: Hash of the content that its author has seen.

        Raises:
            BadName: There can be no such file, or no such new one beside those that there are.
            Conflict: The new path is taken, or the file has changed; nothing was done.
            NotFound: There is no such file.
            StoreError: The disk or the rights did not allow it; the file has one of the two names.
        """
        path, new_path = self.naming.path(path), self.naming.path(new_path)
        with (
            self._sentences("rename", path),
            self._turn() as history,
            self._folder_of(path) as (folder, name),
            self._place(new_path, but=path) as (new_folder, new_name),
        ):
            save.move(FileLocation(folder, name, path, history), new_folder, new_name, new_path, base_sha256)

    def duplicate(self, path: str, new_path: str) -> None:
        """Make a new file of what another one holds.

        Raises:
            BadName: There can be no such file, or no such new one beside those that there are.
            Conflict: There is another file of that path; nothing was done.
            NotFound: There is no file to copy.
            StoreError: The disk or the rights did not allow it.
        """
        path, new_path = self.naming.path(path), self.naming.path(new_path)
        with self._sentences("copy", path), self._folder_of(path) as (folder, name):
            content = read(folder, name, path)
        with self._sentences("make", new_path), self._turn(), self._place(new_path) as (folder, name):
            _create(folder, name, new_path, content.data, content.mode & 0o777)

    def delete(self, path: str, base_sha256: str) -> None:
        """Remove a file. What it holds is in the history before it goes.

        Raises:
            BadName: There can be no such file.
            Conflict: It has changed; nothing was done.
            NotFound: There is none.
            StoreError: The disk or the rights did not allow it; the file is where it was, or in the history.
        """
        path = self.naming.path(path)
        with self._sentences("delete", path), self._turn() as history, self._folder_of(path) as (folder, name):
            save.remove(FileLocation(folder, name, path, history), base_sha256)

    def kept(self, digest: str) -> bytes:
        """Return a version from the history by the hash of its content.

        Raises:
            NoVersion: It is not kept.
            StoreError: It cannot be read, or is not what it was.
        """
        if not _SHA256.fullmatch(digest):
            raise NoVersion(f"{shown(digest[:80])!r} is not the hash of a version.")
        try:
            with disk.open_folder(self._history) as history:
                data = read(history, digest, "This version").data
        except FileNotFoundError:
            raise NoVersion(f"The version {digest[:12]} is no longer kept.") from None
        except OSError as error:
            raise from_os_error(error, f"read the version {digest[:12]}") from error
        if sha256(data) != digest:
            raise StoreError(
                f"The version {digest[:12]} was written into by a program that had it open when it was replaced.",
                f"What it is now: .gatewright/history/{digest}",
            )
        return data

    def remember(self, data: bytes) -> None:
        """Put a text into the history that is no longer in a file; it is on disk when this returns.

        Raises:
            StoreError: The disk or the rights did not allow it.
        """
        with self._sentences("keep", "an old text"), self._turn() as history:
            save.remember(history, data)

    def forget(self, digests: Iterable[str]) -> None:
        """Remove versions that no file's history names. What cannot be removed stays."""
        try:
            with self._turn() as history:
                for digest in filter(_SHA256.fullmatch, digests):
                    disk.remove_quietly(history, digest)
        except OSError as error:
            raise from_os_error(error, "clear away old versions") from error

    def recover(self) -> int:
        """Clear what a crash left behind; returns how many files. To be called before anybody saves.

        A temporary file may hold the only copy of what was just replaced, so its content goes to the history.
        """
        try:
            with self._turn() as history, disk.open_folder(self._root) as root:
                disk.remove_temps(history)
                return _recover(self.naming, root, history, 1)
        except OSError as error:
            raise from_os_error(error, "clear away what a crash left") from error

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield the folder of ``path``, opened, and the name in it."""
        *parts, name = path.split("/")
        with disk.open_folder(self._root) as root, disk.walk_to(root, parts) as folder:
            yield folder, name

    @contextmanager
    def _place(self, path: str, but: str | None = None) -> Iterator[tuple[int, str]]:
        """Yield the folder for a new file, made if need be, and the name in it. ``but``: the file that gives way."""
        *parts, name = path.split("/")
        with ExitStack() as stack:
            with self._sentences("make", path):
                root = stack.enter_context(disk.open_folder(self._root))
                _refuse_clash(root, path, but)
                folder = stack.enter_context(disk.walk_to(root, parts, create=True))
            yield folder, name

    @contextmanager
    def _sentences(self, doing: str, path: str) -> Iterator[None]:
        """Turn what the system says into a sentence."""
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"There is no {self.naming.noun} {path}.") from None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                what = f"Cannot {doing} {path}: part of its path is a file or a link, not a folder."
                raise StoreError(what) from error
            raise from_os_error(error, f"{doing} {path}") from error

    @contextmanager
    def _turn(self) -> Iterator[int]:
        """Make one save at a time; yield the history folder. Editors outside do not wait for it, and need not."""
        with disk.open_folder(self._history) as history, disk.locked(history):
            yield history


def _refuse_clash(root: int, path: str, but: str | None) -> None:
    """Refuse a new path that some systems could not tell from one that is there."""
    with ExitStack() as stack:
        folder, prefix = root, ""
        for part in path.split("/"):
            names = os.listdir(folder)
            if part not in names:
                other = clashing(part, (name for name in names if prefix + name != but))
                if other is not None:
                    raise BadName(
                        f"{path} cannot be made: it differs from {shown(prefix + other)} only in case or accents.",
                        "Some systems cannot hold both. Choose another name, or rename the other one.",
                    )
                return
            if prefix + part != path:
                folder = stack.enter_context(disk.open_folder(part, folder))
                prefix += f"{part}/"


def _create(folder: int, name: str, path: str, data: bytes, mode: int | None = None) -> None:
    if disk.create_file(folder, name, data, mode):
        return
    current = read(folder, name, path).data
    if current != data:
        raise Conflict(f"{path} exists already.", "Load it, or choose another name.", current, sha256(current))
    # The answer to an earlier save was lost, perhaps before the disk had it.
    disk.sync(folder, name)


def _recover(naming: Naming, folder: int, history: int, depth: int) -> int:
    with os.scandir(folder) as found:
        entries = list(found)
    count = 0
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth < MAX_DEPTH and naming.folder_problem(entry.name) is None:
                with suppress(PermissionError), disk.open_folder(entry.name, folder) as inner:
                    count += _recover(naming, inner, history, depth + 1)
        elif disk.TEMP_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            keep(folder, entry.name, history)
            count += 1
    return count
