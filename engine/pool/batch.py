"""The engine's side of a macro's child: chunks of calls go out, several at a time, and texts come back."""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from datetime import time as clock
from itertools import accumulate, chain, pairwise
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.models.macros import Read
from engine.models.runs import Outcome, RunError
from engine.pool.frames import ProtocolError
from engine.pool.job import ChildLink, JobRejected
from engine.pool.outcome import ErrorHead
from engine.worker.wire import CALLS, HEADER, MAX_CALLS, MAX_TEXT, NO_TEXT, TEXTS, Frame

MAX_CHUNK_TEXTS = 64 << 20
"""Bytes of UTF-8 of all the texts of one chunk: what a macro can make the engine hold."""

_encode = msgspec.json.encode
_MORE_MEMORY = "The call needs more memory than the macro may have; limits.memory in its header asks for more."
_PLAIN = {str, int, float, bool}
_DICTS = {dict}


class _CallError(msgspec.Struct, forbid_unknown_fields=True):
    error: ErrorHead
    outcome: str = ""
    traceback: str | None = None


class _TextsHead(msgspec.Struct, forbid_unknown_fields=True):
    errors: dict[int, _CallError] = {}
    warnings: dict[int, Annotated[list[str], Meta(max_length=50)]] = {}
    again: dict[int, list[int]] = {}
    """By the number of an answer that the child keeps, the calls that it was given to, in their order."""


_head_decoder = msgspec.json.Decoder(_TextsHead)


def calls_frame(
    number: int,
    params: Sequence[Mapping[str, Any]],
    context: Mapping[str, Any],
    documents: Sequence[Mapping[str, Any]] = (),
    of: Sequence[int] = (),
    room: int = MAX_CHUNK_TEXTS,
) -> bytes:
    """Return the CALLS frame for a chunk, whose texts may have ``room`` bytes together.

    Raises:
        JobRejected: Something in it cannot be written as JSON, or a call belongs to a document that is not there.
    """
    if len(params) > MAX_CALLS:
        raise JobRejected(f"A chunk has {MAX_CALLS:,} calls at most, not {len(params):,}.")
    told = b""
    indexes = b""
    if of:
        if len(of) != len(params) or min(of) < 0 or max(of) >= len(documents):
            raise JobRejected("A chunk's calls and its documents do not fit together.")
        told = _json_of_documents(documents)
        indexes = array("I", of).tobytes()
    given = _json_of(params)
    around = _json(context)
    size = CALLS.size + len(around) + len(given) + len(told) + len(indexes)
    lengths = CALLS.pack(number, len(params), room, len(around), len(given), len(told))
    return b"".join((HEADER.pack(size, Frame.CALLS), lengths, around, given, told, indexes))


NO_MORE_CALLS = HEADER.pack(CALLS.size, Frame.CALLS) + CALLS.pack(0, 0, 0, 0, 0, 0)


def _json_of(params: Sequence[Mapping[str, Any]]) -> bytes:
    """Write calls' parameters as JSON: fast where they are plain, as those of tags are."""
    if set(map(type, params)) == _DICTS and _PLAIN.issuperset(map(type, chain.from_iterable(map(dict.values, params)))):  # type: ignore[arg-type]
        try:
            data = _encode(params)
        except (UnicodeEncodeError, TypeError, OverflowError):
            pass  # lone surrogates, keys that are no texts, integers of more than 64 bits
        else:
            if b"null" not in data:  # which floats without a value come out as
                return data
    if not all(isinstance(one, Mapping) for one in params):
        raise JobRejected("The parameters of a call are a dict, by name.")
    return _json(params)


def _json_of_documents(documents: Sequence[Mapping[str, Any]]) -> bytes:
    """Write documents, which can be large, as JSON. Numbers that are none are null there."""
    try:
        return _encode(documents, enc_hook=_plain)
    except (UnicodeEncodeError, TypeError, OverflowError, RecursionError):
        return _json([dict(one) for one in documents])


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JobRejected(f"The parameters of a macro cannot be written as JSON: {error}.") from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, (date, clock)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")


@dataclass(slots=True)
class Part:
    """Calls that are sent to a child together, and what has come back of them."""

    number: int
    count: int
    frame: bytes
    """Its CALLS."""
    wall: float
    """Seconds from when its first call can begin."""
    room: int = MAX_CHUNK_TEXTS
    """Bytes that its texts may have."""
    texts: list[str | None] = field(default_factory=list)
    errors: dict[int, RunError] = field(default_factory=dict)
    tracebacks: dict[int, str] = field(default_factory=dict)
    warnings: dict[int, list[str]] = field(default_factory=dict)
    reads: dict[int, list[Read]] = field(default_factory=dict)
    size: int = 0
    """Bytes of the texts."""
    sent_at: float = 0.0
    began: float = 0.0
    ended: float = 0.0


