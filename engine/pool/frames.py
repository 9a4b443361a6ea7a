"""The host's end of the frame format: an incremental parser that trusts nothing, and the frames it sends."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from engine.models.runs import RunKind
from engine.pool.job import Job, JobRejected
from engine.worker.wire import (
    HEADER,
    MAX_CHUNK_FRAME,
    MAX_HELLO_FRAME,
    MAX_OUTPUT_FRAME,
    RESULT_HEAD_ROOM,
    RUN,
    Frame,
    SourceKind,
)

KINDS = {
    RunKind.EXEC: SourceKind.EXEC,
    RunKind.SCRIPT: SourceKind.EXEC,
    RunKind.EVAL: SourceKind.EVAL,
    RunKind.CALL: SourceKind.CALL,
}


class ProtocolError(Exception):
    """A child sent what no honest child sends. The message says what."""


class FrameParser:
    """Cuts a child's bytes into frames. Lengths are checked before anything is stored for them.

    Nothing larger than the largest frame that is allowed, and one read more, is ever held.
    """

    __slots__ = ("_buffer", "_caps")

    def __init__(self, result_limit: int) -> None:
        self._buffer = bytearray()
        self._caps: dict[int, int] = {
            Frame.HELLO: MAX_HELLO_FRAME,
            Frame.OUT: MAX_OUTPUT_FRAME,
            Frame.ERR: MAX_OUTPUT_FRAME,
            Frame.RESULT: result_limit + RESULT_HEAD_ROOM,
        }

    def expect_run(self, result_limit: int) -> None:
        """A run with its own result limit has been given to this child; it may leave files, too."""
        self._caps[Frame.RESULT] = result_limit + RESULT_HEAD_ROOM
        self._caps[Frame.CHUNK] = MAX_CHUNK_FRAME

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take ``data`` and return the frames that are complete now, as pairs of type and payload.

        Raises:
            ProtocolError: An unknown type, a length over the type's limit, or an empty frame, of which no type is and
                millions fit into any limit of output. The parser is of no use after it.
        """
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
        frames = []
        start, end = 0, len(data)
        while end - start >= HEADER.size:
            size, kind = HEADER.unpack_from(data, start)
            cap = self._caps.get(kind)
            if cap is None:
                raise ProtocolError(f"a frame of type {kind}")
            if size > cap:
                raise ProtocolError(f"a {frame_name(kind)} frame of {size:,} bytes, over the limit of {cap:,}")
            if not size:
                raise ProtocolError(f"an empty {frame_name(kind)} frame")
            stop = start + HEADER.size + size
            if stop > end:
                break
            frames.append((kind, data[start + HEADER.size : stop]))
            start = stop
        self._buffer[:] = data[start:]
        return frames


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
    size = RUN.size + len(name) + len(head) + len(job.source)
    lengths = RUN.pack(KINDS[job.kind], cpu, job.limits.result, job.limits.files, len(name), len(head))
    return b"".join((HEADER.pack(size, Frame.RUN), lengths, name, head, job.source))


def _run_head(job: Job) -> bytes:
    """The JSON part, empty for a plain ``exec``: the child then has nothing to parse."""
    head: dict[str, Any] = {}
    for field in ("params", "args", "kwargs", "variables"):
        value = getattr(job, field)
        if value:
            head[field] = dict(value) if isinstance(value, Mapping) else list(value)
    if job.kind is RunKind.CALL:
        head |= {"module": job.module, "function": job.function}
    elif job.entrypoint is not None:
        head["entrypoint"] = job.entrypoint
    if job.files:
        head["files"] = [[parameter, file.name, file.size] for parameter, file in job.files.items()]
    if not head:
        return b""
    try:
        return json.dumps(head, allow_nan=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JobRejected(f"The run's inputs cannot be written as JSON: {error}.") from None


def cpu_seconds(wall: float) -> int:
    """Whole seconds of processor time for a run with this wall limit."""
    return math.ceil(wall) + 1
