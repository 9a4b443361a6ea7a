"""What a folder holds that a render wrote, file by file, and what each was made of: so only what changed is made again.

Lines of JSON. A line is appended when its file stands in its place, and the last line about a path counts: a render
that is killed, or whose engine dies, has lost nothing of that. At its end the file is written again without the lines
that no longer count.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from engine.client.render_tree import FULL, MANIFEST, TEMP, DiskFullError, Written, write_all
from engine.models.base import Model
from engine.models.macros import MacroUse, Read, RenderWarning

VERSION = 1
MAX_LINE = 16 << 20
"""Characters of a line: what is longer was not written by us."""

OUTDATED = "outdated"
"""In place of a hash: made under other conditions, so it is made again."""

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Question = tuple[str, bytes]
"""An operation and its parameters as canonical JSON."""


class Head(Model, frozen=True):
    version: int
    language: str = ""
    """What else was the same for every document."""


class Entry(Model, frozen=True):
    """A file of the result. ``size`` and ``modified_ns`` are its own, the others its source's."""

    path: str
    """POSIX, relative to the folder. Names that are no UTF-8 hold surrogates, which JSON cannot carry: see ``raw``."""
    raw: bytes = b""
    """The path, where that is one of those; then ``path`` is empty in the file."""
    sha256: str = ""
    """Of the document that it was made of; nothing for a file that was copied."""
    size: int = 0
    modified_ns: int = 0
    source_size: int = 0
    source_ns: int = 0
    source_mode: int = 0
    macros: list[MacroUse] = []  # noqa: RUF012 - msgspec copies it
    reads: list[Read] = []  # noqa: RUF012
    warnings: list[RenderWarning] = []  # noqa: RUF012
    removed: bool = False

    @property
    def written(self) -> Written:
        return Written(self.size, self.modified_ns)

    @property
    def failed(self) -> bool:
        """A macro failed, perhaps by something that is over: it is called again the next time."""
        return any(warning.kind == "error" for warning in self.warnings)

    def made_with(self, macros: Mapping[str, MacroUse]) -> bool:
        """Compare the macros with those of the last render; True if nothing differs."""
        return all(macros.get(use.name, MacroUse(name=use.name)) == use for use in self.macros)


_head = msgspec.json.Decoder(Head)
_entry = msgspec.json.Decoder(Entry)
_encode = msgspec.json.encode


class Manifest:
    """The entries by path. ``root`` is the folder that gets the result, which the caller holds locked."""

    def __init__(self, root: int, head: Head) -> None:
        self._root = root
        self._head = head
        self._append: int | None = None
        self._lines = 0
        self.entries: dict[str, Entry] = {}

    def load(self) -> None:
        """Read it and begin to append. Lines that cannot be read count as never written.

        Raises:
            DiskFullError: There is no room for it.
            OSError: It can be neither read nor replaced.
        """
        data = b""
        with suppress(FileNotFoundError):
            descriptor = os.open(MANIFEST, os.O_RDONLY | _OPEN, dir_fd=self._root)
            with open(descriptor, "rb") as file:
                data = file.read()
        lines = data.split(b"\n")
        ends_clean = not data or data.endswith(b"\n")
        other_head = not self._is_same_head(lines[0])
        for line in lines[1:]:
            if line and len(line) <= MAX_LINE:
                with suppress(msgspec.DecodeError, UnicodeDecodeError):
                    self._take(_entry.decode(line))
        if other_head:  # they are ours still, to be replaced or removed
            self.entries = {
                path: msgspec.structs.replace(entry, sha256=OUTDATED) if entry.sha256 else entry
                for path, entry in self.entries.items()
            }
        try:
            if data and not other_head:
                self._append = os.open(MANIFEST, os.O_WRONLY | os.O_APPEND | _OPEN, dir_fd=self._root)
                if not ends_clean:  # it was killed in the middle of a line
                    os.write(self._append, b"\n")
            else:
                self.compact()
        except OSError as error:
            raise _full(error) from error

    def _is_same_head(self, line: bytes) -> bool:
        try:
            return _head.decode(line) == self._head
        except msgspec.DecodeError:
            return False

    def _take(self, entry: Entry) -> None:
        self._lines += 1
        if entry.raw:
            entry = msgspec.structs.replace(entry, path=os.fsdecode(entry.raw), raw=b"")
        if not _is_below(entry.path):  # written by others: it would lead out of the folder
            return
        if entry.removed:
            self.entries.pop(entry.path, None)
        else:
            self.entries[entry.path] = entry

    def add(self, entries: Sequence[Entry]) -> None:
        """Note files that stand in their places, or are removed.

        Raises:
            DiskFullError: There is no room for that; what was noted before stays.
        """
        for entry in entries:
            self._take(entry)
        if self._append is None or not entries:
            return
        try:
            write_all(self._append, b"".join(_line(entry) + b"\n" for entry in entries))
        except OSError as error:
            raise _full(error) from error

    def stale(self, paths: Iterable[str]) -> list[Entry]:
        """Return the entries whose sources are gone: their paths are not among ``paths``."""
        there = set(paths)
        return [entry for path, entry in self.entries.items() if path not in there]

    def close(self, *, sync: bool) -> None:
        """Write it again without what no longer counts, if there is enough of that; let go of it.

        Args:
            sync: Get the result down to the disk first.
        """
        try:
            if sync:
                _sync_file_system(self._root)
            if self._lines > len(self.entries) + len(self.entries) // 4 + 16:
                self.compact()
        except OSError as error:
            if error.errno not in FULL:
                raise
        finally:
            if self._append is not None:
                os.close(self._append)
                self._append = None

    def compact(self) -> None:
        """Write all of it again and append from there."""
        temp = TEMP + secrets.token_hex(8)
        lines = [_encode(self._head), *(_line(self.entries[path]) for path in sorted(self.entries))]
        descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _OPEN, 0o600, dir_fd=self._root)
        try:
            write_all(descriptor, b"\n".join(lines) + b"\n")
            os.fsync(descriptor)
            os.rename(temp, MANIFEST, src_dir_fd=self._root, dst_dir_fd=self._root)
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                os.unlink(temp, dir_fd=self._root)
            raise
        if self._append is not None:
            os.close(self._append)
        self._append, self._lines = descriptor, len(self.entries)


def _is_below(path: str) -> bool:
    """Whether a path can be that of a file that a render has written: below the folder, and nowhere hidden."""
    return "\0" not in path and all(part and not part.startswith(".") for part in path.split("/"))


def _line(entry: Entry) -> bytes:
    try:
        return _encode(entry)
    except UnicodeEncodeError:
        return _encode(msgspec.structs.replace(entry, path="", raw=os.fsencode(entry.path)))


def question(read: Read) -> Question:
    return read.operation, _encode(read.params, order="sorted")


def _full(error: OSError) -> Exception:
    return DiskFullError(MANIFEST) if error.errno in FULL else error


def _sync_file_system(descriptor: int) -> None:
    """Get everything down to the disk at once (syncfs(2)): ten thousand fsyncs would take minutes."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
