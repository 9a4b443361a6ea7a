"""The scripts as files: listed, read and saved so that no saved byte is ever lost (the save protocol).

Every path is walked component by component from ``scripts/``, never through a symbolic link, and only regular files are
opened. A save never overwrites: it swaps the new file with the old one in a single step and then looks at what it got.
If that is not what the author had loaded, the two are swapped back. What was replaced goes to the history by its hash;
the very inode does, so that an editor which still has it open and writes into it loses nothing either.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from store import disk
from store.errors import Conflict, NotFound, StoreError, from_os_error
from store.names import MAX_DEPTH, SUFFIX, folder_problem, path_problem, script_path, shown
from store.saving import MAX_SIZE, Place, keep, read, replace, sha256, special

_IGNORED_FOLDERS = frozenset({"__pycache__"})


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file below ``scripts/``. With a ``problem`` it is shown, but cannot be used."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: str | None = None


class ScriptFiles:
    """The files below one ``scripts/`` folder. Its methods block, and may be called from several threads."""

    def __init__(self, scripts: Path, history: Path) -> None:
        self._scripts = scripts
        self._history = history

    def list(self) -> list[ScriptFile]:
        """Every script by path, and everything that looks like one but cannot be used, with the reason."""
        try:
            with disk.open_folder(self._scripts) as root:
                found = list(_scan(root, "", 1))
        except OSError as error:
            raise from_os_error(error, "list the scripts") from error
        return sorted(found, key=lambda file: file.path)

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
            self._folder_of(path, create=base_sha256 is None) as (folder, name),
        ):
            if base_sha256 is None:
                _create(folder, name, path, data)
            else:
                replace(Place(folder, name, path, history), data, base_sha256)
        return sha256(data)

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
    def _folder_of(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The folder of ``path``, opened, and the name in it."""
        *parts, name = path.split("/")
        with disk.open_folder(self._scripts) as root, disk.walk_to(root, parts, create=create) as folder:
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


def _create(folder: int, name: str, path: str, data: bytes) -> None:
    if disk.create_file(folder, name, data, None):
        return
    current = read(folder, name, path).data
    if current != data:
        raise Conflict(f"{path} exists already.", "Load it, or choose another name.", current, sha256(current))
    # The answer to an earlier save was lost, perhaps before the disk had it.
    disk.sync(folder, name)


def _scan(folder: int, prefix: str, depth: int) -> Iterator[ScriptFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _IGNORED_FOLDERS:
                continue
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _scan_folder(folder, entry.name, path, depth)
            elif entry.name.endswith(SUFFIX) or (entry.is_symlink() and entry.is_dir()):
                yield _describe(entry, path)


def _scan_folder(parent: int, name: str, path: str, depth: int) -> Iterator[ScriptFile]:
    problem = folder_problem(name)
    if problem is None and depth >= MAX_DEPTH:
        problem = f"it is more than {MAX_DEPTH - 1} folders deep"
    if problem is not None:
        yield ScriptFile(shown(path), problem=f"This folder is left out: {problem}.")
        return
    try:
        with disk.open_folder(name, parent) as folder:
            yield from _scan(folder, f"{path}/", depth + 1)
    except FileNotFoundError:  # gone since it was listed
        return
    except OSError as error:
        yield ScriptFile(path, problem=f"This folder cannot be read: {os.strerror(error.errno or 0)}.")


def _describe(entry: os.DirEntry[str], path: str) -> ScriptFile:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        return ScriptFile(shown(path), problem=f"It cannot be examined: {os.strerror(error.errno or 0)}.")
    problem = _kind_problem(found) or _name_problem(path) or _size_problem(found.st_size)
    return ScriptFile(path if problem is None else shown(path), found.st_size, found.st_mtime_ns, problem)


def _kind_problem(found: os.stat_result) -> str | None:
    kind = special(found)
    return None if kind is None else f"It is {kind}; scripts are ordinary files."


def _name_problem(path: str) -> str | None:
    problem = path_problem(path)
    return None if problem is None else f"Its name cannot be used: {problem}."


def _size_problem(size: int) -> str | None:
    return None if size <= MAX_SIZE else f"It has {size:,} bytes; a script may have {MAX_SIZE:,}."


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
