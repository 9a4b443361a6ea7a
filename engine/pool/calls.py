"""The calls of one run to the engine, between its frames and what answers them: bounded, whatever the child does.

A call is outstanding from its CALL until its REPLY has left for the kernel. An honest child never has more of them than
``MAX_CALLS_AT_ONCE``, so one that has is ended; and answers that it does not read never become much memory.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import msgspec

from engine.pool.frames import ProtocolError, call_parts, reply_frame
from engine.pool.job import HostCalls
from engine.pool.pace import MAX_NESTED
from engine.worker.wire import MAX_CALLS_AT_ONCE, MAX_REPLY, MAX_REPLY_DESCRIPTORS

MAX_UNREAD = 2 * MAX_REPLY
"""Bytes of replies that wait for the child to read."""

LONG = 200
"""Entries of a list up to which it is written in the event loop."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

Send = Callable[[bytes, Sequence[int], Callable[[], None]], None]
"""Sends a frame and the descriptors after it, then calls back when the kernel has taken all of that."""


class OutstandingCalls:
    """The calls of the run that a child was given.

    Args:
        calls: What answers; None: the run may ask nothing.
        send: Sends to the child.
    """

    __slots__ = ("_calls", "_outstanding", "_send", "_unread")

    def __init__(self, calls: HostCalls | None, send: Send) -> None:
        self._calls = calls
        self._send: Send | None = send
        self._outstanding: set[int] = set()
        self._unread = 0

    def take(self, payload: bytes) -> None:
        """Have one CALL answered.

        Raises:
            ProtocolError: No honest child sends it.
        """
        number, asked = call_parts(payload)
        if number in self._outstanding:
            raise ProtocolError("two CALL frames of one number")
        if len(self._outstanding) >= MAX_CALLS_AT_ONCE:
            raise ProtocolError(f"more than {MAX_CALLS_AT_ONCE} CALL frames at once")
        self._outstanding.add(number)
        if holds_too_much(asked):
            sentence = f"The call holds more than {MAX_NESTED:,} lists and objects."
            hint = "Hand them over as one text (json.dumps), in a file or in a buffer."
            self._reply(number, [False], error("too_large", sentence, hint))
        elif self._calls is None:
            self._reply(number, [False], error("unavailable", "This run cannot call the engine."), ())
        else:
            self._calls.call(asked, partial(self._reply, number, [False]))

    def end(self) -> None:
        """Give up what is under way; replies from now on go nowhere."""
        calls, self._calls, self._send = self._calls, None, None
        if calls is not None:
            calls.end()

    def _reply(self, number: int, answered: list[bool], answer: bytes, descriptors: Sequence[int] = ()) -> None:
        if self._send is None or answered[0]:
            return
        answered[0] = True
        if len(answer) > MAX_REPLY:
            answer, descriptors = _too_large(len(answer)), ()
        elif len(descriptors) > MAX_REPLY_DESCRIPTORS:
            answer, descriptors = error("too_large", f"The answer has {len(descriptors):,} buffers."), ()
        elif self._unread + len(answer) > MAX_UNREAD:
            answer, descriptors = error("too_large", "Other answers have to be read before this one."), ()
        frame = reply_frame(number, answer, len(descriptors))
        self._unread += len(frame)
        self._send(frame, descriptors, partial(self._sent, number, len(frame)))

    def _sent(self, number: int, size: int) -> None:
        self._outstanding.discard(number)
        self._unread -= size


def error(code: str, message: str, hint: str | None = None) -> bytes:
    """Return the JSON of a call that was not answered: why, and what to do about it."""
    return msgspec.json.encode({"error": {"code": code, "message": message, "hint": hint}})


def whole(answer: object) -> object:
    """Return ``answer`` with every field of its structs: over the wire those are left out that have their defaults."""
    if isinstance(answer, msgspec.Struct):
        return {name: whole(getattr(answer, name)) for name in answer.__struct_fields__}
    if isinstance(answer, (list, tuple)):
        return [whole(each) for each in answer]
    if isinstance(answer, dict):
        return {key: whole(value) for key, value in answer.items()}
    if isinstance(answer, AsyncIterator):
        raise TypeError("a stream is no answer to a script")
    return answer


def is_long(answer: object) -> bool:
    """Whether an answer has a list in it that takes too long to be written in the event loop."""
    if not isinstance(answer, msgspec.Struct):
        return False
    values = (getattr(answer, name) for name in answer.__struct_fields__)
    return any(isinstance(value, (list, tuple)) and len(value) > LONG for value in values)


def holds_too_much(payload: bytes) -> bool:
    """Whether a JSON text has more lists and objects than a call may hold. What is no JSON has not."""
    if payload.count(b"{") + payload.count(b"[") <= MAX_NESTED:
        return False
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return False
    # Of JSON that is whole every string ends, so that this is done in one go.
    bare = _STRING.sub(b"", payload)
    return bare.count(b"{") + bare.count(b"[") > MAX_NESTED


def _too_large(size: int) -> bytes:
    sentence = f"The answer has {size / (1 << 20):.1f} MiB; a script is given {MAX_REPLY >> 20} MiB at most."
    return error("too_large", sentence, "Ask for less at once.")
