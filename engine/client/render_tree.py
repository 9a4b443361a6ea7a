"""The folder that is rendered and the one that gets the result, with the caller's rights.

Both are walked component by component from one open descriptor, and no symbolic link below them is followed
(openat(2), O_NOFOLLOW): what another account puts in their places while we work leads nowhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from engine.document_text import DOCUMENT_SUFFIXES, is_image

MAX_DOCUMENT = 4 << 20
"""Bytes of a document whose tags are expanded. All other files are copied."""

MAX_SIDECAR = 64 << 10
MAX_DEPTH = 64
MAX_FILES = 500_000
PIECE = 1 << 20

OWN = ".gatewright-render"
"""What the names begin with of our own files in the folder that gets the result."""
MANIFEST = f"{OWN}.jsonl"
TEMP = f"{OWN}-tmp-"

FULL = (errno.ENOSPC, errno.EDQUOT)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

MOST_OPEN = 64
"""Folders of the result that stay open."""


class RenderFolderError(Exception):
    """One sentence, without a full stop, about a folder that cannot be used, with what to do about it."""

    def __init__(self, message: str, hint: str | None = None, *, conflict: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.conflict = conflict


class DiskFullError(Exception):
    """The disk of the result has no room left."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """An ordinary file below the source folder."""

    path: str
    """POSIX, relative to the folder. Names that are no UTF-8 hold surrogates."""
    size: int
    modified_ns: int
    mode: int

    @property
    def is_document(self) -> bool:
        return self.path.lower().endswith(DOCUMENT_SUFFIXES) and self.size <= MAX_DOCUMENT and self.has_plain_name

    @property
    def is_image(self) -> bool:
        return is_image(self.path) and self.has_plain_name

    @property
    def has_plain_name(self) -> bool:
        return self.path.isascii() or self.path.encode("utf-8", "replace").decode() == self.path

    @property
    def modified(self) -> float:
        return self.modified_ns / 1e9


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder that is left out."""

    path: str
    reason: str
    failed: bool = False
    """Not on purpose: what it holds is not known."""


@dataclass(slots=True)
class Found:
    files: list[TreeFile] = field(default_factory=list)
    """By path."""
    folders: dict[str, int] = field(default_factory=dict)
    """The permissions of each folder by its path."""
    skipped: list[SkippedFile] = field(default_factory=list)

    def is_unseen(self, path: str) -> bool:
        """Whether a path may be there, since it or a folder on its way could not be looked at."""
        return any(one.failed and f"{path}/".startswith(f"{one.path}/") for one in self.skipped)


