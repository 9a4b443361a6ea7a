"""Buffers that runs make for what they leave: memory that a script writes to and that its caller reads, uncopied.

The engine makes each one, a memfd whose size is sealed from the start. It is read only when the content is sealed too
(fcntl(2), F_SEAL_WRITE): the kernel refuses that seal as long as a process could still write there. A script's process
lets go of its buffers with its result; one that does not is gone before they are read. Where a process is left even
then, by an ADMIN run, a copy is read.

A run that does not end well leaves none, as it leaves no files. The others are held for ten minutes for callers who may
see the run. Those that fit into what its record may keep of files are kept there too, under their names.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import weakref
from collections.abc import Callable, Sequence

from engine.models.runs import RunBuffer
from engine.pool.outcome import ReturnedFile
from engine.services.access import ServiceError
from engine.services.runs.uploads import COPIED_AT_ONCE, SEALS, Buffer, BufferService
from engine.worker.buffers import MOST_MADE, name_problem, read_only
from store.sizes import describe_size

BLOCK = 512
"""Bytes of what ``st_blocks`` counts (stat(3type))."""


class RunOutputs:
    """The buffers that one run makes. Implements the pool's ``OutputBuffers``.

    Attributes:
        recorded: Bytes that its record may keep of files, these among them.
        closed: The run has ended, and makes no more.
        changed: Names of buffers in which secrets were hidden.
    """

    __slots__ = ("_buffers", "_left", "_made", "_owner", "changed", "closed", "recorded")

    def __init__(self, buffers: BufferService, owner: str, most: int, recorded: int) -> None:
        """``most``: bytes that it may make together."""
        self._buffers = buffers
        self._owner = owner
        self._left = most
        self.recorded = recorded
        self._made: dict[str, Buffer] = {}
        self.closed = False
        self.changed: list[str] = []

    @property
    def any(self) -> bool:
        """Whether it has made some."""
        return bool(self._made)

    def seal(self) -> bool:
        try:
            return all(_sealed(buffer.fd) for buffer in self._made.values())
        except OSError:
            return False  # ``take`` tells it

    def held(self) -> int:
        return sum(os.fstat(buffer.fd).st_blocks for buffer in self._made.values()) * BLOCK

    def create(self, name: object, size: object) -> int:
        """Make a buffer as the script asks for it, which may be anything.

        Returns:
            Its descriptor, which stays the engine's.

        Raises:
            ServiceError: ``bad_request``, ``buffer_exists``, ``buffer_too_large`` or ``busy``.
        """
        if self.closed:
            raise ServiceError("bad_request", "The run has ended.")
        problem = name_problem(name) if isinstance(name, str) else "its name is no text"
        if not isinstance(name, str) or problem is not None:
            raise ServiceError("bad_request", f"A buffer cannot be made: {problem}.")
        if type(size) is not int or size < 0:
            raise ServiceError("bad_request", "The size of a buffer is a number of bytes, 0 or more.")
        if name in self._made:
            raise ServiceError("buffer_exists", f"The run has made a buffer {name!r} already.")
        if len(self._made) >= MOST_MADE:
            raise ServiceError("busy", f"A run can make {MOST_MADE} buffers.")
        if size > self._left:
            raise ServiceError(
                "buffer_too_large",
                f"The buffer {name!r} would have {describe_size(size)}, and the run may make "
                f"{describe_size(self._left)} more: its buffers are part of its memory.",
                hint="limits.memory in the script's header asks for more.",
            )
        self._made[name] = buffer = self._buffers.output(size, self._owner)
        self._left -= size
        return buffer.fd

    def drop(self) -> None:
        """Forget what the run has made."""
        self.closed = True
        made, self._made = self._made, {}
        for buffer in made.values():
            self._buffers.discard(buffer)

    async def take(self, hide: Callable[[memoryview], bytes | None] | None = None) -> dict[str, Buffer]:
        """Return what the run has left, sealed. Its process must be gone.

        Args:
            hide: Called in a thread with each content, returns it without secrets, or None if it holds none.

        Raises:
            ServiceError: ``busy`` when one has to be copied and there is no room for that.
        """
        self.closed = True
        made, self._made = self._made, {}
        try:
            for name, buffer in made.items():
                if not _sealed(buffer.fd):
                    made[name] = await self._copy(buffer)
                if hide is not None and (hidden := await asyncio.to_thread(hide, mapped(made[name]))) is not None:
                    made[name] = self._replaced(made[name], hidden)
                    self.changed.append(name)
        except BaseException:
            for buffer in made.values():
                self._buffers.discard(buffer)
            raise
        return made

    def _replaced(self, buffer: Buffer, content: bytes) -> Buffer:
        other = self._buffers.output(len(content), self._owner)
        self._buffers.discard(buffer)
        view = memoryview(content)
        while view:
            view = view[os.write(other.fd, view) :]
        fcntl.fcntl(other.fd, fcntl.F_ADD_SEALS, SEALS)
        return other

    async def _copy(self, buffer: Buffer) -> Buffer:
        """Copy what a process that goes on may still write to; what it writes meanwhile is there or not."""
        copy = self._buffers.output(buffer.info.size, self._owner)
        try:
            done = 0
            while done < buffer.info.size:
                done += os.sendfile(copy.fd, buffer.fd, done, min(COPIED_AT_ONCE, buffer.info.size - done))
                await asyncio.sleep(0)
            fcntl.fcntl(copy.fd, fcntl.F_ADD_SEALS, SEALS)
        except BaseException:
            self._buffers.discard(copy)
            raise
        self._buffers.discard(buffer)
        return copy


class LeftBuffers:
    """What runs have left, by run and name, until its lease ends."""

    def __init__(self, buffers: BufferService) -> None:
        self._buffers = buffers
        self._left: dict[int, dict[str, Buffer]] = {}

    def add(self, run_id: int, left: dict[str, Buffer]) -> None:
        """Begin the lease of what a run has left."""
        for other in list(self._left):
            self._held(other)
        if left:
            self._left[run_id] = left
            self._buffers.give_back(left.values())

    def of(self, run_id: int) -> list[RunBuffer]:
        """Return what there still is of a run's buffers."""
        return [RunBuffer(name=name, size=buffer.info.size) for name, buffer in self._held(run_id).items()]

    def read(self, run_id: int, name: str) -> memoryview | None:
        """Return the content of a buffer; None if there is none.

        It counts as held until nothing refers to the view any longer: a client that takes its time to read it does not
        take more memory than its share.
        """
        buffer = self._held(run_id).get(name)
        if buffer is None:
            return None
        buffer.handed_out = True  # from now on it may make room for others
        view = mapped(buffer)
        if buffer.info.size:
            buffer.holders += 1
            weakref.finalize(view.obj, self._read, buffer).atexit = False
        return view

    def take(self, run_id: int) -> dict[str, memoryview]:
        """Return all that a run has left and end its lease."""
        left = self._held(run_id)
        self._left.pop(run_id, None)
        taken = {name: mapped(buffer) for name, buffer in left.items()}
        for buffer in left.values():
            self._buffers.discard(buffer)
        return taken

    def _read(self, buffer: Buffer) -> None:
        buffer.holders -= 1
        self._buffers.expire()

    def _held(self, run_id: int) -> dict[str, Buffer]:
        """Return what the engine still holds of a run's; the others are forgotten."""
        if (left := self._left.get(run_id)) is None:
            return {}
        self._buffers.expire()
        held = {name: buffer for name, buffer in left.items() if self._buffers.has(buffer)}
        if held:
            self._left[run_id] = held
        else:
            del self._left[run_id]
        return held


def mapped(buffer: Buffer) -> memoryview:
    """Return a read-only view of a sealed buffer. The memory lasts as long as the view."""
    return read_only(buffer.fd, buffer.info.size)


def small_ones(left: dict[str, Buffer], taken: Sequence[ReturnedFile], limit: int) -> list[ReturnedFile]:
    """Copy the buffers that fit beside a run's files into its record, ``limit`` bytes of both together."""
    limit -= sum(len(file.data) for file in taken)
    names = {file.name for file in taken}
    found = []
    for name, buffer in left.items():
        if name not in names and buffer.info.size <= limit:
            limit -= buffer.info.size
            data = bytearray(mapped(buffer))
            found.append(ReturnedFile(name, data, hashlib.sha256(data).hexdigest()))
    return found


def _sealed(fd: int) -> bool:
    """Seal a buffer; False when a process may still write to it."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE:
        return True
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EPERM):
            raise
        return False
    return True
