"""Files that a client hands to a run: content only, in sealed memory, never a path that the engine would open.

A buffer is a memfd, filled while the upload streams in and then sealed, so that neither the engine nor the script can
change it (memfd_create(2), fcntl(2) F_ADD_SEALS). It lives until its lease ends, unless a run still holds it.

Seals keep the content, not the mode and the times, which a script may change of what it is handed. So no two runs are
handed one memfd: the first has the upload's own, each later one a copy.

Each upload takes a descriptor and memory of the one process that serves all. So a token may have few of them, and
the last quarter of all is the owner's. Who has his share makes room with what his runs have used already. What runs
leave in buffers of their own counts here, too (``outputs.py``).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import mmap
import os
import resource
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from engine.models.runs import BufferInfo
from engine.registry.runs import BUFFERS_CREATE
from engine.services.access import Actor, ServiceError, owner_actor
from engine.services.operations import implements
from store.sizes import describe_size

LEASE = 600.0
"""Seconds for which a buffer waits for the run that uses it."""

EVERY = 60.0
"""Seconds between two looks for buffers whose lease has ended."""

COPIED_AT_ONCE = 8 << 20
"""Bytes of a copy between two turns of the event loop, or two looks whether it is still wanted: some milliseconds."""

PIECE = 1 << 20
"""Bytes of an upload between two turns of the event loop, with their hash some milliseconds."""

MOST = 512
"""Uploads that there may be at once, with the copies that runs hold; also at most a quarter of the descriptors."""

MOST_OF_TOKEN = 64

FULL_FOR = 10.0
"""Seconds after which an upload that found no room may be tried again."""

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(slots=True)
class Buffer:
    """``fd`` belongs to the service. ``holders`` counts who uses it.

    Attributes:
        handed_out: A run was given ``fd``; no other one is.
        copied: The upload that it is a copy of, for one run; it goes with the run.
    """

    info: BufferInfo
    fd: int
    owner: str
    expires: float
    holders: int = 0
    handed_out: bool = False
    copied: Buffer | None = None


@dataclass(slots=True)
class Holding:
    """What there is of uploads of one caller, or of several together; ``size`` in bytes."""

    files: int = 0
    size: int = 0

    def add(self, files: int, size: int) -> None:
        self.files += files
        self.size += size


class BufferWriter:
    """Takes an upload piece by piece; ``finish`` seals it, ``abort`` forgets it."""

    def __init__(self, service: BufferService, name: str, owner: str, fd: int) -> None:
        self._service = service
        self._name = name
        self._owner = owner
        self._fd = fd
        self._size = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``.

        Raises:
            ServiceError: ``buffer_too_large`` when this upload would pass its limit, ``busy`` when its caller's uploads
                or all of them together would.
        """
        self._service.reserve(self._owner, self._size, len(data))
        self._size += len(data)
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    async def fill(self, data: memoryview) -> BufferInfo:
        """Take all of ``data``, bytes in one piece: while one piece is copied, the one before it is hashed."""
        self._service.reserve(self._owner, 0, len(data))
        self._size = len(data)
        if data:
            os.ftruncate(self._fd, len(data))
            with mmap.mmap(self._fd, len(data), mmap.MAP_PRIVATE, mmap.PROT_READ) as copy, memoryview(copy) as view:
                for start in range(0, len(data), COPIED_AT_ONCE):
                    end = start + COPIED_AT_ONCE
                    with view[max(0, start - COPIED_AT_ONCE) : start] as there:
                        await _both(
                            partial(_write, self._fd, data[start:end], start), partial(self._hash.update, there)
                        )
                with view[(len(data) - 1) // COPIED_AT_ONCE * COPIED_AT_ONCE :] as there:
                    await _both(partial(self._hash.update, there))
        return self.finish()

    def finish(self) -> BufferInfo:
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, SEALS)
        info = BufferInfo(id=secrets.token_hex(16), name=self._name, size=self._size, sha256=self._hash.hexdigest())
        self._service.keep(info, self._fd, self._owner)
        return info

    def abort(self) -> None:
        self._service.release(self._owner, self._size)
        os.close(self._fd)


