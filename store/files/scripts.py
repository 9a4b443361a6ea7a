"""The scripts as files: listed, read and saved so that no saved byte is ever lost (the save protocol).

Every path is walked component by component from ``scripts/``, never through a symbolic link, and only regular files are
opened. A save never overwrites: it swaps the new file with the old one in a single step and then looks at what it got.
If that is not what the author had loaded, the two are swapped back. What was replaced goes to the history by its hash;
the very inode does, so that an editor which still has it open and writes into it loses nothing either.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from store import disk
from store.errors import BadName, Conflict, NotFound, NoVersion, StoreError, from_os_error
from store.files import save
from store.files.listing import ScriptFile, Stamp, changed, listed, stamp_of
from store.files.names import MAX_DEPTH, clashing, folder_problem, script_path, shown
from store.files.save import MAX_SIZE, ScriptLocation, keep, read, sha256
from store.files.shared_code import SharedFolder, shared_folder

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What a script holds."""

    path: str
    sha256: str
    size: int


class ScriptFiles:
    """The files below one ``scripts/`` folder. Its methods block, and may be called from several threads."""

    def __init__(self, scripts: Path, history: Path) -> None:
        self._scripts = scripts
        self._history = history

    @property
    def folder(self) -> Path:
        return self._scripts

    def list(self) -> list[ScriptFile]:
        """Every script by path, and everything that looks like one but cannot be used, with the reason."""
        try:
            with disk.open_folder(self._scripts) as root:
                return listed(root)
        except OSError as error:
            raise from_os_error(error, "list the scripts") from error

    def scan(self, known: Mapping[str, Stamp]) -> Iterator[tuple[str, ScriptFile | None]]:
        """Everything that ``list`` gives, in no order, with the content of each file whose stamp is not the known one.

        Args:
            known: Stamps by path. Where one is still right the file is not read, and comes as None.

        Raises:
            StoreError: The scripts folder cannot be listed.
        """

        try:
            with disk.open_folder(self._scripts) as root:
                yield from changed(root, known)
        except OSError as error:
            raise from_os_error(error, "list the scripts") from error

    def look(self, path: str) -> ScriptFile:
        """One script with its content.

        Raises:
            StoreError: As ``read`` does.
        """
        path = script_path(path)
        with _sentences("read", path), self._folder_of(path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            data = read(folder, name, path).data
        return ScriptFile(path, found.st_size, found.st_mtime_ns, stamp=stamp_of(found), data=data)

    def read(self, path: str) -> bytes:
        """The content of a script.

        Raises:
            BadName: There can be no such script.
            NotFound: There is none.
            StoreError: It is not a regular file, too large, or may not be read.
        """
        path = script_path(path)
        with _sentences("read", path), self._folder_of(path) as (folder, name):
            return read(folder, name, path).data

    def there(self, path: str) -> bool:
        """Whether there is a script of exactly this path, without reading it or looking at any other."""
        try:
            if path != script_path(path):
                return False
            with self._folder_of(path) as (folder, name):
                return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except (BadName, OSError):
            return False

    def version(self, path: str) -> FileVersion | None:
        """What a script holds now; None if there is none.

        Raises:
            BadName: There can be no such script.
            StoreError: It is not a regular file, too large, or may not be read.
        """
        path = script_path(path)
        try:
            data = self.read(path)
        except NotFound:
            return None
        return FileVersion(path, sha256(data), len(data))

    def shared(self) -> AbstractContextManager[SharedFolder]:
        """The shared code, to be read as one set.

        Raises:
            StoreError: The scripts folder cannot be read.
        """
        return shared_folder(self._scripts)

    def mtime(self, path: str) -> float:
        """When the script was last changed, in seconds since the epoch.

        Raises:
            StoreError: As ``read`` does.
        """
        path = script_path(path)
        with _sentences("read", path), self._folder_of(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime

    def save(self, path: str, data: bytes, base_sha256: str | None) -> str:
        """Write a script durably; when this returns, it survives a crash of everything.

        Args:
            path: The script.
            data: Its new content.
            base_sha256: Hash of the content that the author had loaded; None for a new script.

        Returns:
            The hash of ``data``, the base of the next save.

        Raises:
            BadName: There can be no such script.
            Conflict: The file holds something the author has not seen; it was left alone.
            NotFound: The file has gone since the author loaded it.
            StoreError: The disk or the rights did not allow it; the old content is intact.
        """
        path = script_path(path)
        if len(data) > MAX_SIZE:
            raise StoreError(f"{path} would be {len(data):,} bytes; a script may have {MAX_SIZE:,}.")
        with (
            _sentences("save", path),
            self._turn() as history,
            self._place(path) if base_sha256 is None else self._folder_of(path) as (folder, name),
        ):
            if base_sha256 is None:
                _create(folder, name, path, data)
            else:
                save.replace(ScriptLocation(folder, name, path, history), data, base_sha256)
        return sha256(data)

    def rename(self, path: str, new_path: str, base_sha256: str) -> None:
        """Give a script another name, perhaps in another folder, which is made if need be. What it holds is kept.

        Args:
            path: The script.
            new_path: Its new path.
            base_sha256: Hash of the content that its author has seen.

        Raises:
            BadName: There can be no such script, or no such new one beside those that there are.
            Conflict: The new path is taken, or the script has changed; nothing was done.
            NotFound: There is no such script.
            StoreError: The disk or the rights did not allow it; the script has one of the two names.
        """
        path, new_path = script_path(path), script_path(new_path)
        with (
            _sentences("rename", path),
            self._turn() as history,
            self._folder_of(path) as (folder, name),
            self._place(new_path, but=path) as (new_folder, new_name),
        ):
            save.move(ScriptLocation(folder, name, path, history), new_folder, new_name, new_path, base_sha256)

    def duplicate(self, path: str, new_path: str) -> None:
        """Make a new script of what another one holds.

        Raises:
            BadName: There can be no such script, or no such new one beside those that there are.
            Conflict: There is another script of that path; nothing was done.
            NotFound: There is no script to copy.
            StoreError: The disk or the rights did not allow it.
        """
        path, new_path = script_path(path), script_path(new_path)
        with _sentences("copy", path), self._folder_of(path) as (folder, name):
            content = read(folder, name, path)
        with _sentences("make", new_path), self._turn(), self._place(new_path) as (folder, name):
            _create(folder, name, new_path, content.data, content.mode & 0o777)

    def delete(self, path: str, base_sha256: str) -> None:
        """Remove a script. What it holds is in the history before it goes.

        Raises:
            BadName: There can be no such script.
            Conflict: It has changed; nothing was done.
            NotFound: There is none.
            StoreError: The disk or the rights did not allow it; the script is where it was, or in the history.
        """
        path = script_path(path)
        with _sentences("delete", path), self._turn() as history, self._folder_of(path) as (folder, name):
            save.remove(ScriptLocation(folder, name, path, history), base_sha256)

    def kept(self, digest: str) -> bytes:
        """A version from the history by the hash of its content.

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
            raise NoVersion(f"The version {digest[:12]} is not kept any more.") from None
        except OSError as error:
            raise from_os_error(error, f"read the version {digest[:12]}") from error
        if sha256(data) != digest:
            raise StoreError(
                f"The version {digest[:12]} was written into by a program that had it open when it was replaced.",
                f"What it is now: .gatewright/history/{digest}",
            )
        return data

    def remember(self, data: bytes) -> None:
        """Put a text into the history that is in no script any more; it is on disk when this returns.

        Raises:
            StoreError: The disk or the rights did not allow it.
        """
        with _sentences("keep", "an old text"), self._turn() as history:
            save.remember(history, data)

    def forget(self, digests: Iterable[str]) -> None:
        """Remove versions that no script's history names any more. What cannot be removed stays."""
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
            with self._turn() as history, disk.open_folder(self._scripts) as root:
                disk.remove_temps(history)
                return _recover(root, history, 1)
        except OSError as error:
            raise from_os_error(error, "clear away what a crash left") from error

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The folder of ``path``, opened, and the name in it."""
        *parts, name = path.split("/")
        with disk.open_folder(self._scripts) as root, disk.walk_to(root, parts) as folder:
            yield folder, name

    @contextmanager
    def _place(self, path: str, but: str | None = None) -> Iterator[tuple[int, str]]:
        """The folder for a new script, made if need be, and the name in it. ``but``: the script that gives way."""
        *parts, name = path.split("/")
        with ExitStack() as stack:
            with _sentences("make", path):
                root = stack.enter_context(disk.open_folder(self._scripts))
                _refuse_clash(root, path, but)
                folder = stack.enter_context(disk.walk_to(root, parts, create=True))
            yield folder, name

    @contextmanager
    def _turn(self) -> Iterator[int]:
        """One save at a time; gives the history folder. Editors outside do not wait for it, and need not."""
        with disk.open_folder(self._history) as history, disk.locked(history):
            yield history


@contextmanager
def _sentences(doing: str, path: str) -> Iterator[None]:
    """Turn what the system says into a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"There is no script {path}.") from None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise StoreError(f"Cannot {doing} {path}: part of its path is a file or a link, not a folder.") from error
        raise from_os_error(error, f"{doing} {path}") from error


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


def _recover(folder: int, history: int, depth: int) -> int:
    with os.scandir(folder) as found:
        entries = list(found)
    count = 0
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth < MAX_DEPTH and folder_problem(entry.name) is None:
                with suppress(PermissionError), disk.open_folder(entry.name, folder) as inner:
                    count += _recover(inner, history, depth + 1)
        elif disk.TEMP_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            keep(folder, entry.name, history)
            count += 1
    return count
