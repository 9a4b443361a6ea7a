"""Files that a run leaves in its record, collected from the CHUNK frames of a child that nobody trusts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from engine.models.runs import Outcome
from engine.pool.frames import ProtocolError
from engine.pool.outcome import ReturnedFile
from engine.worker.returned import MAX_FILES, MAX_NAME, name_problem
from engine.worker.wire import CHUNK, CHUNK_DATA

if TYPE_CHECKING:
    from hashlib import _Hash

    from engine.pool.outcome import Ending

MAX_NAME_BYTES = 4 * MAX_NAME


@dataclass(slots=True)
class _Arriving:
    """The file whose pieces come now. Hashed piece by piece: all at once would hold up the event loop."""

    data: bytearray = field(default_factory=bytearray)
    hash: _Hash = field(default_factory=hashlib.sha256)

    def add(self, piece: memoryview) -> None:
        self.data += piece
        self.hash.update(piece)


class ReturnedFiles:
    """The files of one run: at most ``MAX_FILES`` of them, and ``limit`` bytes in all."""

    __slots__ = ("_files", "_left", "_name")

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._files: dict[str, _Arriving] = {}
        self._name = ""
        """Of the file that the next piece may go on with."""

    def take(self, payload: bytes) -> None:
        """Take the payload of a CHUNK.

        Raises:
            ProtocolError: No honest child sends it: malformed, out of order, or more than the run may leave.
        """
        name, offset, piece = _taken_apart(payload)
        if len(piece) > self._left:
            raise ProtocolError("more in files than its limit allows")
        if offset:
            self._go_on(name, offset, piece)
        else:
            self._begin(name)
        self._left -= len(piece)
        self._files[name].add(piece)

    def added_to(self, ending: Ending) -> Ending:
        """``ending`` with the files; a run that did not end well leaves none."""
        if not self._files or ending.outcome is not Outcome.OK:
            return ending
        files = tuple(ReturnedFile(name, file.data, file.hash.hexdigest()) for name, file in self._files.items())
        return msgspec.structs.replace(ending, files=files)

    def _begin(self, name: str) -> None:
        if name in self._files:
            raise ProtocolError("a file twice")
        if len(self._files) == MAX_FILES:
            raise ProtocolError(f"more than {MAX_FILES} files")
        self._files[name] = _Arriving()
        self._name = name

    def _go_on(self, name: str, offset: int, piece: memoryview) -> None:
        if name != self._name or offset != len(self._files[name].data) or offset % CHUNK_DATA or not piece:
            raise ProtocolError("a CHUNK that does not follow the one before")


def _taken_apart(payload: bytes) -> tuple[str, int, memoryview]:
    """Name, offset and piece of a CHUNK."""
    if len(payload) < CHUNK.size:
        raise ProtocolError("a CHUNK without its head")
    name_size, offset = CHUNK.unpack_from(payload)
    start = CHUNK.size + name_size
    if name_size > MAX_NAME_BYTES or start > len(payload) or len(payload) - start > CHUNK_DATA:
        raise ProtocolError("a CHUNK whose lengths do not add up")
    try:
        name = payload[CHUNK.size : start].decode()
    except UnicodeDecodeError:
        raise ProtocolError("a CHUNK whose name is not UTF-8") from None
    problem = name_problem(name)
    if problem is not None:
        raise ProtocolError(f"a CHUNK with a bad name ({problem})")
    return name, offset, memoryview(payload)[start:]