class BufferService:
    """All uploads of one engine. ``max_buffer`` and ``max_total`` are bytes."""

    def __init__(
        self, *, max_buffer: int = 256 << 20, max_total: int = 1 << 30, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_buffer = max_buffer
        self._max_total = max_total
        self._clock = clock
        self._buffers: dict[str, Buffer] = {}
        self._project_owner = owner_actor().identity
        self._all = Holding()
        self._others = Holding()
        """What is not the owner's."""
        self._held: dict[str, Holding] = {}
        """By caller."""

    def create(self, name: str, actor: Actor) -> BufferWriter:
        """Start an upload. ``name`` is what the script sees, the file's own name without folders.

        Raises:
            ServiceError: ``bad_name``, or ``busy`` when there are too many uploads.
        """
        self.expire()
        base = os.path.basename(name) or "file"
        if len(base) > 255 or not base.isprintable():
            raise ServiceError("bad_name", "A file's name must be printable and at most 255 characters long.")
        owner = actor.identity
        self._admit(owner)
        try:
            return BufferWriter(self, base, owner, _memfd())
        except OSError:
            self.release(owner, 0)
            raise _full("The engine cannot take another file right now: it has too many open.") from None

    @implements(BUFFERS_CREATE)
    async def upload(self, name: str, chunks: AsyncIterator[bytes], actor: Actor) -> BufferInfo:
        """Write a file into a buffer while it arrives: it is never held in this process twice."""
        writer = self.create(name, actor)
        try:
            since = 0
            async for chunk in chunks:
                view = memoryview(chunk)
                for start in range(0, len(view), PIECE):
                    piece = view[start : start + PIECE]
                    writer.write(piece)
                    since += len(piece)
                    if since >= PIECE:  # what is there already is read without a turn of the event loop
                        since = 0
                        await asyncio.sleep(0)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    async def take(self, name: str, data: memoryview, actor: Actor) -> BufferInfo:
        """Copy what a caller in this process has in its memory, beside the event loop.

        The hash is of the copy, whatever the caller does with ``data`` meanwhile.

        Raises:
            ServiceError: As ``create`` and ``BufferWriter.write`` do.
        """
        writer = self.create(name, actor)
        try:
            return await writer.fill(data)
        except BaseException as error:
            writer.abort()
            if isinstance(error, OSError):
                raise _full(f"There is no memory for {name}: {error.strerror}.") from None
            raise

    async def hold(self, ids: Iterable[str], actor: Actor) -> list[Buffer]:
        """Take buffers for a run: all of them or none. Give each back with ``give_back``."""
        taken: list[Buffer] = []
        wanted = list(ids)
        found = {buffer_id: self._find(buffer_id, actor) for buffer_id in wanted}
        for buffer in found.values():
            buffer.holders += 1  # a copy of one must not make room with another
        own: dict[str, Buffer] = {}
        try:
            for buffer_id in wanted:
                if buffer_id not in own:
                    own[buffer_id] = await self._of_one_run(found[buffer_id])
                own[buffer_id].holders += 1
                taken.append(own[buffer_id])
        except BaseException:
            self.give_back(taken)
            raise
        finally:
            for buffer in found.values():
                buffer.holders -= 1
        return taken

    async def _of_one_run(self, buffer: Buffer) -> Buffer:
        """``buffer`` itself for the first run that wants it, a copy for each other one."""
        if not buffer.handed_out:
            buffer.handed_out = True
            return buffer
        self._admit(buffer.owner)
        try:
            self.reserve(buffer.owner, 0, buffer.info.size)
        except BaseException:
            self.release(buffer.owner, 0)
            raise
        buffer.holders += 1  # until ``give_back`` of the copy
        copy = None
        try:
            copy = _memfd()
            done = 0
            while done < buffer.info.size:
                done += os.sendfile(copy, buffer.fd, done, min(COPIED_AT_ONCE, buffer.info.size - done))
                await asyncio.sleep(0)
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, SEALS)
        except BaseException as error:
            if copy is not None:
                os.close(copy)
            self.release(buffer.owner, buffer.info.size)
            buffer.holders -= 1
            if isinstance(error, OSError):
                raise _no_descriptor(buffer, error) from None
            raise
        return Buffer(info=buffer.info, fd=copy, owner=buffer.owner, expires=0.0, handed_out=True, copied=buffer)

    def opened(self, buffer: Buffer) -> int:
        """A descriptor of a buffer that can only be read and is at its beginning; the caller closes it.

        The buffer's own is at its end, and all who had a copy of it would move each other's place (open(2)).

        Raises:
            ServiceError: ``no_descriptor``.
        """
        try:
            return os.open(f"/proc/self/fd/{buffer.fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _no_descriptor(buffer, error) from None

    def info(self, buffer_id: str, actor: Actor) -> BufferInfo:
        """What is known of an upload; raises ``no_buffer``."""
        return self._find(buffer_id, actor).info

    def forget(self, buffer_id: str, actor: Actor) -> None:
        """Drop an upload that no run holds before its lease ends."""
        buffer = self._buffers.get(buffer_id)
        if buffer is not None and buffer.owner == actor.identity and not buffer.holders:
            self._drop(buffer)

    def output(self, size: int, owner: str) -> Buffer:
        """Make memory of ``size`` bytes that a run may write to, held until ``give_back`` or ``discard``.

        Raises:
            ServiceError: ``buffer_too_large``, or ``busy`` when there are too many or too large ones.
        """
        self.expire()
        self._admit(owner)
        try:
            self.reserve(owner, 0, size, "buffer")
        except BaseException:
            self.release(owner, 0)
            raise
        try:
            fd = _memfd()
            try:
                os.ftruncate(fd, size)
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            self.release(owner, size)
            raise _full(f"The engine cannot make another buffer right now: {error.strerror}.") from None
        info = BufferInfo(id=secrets.token_hex(16), name="", size=size, sha256="")
        self._buffers[info.id] = buffer = Buffer(info=info, fd=fd, owner=owner, expires=0.0, holders=1)
        return buffer

    def has(self, buffer: Buffer) -> bool:
        """Tell whether a buffer was not dropped yet."""
        return self._buffers.get(buffer.info.id) is buffer

    def discard(self, buffer: Buffer) -> None:
        """Drop an output, whoever holds it."""
        if self.has(buffer):
            self._drop(buffer)

    def held(self, name: str, sha256: str, actor: Actor) -> str | None:
        """The id of an upload of ``actor`` with that name and content, if there still is one."""
        self.expire()
        for buffer in self._buffers.values():
            if (buffer.owner, buffer.info.name, buffer.info.sha256) == (actor.identity, name, sha256):
                return buffer.info.id
        return None

    def give_back(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            buffer.holders -= 1
            if buffer.copied is not None and not buffer.holders:
                os.close(buffer.fd)
                self.release(buffer.owner, buffer.info.size)
                buffer = buffer.copied  # the copy held it
                buffer.holders -= 1
            buffer.expires = self._clock() + LEASE
        self.expire()

    def expire(self) -> None:
        """Drop what nobody holds and whose lease has ended."""
        now = self._clock()
        for buffer in [b for b in self._buffers.values() if not b.holders and b.expires <= now]:
            self._drop(buffer)

    def close(self) -> None:
        for buffer in list(self._buffers.values()):
            self._drop(buffer)

    def reserve(self, owner: str, so_far: int, more: int, what: str = "file") -> None:
        """Count ``more`` bytes of an upload of ``owner`` that holds ``so_far``; called by the writer."""
        share = self._share(owner)
        if so_far + more > min(self._max_buffer, share):
            is_share = share < self._max_buffer
            raise ServiceError(
                "buffer_too_large",
                f"A {what} {'of this caller ' if is_share else ''}may have at most "
                f"{describe_size(min(self._max_buffer, share))}.",
                hint=f"{'Cut the file, for example with tail' if what == 'file' else 'Make several smaller ones'}"
                f"{'' if is_share else ', or raise ceilings.upload in the settings'}.",
                status=413,
            )
        while self._all.size + more > self._max_total or (
            owner != self._project_owner and self._others.size + more > _but_a_quarter(self._max_total)
        ):
            if not self._make_room(owner):
                raise _full("The engine holds too many uploaded files right now.")
        while self._of(owner).size + more > share:
            if not self._make_room(owner):
                raise _full(f"The files that this caller has uploaded take up its {describe_size(share)}.")
        self._count(owner, 0, more)

    def release(self, owner: str, size: int) -> None:
        """Count no longer one file of ``owner`` with so many bytes."""
        self._count(owner, -1, -size)

    def _admit(self, owner: str) -> None:
        """Count one file more of ``owner``, which is empty so far."""
        most = min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        if owner != self._project_owner:
            of_token = min(MOST_OF_TOKEN, most // 4)
            while _is_token(owner) and self._of(owner).files >= of_token:
                if not self._make_room(owner):
                    raise _full(f"This token has {of_token} uploaded files that wait for their runs.")
            while self._others.files >= _but_a_quarter(most):
                if not self._make_room(owner):
                    raise _full("The engine holds too many uploaded files right now.")
        while self._all.files >= most:
            if not self._make_room(owner):
                raise _full("The engine holds too many uploaded files right now.")
        self._count(owner, 1, 0)

    def _share(self, owner: str) -> int:
        """Bytes that a caller's uploads may have together: of a token two of the largest, or a quarter of all."""
        if owner == self._project_owner:
            return self._max_total
        most = _but_a_quarter(self._max_total)
        return min(most, max(self._max_total // 4, 2 * self._max_buffer)) if _is_token(owner) else most

    def _of(self, owner: str) -> Holding:
        return self._held.get(owner) or Holding()

    def _count(self, owner: str, files: int, size: int) -> None:
        held = self._held.setdefault(owner, Holding())
        held.add(files, size)
        if not held.files:
            del self._held[owner]
        self._all.add(files, size)
        if owner != self._project_owner:
            self._others.add(files, size)

    def _make_room(self, owner: str) -> bool:
        """Drop the upload of ``owner`` that a run has used and that waits longest for another one; False: none does."""
        used = [b for b in self._buffers.values() if b.owner == owner and b.handed_out and not b.holders]
        if not used:
            return False
        self._drop(min(used, key=lambda buffer: buffer.expires))
        return True

    def keep(self, info: BufferInfo, fd: int, owner: str) -> None:
        self._buffers[info.id] = Buffer(info=info, fd=fd, owner=owner, expires=self._clock() + LEASE)

    def _find(self, buffer_id: str, actor: Actor) -> Buffer:
        buffer = self._buffers.get(buffer_id)
        if buffer is None or buffer.owner != actor.identity:
            raise ServiceError(
                "no_buffer", "That uploaded file is gone: uploads are kept for ten minutes.", hint="Upload it again."
            )
        return buffer

    def _drop(self, buffer: Buffer) -> None:
        del self._buffers[buffer.info.id]
        self.release(buffer.owner, buffer.info.size)
        os.close(buffer.fd)


def _memfd() -> int:
    return os.memfd_create("gatewright-buffer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def _write(fd: int, data: memoryview, start: int) -> None:
    while data:
        written = os.pwrite(fd, data, start)
        data, start = data[written:], start + written


async def _both(*calls: Callable[[], object]) -> None:
    """Make calls in threads and wait for all of them, also when this is cancelled: they use what the caller closes."""
    loop = asyncio.get_running_loop()
    running = [loop.run_in_executor(None, call) for call in calls]
    try:
        await asyncio.shield(asyncio.gather(*running))
    finally:
        await asyncio.wait(running)


def _is_token(identity: str) -> bool:
    return identity.startswith("token:")


def _but_a_quarter(whole: int) -> int:
    return whole - whole // 4


def _full(sentence: str) -> ServiceError:
    return ServiceError(
        "busy",
        sentence,
        hint="Wait for runs to end and try again; what no run has used goes after ten minutes.",
        status=429,
        retry_after=FULL_FOR,
    )


def _no_descriptor(buffer: Buffer, error: OSError) -> ServiceError:
    return ServiceError(
        "no_descriptor",
        f"The run cannot be given {buffer.info.name}: {error.strerror}.",
        hint="Upload it again; if that does not help, wait for runs to end.",
        status=503,
    )


async def keep_house(buffers: BufferService) -> None:
    """Run until cancelled."""
    while True:
        buffers.expire()
        await asyncio.sleep(EVERY)
