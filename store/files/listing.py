"""What is below ``scripts/``: every script, and what looks like one but cannot be used, with the reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from store import disk
from store.errors import StoreError, from_os_error
from store.files.names import MAX_DEPTH, SUFFIX, folder_problem, name_notes, path_problem, shown
from store.files.save import MAX_SIZE, read_listed, special

T = TypeVar("T")
Stamp = tuple[int, int, int, int]
"""(mtime in ns, ctime in ns, size, inode).
While it is the same, so is the content (but see ``store.index.reconcile``).
"""

IGNORED_FOLDERS = frozenset({"__pycache__"})


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file below ``scripts/``. With a ``problem`` it is shown, but cannot be used; a ``note`` only warns."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: str | None = None
    note: str | None = None
    stamp: Stamp | None = None
    data: bytes | None = None
    """Its content, where ``scan`` read it; never older than ``stamp``."""


def listed(root: int) -> list[ScriptFile]:
    """Everything below the folder ``root``, by path, not read.

    Raises:
        OSError: It cannot be listed.
    """
    return _noted(sorted(_scan(root, "", 1, _describe, _folder_problem), key=lambda file: file.path))


def changed(root: int, known: Mapping[str, Stamp]) -> Iterator[tuple[str, ScriptFile | None]]:
    """Everything below the folder ``root``, in no order, read where its stamp is not the ``known`` one, else None.

    Raises:
        OSError: It cannot be listed.
    """

    def look(folder: int, entry: os.DirEntry[str], path: str) -> tuple[str, ScriptFile | None] | None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            file = ScriptFile(shown(path), problem=from_os_error(error, f"examine {shown(path)}").sentence)
            return file.path, file
        stamp = found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
        return (path, None) if known.get(path) == stamp else _look(folder, entry.name, path, found)

    def cannot(path: str, problem: str) -> tuple[str, ScriptFile | None]:
        file = _folder_problem(path, problem)
        return file.path, file

    yield from _scan(root, "", 1, look, cannot)


def stamp_of(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _noted(files: list[ScriptFile]) -> list[ScriptFile]:
    """``files`` with what to know about those whose names will make trouble elsewhere."""
    notes = name_notes([file.path for file in files])
    return [replace(file, note=notes[file.path]) if file.path in notes else file for file in files]


def _scan(
    folder: int,
    prefix: str,
    depth: int,
    describe: Callable[[int, os.DirEntry[str], str], T | None],
    cannot: Callable[[str, str], T],
) -> Iterator[T]:
    """What ``describe`` makes of each file, if anything, and ``cannot`` of each folder that is left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in IGNORED_FOLDERS:
                continue
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _scan_folder(folder, entry.name, path, depth, describe, cannot)
            elif entry.name.endswith(SUFFIX) or (entry.is_symlink() and entry.is_dir()):
                found = describe(folder, entry, path)
                if found is not None:
                    yield found


def _scan_folder(
    parent: int,
    name: str,
    path: str,
    depth: int,
    describe: Callable[[int, os.DirEntry[str], str], T | None],
    cannot: Callable[[str, str], T],
) -> Iterator[T]:
    problem = folder_problem(name)
    if problem is None and depth >= MAX_DEPTH:
        problem = f"it is more than {MAX_DEPTH - 1} folders deep"
    if problem is not None:
        yield cannot(path, f"This folder is left out: {problem}.")
        return
    try:
        with disk.open_folder(name, parent) as folder:
            yield from _scan(folder, f"{path}/", depth + 1, describe, cannot)
    except FileNotFoundError:  # gone since it was listed
        return
    except OSError as error:
        yield cannot(path, f"This folder cannot be read: {os.strerror(error.errno or 0)}.")


def _folder_problem(path: str, problem: str) -> ScriptFile:
    return ScriptFile(shown(path), problem=problem)


def _describe(_folder: int, entry: os.DirEntry[str], path: str) -> ScriptFile:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        return ScriptFile(shown(path), problem=f"It cannot be examined: {os.strerror(error.errno or 0)}.")
    return _described(found, path)


def _described(found: os.stat_result, path: str) -> ScriptFile:
    problem = _kind_problem(found) or _name_problem(path) or _size_problem(found.st_size)
    return ScriptFile(path if problem is None else shown(path), found.st_size, found.st_mtime_ns, problem)


def _look(folder: int, name: str, path: str, found: os.stat_result) -> tuple[str, ScriptFile] | None:
    """Describe a file with its content; None when it has gone since it was listed."""
    file = _described(found, path)
    if file.problem is None:
        try:
            data = read_listed(folder, name, path, found)
            return path, ScriptFile(path, len(data), found.st_mtime_ns, stamp=stamp_of(found), data=data)
        except FileNotFoundError:
            return None
        except StoreError as error:
            file = ScriptFile(path, problem=error.sentence)
        except OSError as error:
            file = ScriptFile(path, problem=from_os_error(error, f"read {path}").sentence)
    return file.path, file


def _kind_problem(found: os.stat_result) -> str | None:
    kind = special(found)
    return None if kind is None else f"It is {kind}; only ordinary files are used."


def _name_problem(path: str) -> str | None:
    problem = path_problem(path)
    return None if problem is None else f"Its name cannot be used: {problem}."


def _size_problem(size: int) -> str | None:
    return None if size <= MAX_SIZE else f"It has {size:,} bytes; it may have {MAX_SIZE:,}."
