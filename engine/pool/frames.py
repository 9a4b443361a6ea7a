"""The host's end of the frame format: an incremental parser that trusts nothing, and the frames it sends."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from engine.models.runs import RunKind
from engine.pool.job import Job, JobRejected
from engine.worker.wire import (
    CALL,
    HEADER,
    MAX_CALL_FRAME,
    MAX_CALLS,
    MAX_CHUNK_FRAME,
    MAX_HELLO_FRAME,
    MAX_OUTPUT_FRAME,
    MAX_TEXT,
    MAX_WAIT_NAMES,
    REPLY,
    RESULT_HEAD_ROOM,
    RUN,
    TEXTS,
    TEXTS_HEAD_ROOM,
    Frame,
    SourceKind,
)

KINDS = {
    RunKind.EXEC: SourceKind.EXEC,
    RunKind.SCRIPT: SourceKind.SCRIPT,
    RunKind.EVAL: SourceKind.EVAL,
    RunKind.CALL: SourceKind.CALL,
    RunKind.RENDER: SourceKind.RENDER,
}


class ProtocolError(Exception):
    """A child sent what no honest child sends. The message says what."""


OUTPUT = (Frame.OUT, Frame.ERR)


class FrameParser:
    """Cuts a child's bytes into frames. Lengths are checked before anything is stored for them.

    Nothing larger than the largest frame that is allowed, and one read more, is ever held.

    Attributes:
        more: Whether the last call stopped at ``most`` frames, so that further ones may be complete already.
        taken: How many frames the last call cut.
    """

    __slots__ = ("_caps", "_held", "_needed", "_parts", "_start", "more", "taken")

    def __init__(self, result_limit: int) -> None:
        self._parts: list[bytes] = []
        self._start = 0
        """Where the first frame that was not cut yet begins in the first part."""
        self._held = 0
        """Bytes from there on."""
        self._needed = HEADER.size
        """Bytes without which the first frame is not complete; so the parts of a large one are joined once."""
        self._caps: dict[int, int] = {
            Frame.HELLO: MAX_HELLO_FRAME,
            Frame.OUT: MAX_OUTPUT_FRAME,
            Frame.ERR: MAX_OUTPUT_FRAME,
            Frame.RESULT: result_limit + RESULT_HEAD_ROOM,
        }
        self.more = False
        self.taken = 0

    def expect_run(self, result_limit: int) -> None:
        """A run with its own result limit has been given to this child; it may call, leave files, wait for threads."""
        self._caps[Frame.CALL] = MAX_CALL_FRAME
        self._caps[Frame.RESULT] = result_limit + RESULT_HEAD_ROOM
        self._caps[Frame.CHUNK] = MAX_CHUNK_FRAME
        self._caps[Frame.WAIT] = result_limit + RESULT_HEAD_ROOM + MAX_WAIT_NAMES

    def expect_texts(self) -> None:
        """The run that was given to this child is a batch's."""
        self._caps[Frame.TEXTS] = TEXTS.size + 4 * MAX_CALLS + TEXTS_HEAD_ROOM + MAX_TEXT

    def feed(self, data: bytes = b"", most: int = sys.maxsize) -> list[tuple[int, bytes]]:
        """Take ``data`` and return frames that are complete now, as pairs of type and payload.

        Frames of output that follow one another on one stream come as one.

        Args:
            data: What was read; nothing, to go on where the last call stopped.
            most: Cut no more frames than this.

        Raises:
            ProtocolError: An unknown type, a length over the type's limit, or an empty frame, of which no type is and
                millions fit into any limit of output. The parser is of no use after it.
        """
        if data:
            self._parts.append(data)
            self._held += len(data)
        self.taken = 0
        if self._held < self._needed:
            self.more = False
            return []
        if len(self._parts) > 1:
            self._parts = [b"".join((self._parts[0][self._start :], *self._parts[1:]))]
            self._start = 0
        data, start = self._parts[0], self._start
        frames: list[tuple[int, list[bytes]]] = []
        end, taken, joins, parts = len(data), 0, 0, [b""]
        self._needed = HEADER.size
        while taken < most and end - start >= HEADER.size:
            size, kind = HEADER.unpack_from(data, start)
            if not 0 < size <= self._caps.get(kind, 0):
                raise self._refusal(size, kind)
            stop = start + HEADER.size + size
            if stop > end:
                self._needed = stop - start
                break
            if kind == joins:
                parts.append(data[start + HEADER.size : stop])
            else:
                parts = [data[start + HEADER.size : stop]]
                frames.append((kind, parts))
                joins = kind if kind in OUTPUT else 0
            start = stop
            taken += 1
        self.taken, self.more = taken, taken == most
        self._start, self._held = start, end - start
        if not self._held:
            self._parts, self._start = [], 0
        return [(kind, parts[0] if len(parts) == 1 else b"".join(parts)) for kind, parts in frames]

    def _refusal(self, size: int, kind: int) -> ProtocolError:
        """Say what is wrong with a header."""
        cap = self._caps.get(kind)
        if cap is None:
            return ProtocolError(f"a frame of type {kind}")
        if size > cap:
            return ProtocolError(f"a {frame_name(kind)} frame of {size:,} bytes, over the limit of {cap:,}")
        return ProtocolError(f"an empty {frame_name(kind)} frame")