class SourceFolder:
    """The folder that is rendered. Hidden files and folders are left out, as in the project's own documents."""

    def __init__(self, root: int) -> None:
        self._root = root

    def find(self) -> Found:
        """List every file. Blocks."""
        found = Found()
        self._walk(self._root, "", 0, found)
        found.files.sort(key=lambda file: file.path)
        return found

    def read(self, path: str, limit: int) -> bytes:
        """Return what a file holds, up to ``limit`` bytes.

        Raises:
            OSError: It cannot be read, or is no longer an ordinary file.
        """
        with self.opened(path) as descriptor:
            pieces, left = [], limit
            while left > 0 and (piece := os.read(descriptor, left)):
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces)

    @contextmanager
    def opened(self, path: str) -> Iterator[int]:
        *parts, name = path.split("/")
        folder = self._root
        try:
            for part in parts:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                if folder != self._root:
                    os.close(folder)
                folder = inner
            descriptor = os.open(name, _READ, dir_fd=folder)
        finally:
            if folder != self._root:
                os.close(folder)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not an ordinary file")
            yield descriptor
        finally:
            os.close(descriptor)

    def _walk(self, folder: int, prefix: str, depth: int, found: Found) -> None:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            if entry.name.startswith("."):
                continue
            if len(found.files) >= MAX_FILES:
                raise RenderFolderError(
                    f"the folder has more than {MAX_FILES:,} files", "Render its folders one by one."
                )
            path = prefix + entry.name
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed this moment
                continue
            except OSError as error:
                found.skipped.append(SkippedFile(path, reason(error), failed=True))
                continue
            if stat.S_ISREG(state.st_mode):
                found.files.append(TreeFile(path, state.st_size, state.st_mtime_ns, stat.S_IMODE(state.st_mode)))
            elif stat.S_ISDIR(state.st_mode):
                self._below(folder, entry.name, path, depth, found)
            elif stat.S_ISLNK(state.st_mode):
                found.skipped.append(SkippedFile(path, "it is a symbolic link, and those are not followed"))
            else:
                found.skipped.append(SkippedFile(path, "it is not an ordinary file"))

    def _below(self, parent: int, name: str, path: str, depth: int, found: Found) -> None:
        if depth >= MAX_DEPTH:
            found.skipped.append(SkippedFile(path, f"it is more than {MAX_DEPTH} folders deep", failed=True))
            return
        try:
            folder = os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            found.skipped.append(SkippedFile(path, reason(error), failed=True))
            return
        try:
            found.folders[path] = stat.S_IMODE(os.fstat(folder).st_mode)
            self._walk(folder, path + "/", depth + 1, found)
        except OSError as error:
            found.skipped.append(SkippedFile(path, reason(error), failed=True))
        finally:
            os.close(folder)


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the result as it was written: what tells whether it still is that."""

    size: int
    modified_ns: int


class ResultFolder:
    """The folder that gets the result. Each file is written beside its place and put there by rename(2)."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: dict[str, int] = {}
        self.modes: Mapping[str, int] = {}
        """The permissions of the source's folders: those of the result are open to no more accounts."""

    def close(self) -> None:
        for folder in self._open.values():
            os.close(folder)
        self._open.clear()

    def clear_temps(self) -> None:
        """Remove what a render that was killed left half written."""
        for name in os.listdir(self._root):
            if name.startswith(TEMP):
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._root)

    def is_as_written(self, path: str, written: Written) -> bool:
        *parts, name = path.split("/")
        try:
            state = os.stat(name, dir_fd=self._folder(parts, make=False), follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(state.st_mode) and (state.st_size, state.st_mtime_ns) == (written.size, written.modified_ns)

    def write(self, path: str, data: bytes, mode: int) -> Written:
        """Write a file whole, or leave what was there.

        Raises:
            DiskFullError: There is no room.
            OSError: It cannot be written.
        """
        with self._replacing(path, mode) as descriptor:
            write_all(descriptor, data)
            state = os.fstat(descriptor)
        return Written(state.st_size, state.st_mtime_ns)

    def copy(self, source: int, path: str, mode: int) -> Written:
        """Write a file with what ``source`` holds, piece by piece."""
        with self._replacing(path, mode) as descriptor:
            while piece := os.read(source, PIECE):
                write_all(descriptor, piece)
            state = os.fstat(descriptor)
        return Written(state.st_size, state.st_mtime_ns)

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that are empty then."""
        *parts, name = path.split("/")
        os.unlink(name, dir_fd=self._folder(parts, make=False))
        while parts:
            below = "/".join(parts)
            name = parts.pop()
            if (known := self._open.pop(below, None)) is not None:
                os.close(known)
            try:
                os.rmdir(name, dir_fd=self._folder(parts, make=False))
            except OSError:  # it holds something
                return

    @contextmanager
    def _replacing(self, path: str, mode: int) -> Iterator[int]:
        """Yield a new file, which takes its place when the block has ended well."""
        *parts, name = path.split("/")
        temp = TEMP + secrets.token_hex(8)
        try:
            folder = self._folder(parts, make=True)
            # The caller's umask counts; nothing of the result is open to more accounts than its source.
            descriptor = os.open(temp, _NEW, (mode & 0o777) | 0o600, dir_fd=self._root)
            try:
                try:
                    yield descriptor
                finally:
                    os.close(descriptor)
                os.rename(temp, name, src_dir_fd=self._root, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temp, dir_fd=self._root)
                raise
        except OSError as error:
            if error.errno in FULL:
                raise DiskFullError(path) from error
            raise

    def _folder(self, parts: list[str], *, make: bool) -> int:
        folder, below = self._root, ""
        for part in parts:
            below = f"{below}/{part}" if below else part
            known = self._open.get(below)
            if known is None:
                known = self._opened(part, folder, self.modes.get(below, 0o777) if make else None)
                self._open[below] = known
            folder = known
        if len(self._open) > MOST_OPEN:
            self._forget(keep=folder)
        return folder

    def _forget(self, keep: int) -> None:
        for below, folder in list(self._open.items()):
            if folder != keep:
                os.close(folder)
                del self._open[below]

    def _opened(self, name: str, folder: int, made_with: int | None) -> int:
        if made_with is not None:
            with suppress(FileExistsError):
                os.mkdir(name, (made_with & 0o777) | 0o700, dir_fd=folder)
        return os.open(name, _FOLDER, dir_fd=folder)


@contextmanager
def source_and_result(source: str, out: str, *, force: bool) -> Iterator[tuple[int, int]]:
    """Open both folders, the second made if need be and held for us alone; yield their descriptors.

    Raises:
        RenderFolderError: One cannot be used, one lies in the other, or the second holds files of others.
    """
    try:
        source_fd = os.open(source, _FOLDER & ~os.O_NOFOLLOW)
    except OSError as error:
        raise RenderFolderError(f"{source} cannot be rendered: {reason(error)}") from None
    try:
        _check_apart(source, source_fd, out)
        try:
            os.makedirs(out, exist_ok=True)
            out_fd = os.open(out, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in FULL:
                raise RenderFolderError(f"{out} cannot be made: its disk is full", "Free some room.") from None
            raise RenderFolderError(f"{out} cannot take the result: {reason(error)}") from None
        try:
            _check_apart(source, source_fd, out)  # a link on its way may lead elsewhere since
            _hold(out, out_fd)
            _check_ours(out, out_fd, force=force)
            yield source_fd, out_fd
        finally:
            os.close(out_fd)
    finally:
        os.close(source_fd)


def _check_apart(source: str, source_fd: int, out: str) -> None:
    """Refuse a result inside of its source and the other way round, by what the folders are, not by their names."""
    inner, outer = os.fstat(source_fd), os.path.realpath(out)
    if any(os.path.samestat(inner, state) for state in _upwards(outer)):
        raise RenderFolderError(
            f"{out} lies in {source}, so what is written would be rendered the next time",
            "Name a folder outside of it: --out DIR.",
        )
    with suppress(OSError):
        result = os.stat(outer)
        if any(os.path.samestat(result, state) for state in _upwards(os.path.realpath(source))):
            raise RenderFolderError(
                f"{source} lies in {out}, so what is written could replace it",
                "Name a folder that does not hold it: --out DIR.",
            )


def _upwards(path: str) -> Iterator[os.stat_result]:
    """Yield a folder that is there and those that it is in."""
    while True:
        with suppress(OSError):
            yield os.stat(path)
        parent = os.path.dirname(path)
        if parent == path:
            return
        path = parent


def _hold(out: str, out_fd: int) -> None:
    try:
        fcntl.flock(out_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RenderFolderError(
            f"another render is writing to {out}", "Wait for its end, or name another folder.", conflict=True
        ) from None
    except OSError:  # a file system without locks
        return


def _check_ours(out: str, out_fd: int, *, force: bool) -> None:
    names = os.listdir(out_fd)
    if names and not force and MANIFEST not in names:
        raise RenderFolderError(
            f"{out} holds files that no render has written ({sorted(names)[0]!r} for one)",
            "Name an empty folder, or say --force to write over files of the same names.",
            conflict=True,
        )


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however much of it each write(2) takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def reason(error: OSError) -> str:
    said = error.strerror or str(error)
    return said[:1].lower() + said[1:]
