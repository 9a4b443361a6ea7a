"""The documents as files: found with their images, read, and saved by the save protocol (``store.files.versioned``).

What a name says decides what a file below ``documents/`` is: a document, an image, the sidecar of an image. Everything
else is data for scripts and none of this module's business.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from store import disk
from store.errors import StoreError, from_os_error
from store.files.listing import IGNORED_FOLDERS, Stamp, stamp_of
from store.files.names import DOCUMENT_NAMES, MAX_DEPTH, shown
from store.files.save import MAX_SIZE, read, read_listed, special
from store.files.versioned import VersionedFiles

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif", ".bmp", ".tif", ".tiff")
SIDECAR_SUFFIX = ".meta"
"""Of the file beside an image that tells about it: ``plant.jpg.meta``."""

MOST_FILES = 200_000
"""Entries below the root that one look goes through."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A document, an image or a sidecar below the root, as one look found it.

    Attributes:
        stamp: While it is the same, so is the content; None of what cannot be used.
        data: Of documents and sidecars, where the look read it; never older than ``stamp``.
        problem: One sentence when it cannot be used.
    """

    path: str
    size: int = 0
    modified: float = 0.0
    stamp: Stamp | None = None
    data: bytes | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class FoundFiles:
    documents: list[FoundFile]
    images: list[FoundFile]
    sidecars: list[FoundFile]
    problems: list[str]
    """What was left out, one sentence each."""


def is_of_documents(name: str) -> bool:
    """Tell whether a file of this name is a document, an image or the sidecar of an image."""
    return DOCUMENT_NAMES.wanted(name) or name.lower().removesuffix(SIDECAR_SUFFIX).endswith(IMAGE_SUFFIXES)


class DocumentFiles(VersionedFiles):
    """The files below one ``documents/`` folder. Its methods block, and may be called from several threads."""

    naming = DOCUMENT_NAMES

    def look(self, path: str) -> FoundFile:
        """Return one document with its content.

        Raises:
            StoreError: As ``read`` does.
        """
        path = self.naming.path(path)
        with self._sentences("read", path), self._folder_of(path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            data = read(folder, name, path).data
        return FoundFile(path, len(data), found.st_mtime, stamp_of(found), data)

    def scan(
        self,
        known: Mapping[str, Stamp],
        tick: Callable[[int], None] | None = None,
    ) -> FoundFiles:
        """Find everything below the root, and read documents and sidecars whose stamp is not the ``known`` one.

        Args:
            known: Stamps by path. Where one is still right the file is not read.
            tick: Told how many entries were seen, after each; what it raises ends the look.

        Raises:
            StoreError: The folder cannot be listed.
        """
        look = _Look(known, tick)
        try:
            with disk.open_folder(self._root) as root:
                look.folder(root, "", 1)
        except FileNotFoundError:  # a project whose owner has removed it has no documents
            pass
        except OSError as error:
            raise from_os_error(error, "list the documents") from error
        return look.found


class _Look:
    """One walk through the folders."""

    def __init__(
        self,
        known: Mapping[str, Stamp],
        tick: Callable[[int], None] | None,
    ) -> None:
        self.found = FoundFiles([], [], [], [])
        self._known = known
        self._tick = tick
        self._seen = 0

    def folder(self, folder: int, prefix: str, depth: int) -> None:
        with os.scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in IGNORED_FOLDERS:
                continue
            self._seen += 1
            if self._seen > MOST_FILES:
                return
            if self._seen == MOST_FILES:
                self.found.problems.append(f"Only the first {MOST_FILES:,} files below documents are looked at.")
            if self._tick is not None:
                self._tick(self._seen)
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                self._below(folder, entry.name, path, depth)
            else:
                self._file(folder, entry, path)

    def _below(self, parent: int, name: str, path: str, depth: int) -> None:
        problem = DOCUMENT_NAMES.folder_problem(name)
        if problem is None and depth >= MAX_DEPTH:
            problem = f"it is more than {MAX_DEPTH - 1} folders deep"
        if problem is not None:
            self._unusable(path, f"This folder is left out: {problem}.")
            return
        try:
            with disk.open_folder(name, parent) as folder:
                self.folder(folder, f"{path}/", depth + 1)
        except FileNotFoundError:  # gone since it was listed
            return
        except OSError as error:
            self._unusable(path, f"This folder cannot be read: {os.strerror(error.errno or 0)}.")

    def _file(self, folder: int, entry: os.DirEntry[str], path: str) -> None:
        name = entry.name
        if DOCUMENT_NAMES.wanted(name):
            self._document(folder, entry, path)
        elif is_of_documents(name):
            self._beside(folder, entry, path, sidecar=name.endswith(SIDECAR_SUFFIX))
        elif entry.is_symlink() and entry.is_dir():
            self._unusable(path, "It is a symbolic link; only ordinary files and folders are used.")

    def _document(self, folder: int, entry: os.DirEntry[str], path: str) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unusable(path, from_os_error(error, f"examine {shown(path)}").sentence)
            return
        if (problem := _problem(found, path)) is not None:
            self._unusable(path, problem, found)
        elif (file := self._read(folder, entry.name, path, found)) is not None:
            self.found.documents.append(file)

    def _beside(self, folder: int, entry: os.DirEntry[str], path: str, *, sidecar: bool) -> None:
        """Take in an image or a sidecar. What cannot be used is left out: no author edits it here."""
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return
        if special(found) is not None or shown(path) != path:
            return
        if not sidecar:
            self.found.images.append(FoundFile(path, found.st_size, found.st_mtime, stamp_of(found)))
        elif (file := self._read(folder, entry.name, path, found)) is not None and file.problem is None:
            self.found.sidecars.append(file)

    def _read(self, folder: int, name: str, path: str, found: os.stat_result) -> FoundFile | None:
        """Return a file with its content, unless that is known; None when it has gone since it was listed."""
        file = FoundFile(path, found.st_size, found.st_mtime, stamp_of(found))
        if self._known.get(path) == file.stamp:
            return file
        try:
            data = read_listed(folder, name, path, found)
            return replace(file, size=len(data), data=data)
        except FileNotFoundError:
            return None
        except StoreError as error:
            problem = error.sentence
        except OSError as error:
            problem = from_os_error(error, f"read {path}").sentence
        return replace(file, stamp=None, problem=problem)

    def _unusable(self, path: str, problem: str, found: os.stat_result | None = None) -> None:
        size, modified = (0, 0.0) if found is None else (found.st_size, found.st_mtime)
        self.found.documents.append(FoundFile(shown(path), size, modified, problem=problem))


def _problem(found: os.stat_result, path: str) -> str | None:
    if (kind := special(found)) is not None:
        return f"It is {kind}; only ordinary files are used."
    if (problem := DOCUMENT_NAMES.path_problem(path)) is not None:
        return f"Its name cannot be used: {problem}."
    if found.st_size > MAX_SIZE:
        return f"It has {found.st_size:,} bytes; it may have {MAX_SIZE:,}."
    return None