def frame_name(kind: int) -> str:
    """What ``Frame`` calls ``kind``."""
    return next((name for name, number in vars(Frame).items() if number == kind), str(kind))


def run_frame(job: Job, cpu: int) -> bytes:
    """The RUN frame for ``job``. ``cpu`` lowers the child's processor time; 0 leaves it.

    Raises:
        JobRejected: Its inputs cannot be written as JSON.
    """
    name = job.filename.encode("utf-8", "backslashreplace")[:1000]
    head = _run_head(job)
    shared = b"".join(part for module in job.shared for part in (module.text, module.code))
    size = RUN.size + len(name) + len(head) + len(job.source) + len(job.code) + len(shared)
    lengths = RUN.pack(KINDS[job.kind], cpu, job.limits.result, job.limits.files, len(name), len(head))
    return b"".join((HEADER.pack(size, Frame.RUN), lengths, name, head, job.source, job.code, shared))


def _run_head(job: Job) -> bytes:
    """The JSON part, empty for a plain ``exec``: the child then has nothing to parse."""
    head: dict[str, Any] = {}
    for field in ("params", "args", "kwargs", "variables", "argv"):
        value = getattr(job, field)
        if value:
            head[field] = dict(value) if isinstance(value, Mapping) else list(value)
    if job.kind is RunKind.CALL:
        head |= {"module": job.module, "function": job.function}
    elif job.entrypoint is not None:
        head["entrypoint"] = job.entrypoint
    head |= _descriptors(job)
    head |= _what_follows(job)
    if not head:
        return b""
    try:
        return json.dumps(head, allow_nan=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JobRejected(f"The run's inputs cannot be written as JSON: {error}.") from None


def _what_follows(job: Job) -> dict[str, Any]:
    """What the head says of compiled code and shared files behind the source."""
    head: dict[str, Any] = {"code": len(job.code)} if job.code else {}
    if job.shared:
        files = [[one.name, one.path, one.package, len(one.text), len(one.code)] for one in job.shared]
        head["shared"] = [len(job.source) + len(job.code), job.shared_folder, files]
    return head


def _descriptors(job: Job) -> dict[str, Any]:
    """What the descriptors are that come behind the RUN, in their order."""
    found: dict[str, Any] = {}
    if job.files:
        found["files"] = [[parameter, file.name, file.size] for parameter, file in job.files.items()]
    if job.buffers:
        found["buffers"] = [[name, buffer.size] for name, buffer in job.buffers.items()]
    if job.stdin is not None:
        found["stdin"] = True
    return found


def call_parts(payload: bytes) -> tuple[int, bytes]:
    """Return a CALL's number and its JSON, of which nothing is looked at.

    Raises:
        ProtocolError: It is too short to be one.
    """
    if len(payload) <= CALL.size:
        raise ProtocolError(f"a CALL frame of {len(payload)} bytes")
    return CALL.unpack_from(payload)[0], payload[CALL.size :]


def reply_frame(number: int, answer: bytes, descriptors: int) -> bytes:
    """Return the REPLY to the call ``number``; as many descriptors have to follow it."""
    head = HEADER.pack(REPLY.size + len(answer), Frame.REPLY)
    return b"".join((head, REPLY.pack(number, descriptors), answer))


def cpu_seconds(wall: float) -> int:
    """Whole seconds of processor time for a run with this wall limit."""
    return math.ceil(wall) + 1