class BatchSession:
    """The chunks of one child, answered in the order in which they were sent.

    Attributes:
        parts: Those that were sent and are not answered, the one that goes on first.
        answered: How many calls this child has answered.
        kept: What the child has asked and keeps the answers of, by their numbers: whoever answers it notes them here.
        begun: What the child's page says when it has ended: how many calls of the first part had begun; None where
            that is not known.
    """

    def __init__(self, on_part: Callable[[BatchSession, Part], None]) -> None:
        """``on_part`` is called with each part when it is answered."""
        self.parts: deque[Part] = deque()
        self.answered = 0
        self.kept: dict[int, Read] = {}
        self.begun: int | None = None
        self.overdue = False
        self._on_part = on_part
        self._link: ChildLink | None = None
        self._loop = asyncio.get_running_loop()
        self._clock: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._finished = False

    @property
    def attached(self) -> bool:
        """Whether its child has begun and not ended."""
        return self._link is not None

    def send(self, part: Part) -> None:
        """Send a part, or keep it until there is a child."""
        part.sent_at = time.perf_counter()
        self.parts.append(part)
        if self._link is not None:
            self._link.send(part.frame)
            if len(self.parts) == 1:
                self._start_clock(part)

    def finish(self) -> None:
        """Tell the child that no chunk follows."""
        self._finished = True
        if self._link is not None:
            self._link.send(NO_MORE_CALLS)

    def attach(self, link: ChildLink) -> None:
        """Begin with a child: its RUN has been sent."""
        self._link = link
        for part in self.parts:
            link.send(part.frame)
        if self.parts:
            self._start_clock(self.parts[0])
        if self._finished:
            link.send(NO_MORE_CALLS)

    def detach(self, number: int, begun: int) -> None:
        """End with the child; it says that ``begun`` calls of the part ``number`` had begun."""
        self._link = None
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        if self.parts:
            part = self.parts[0]
            if number == part.number:
                self.begun = min(begun, part.count)
            elif not part.texts:
                self.begun = 0

    def take(self, payload: bytes) -> None:
        """Take a TEXTS frame.

        Raises:
            ProtocolError: It is not what it should be.
        """
        if not self.parts:
            raise ProtocolError("a TEXTS without calls")
        part = self.parts[0]
        _take(part, payload, self.kept)
        if len(part.texts) < part.count:
            return
        self.parts.popleft()
        part.ended = time.perf_counter()
        self.answered += part.count
        if self.parts:
            self._start_clock(self.parts[0])
        self._on_part(self, part)

    def _start_clock(self, part: Part) -> None:
        """Count the time of the part that goes on now. One timer serves many: it looks whose time it is."""
        part.began = time.perf_counter()
        self._deadline = self._loop.time() + part.wall
        if self._clock is None or self._clock.when() > self._deadline:
            if self._clock is not None:
                self._clock.cancel()
            self._clock = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._clock = None
        if not self.parts:
            return
        if self._loop.time() < self._deadline:
            self._clock = self._loop.call_at(self._deadline, self._look)
            return
        self.overdue = True
        wall = self.parts[0].wall
        if self._link is not None:
            self._link.stop(f"A chunk of calls took longer than {wall:g} s.")


def _take(part: Part, payload: bytes, kept: Mapping[int, Read]) -> None:
    if len(payload) < TEXTS.size:
        raise ProtocolError("a TEXTS without its head")
    number, first, count, head_size = TEXTS.unpack_from(payload)
    done = len(part.texts)
    if number != part.number or first != done or not 0 < count <= part.count - done:
        raise ProtocolError("a TEXTS of calls that it was not asked for")
    sizes_end = TEXTS.size + 4 * count
    head_end = sizes_end + head_size
    if head_end > len(payload) or len(payload) - head_end > MAX_TEXT:
        raise ProtocolError("a TEXTS whose lengths do not add up")
    sizes = array("I")
    sizes.frombytes(payload[TEXTS.size : sizes_end])
    part.size += len(payload) - head_end
    if part.size > part.room:
        raise ProtocolError(f"TEXTS of more than {part.room:,} bytes for one chunk")
    try:
        text = str(memoryview(payload)[head_end:], "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("a TEXTS that is not UTF-8") from None
    if head_size:
        _take_head(part, payload[sizes_end:head_end], sizes, kept)
        lengths = [0 if size == NO_TEXT else size for size in sizes]
    else:
        lengths = sizes.tolist()
    ends = list(accumulate(lengths))
    if ends[-1] != len(text):
        raise ProtocolError("a TEXTS whose lengths do not add up")
    starts = [0, *ends]
    cut = [text[start:end] for start, end in zip(starts, ends, strict=False)]
    if head_size:
        part.texts += [None if size == NO_TEXT else one for size, one in zip(sizes, cut, strict=True)]
    else:
        part.texts += cut


def _take_head(part: Part, data: bytes, sizes: array[int], kept: Mapping[int, Read]) -> None:
    """Take errors, warnings and kept answers. Each call without a text has an error, and no other one has."""
    try:
        head = _head_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"a TEXTS whose head is not what it should be ({error})") from None
    failed = {index for index, size in enumerate(sizes) if size == NO_TEXT}
    if failed != set(head.errors) or any(not 0 <= index < len(sizes) for index in head.warnings):
        raise ProtocolError("a TEXTS whose head is about other calls")
    done = len(part.texts)
    for index, told in head.errors.items():
        if told.outcome == Outcome.MEMORY and not told.error.message:
            told.error.message = _MORE_MEMORY
        part.errors[done + index] = RunError(**msgspec.structs.asdict(told.error))
        if told.traceback is not None:
            part.tracebacks[done + index] = told.traceback
    for index, sentences in head.warnings.items():
        part.warnings[done + index] = sentences
    for number, indexes in head.again.items():
        in_order = all(0 <= one < other for one, other in pairwise([*indexes, len(sizes)]))
        if number not in kept or not in_order:
            raise ProtocolError("a TEXTS whose head tells of answers that its child was not given")
        for index in indexes:
            part.reads.setdefault(done + index, []).append(kept[number])
