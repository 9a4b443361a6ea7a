"""The calls of one run on the engine's side, without a child: what is sent, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from engine.pool.calls import OutstandingCalls
from engine.pool.job import Reply
from engine.worker.wire import CALL, HEADER, MAX_REPLY, MAX_REPLY_DESCRIPTORS, REPLY


class Wire:
    """What answers and what sends: both are the test's."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.sent: list[tuple[int, int, bytes]] = []
        """Number, descriptors and JSON of each REPLY."""
        self.unread: list[Callable[[], None]] = []
        self.ends = 0
        self.calls = OutstandingCalls(self, self.send)

    def call(self, payload: bytes, reply: Reply) -> None:
        self.replies.append(reply)

    def end(self) -> None:
        self.ends += 1

    def send(self, frame: bytes, fds: Sequence[int], sent: Callable[[], None]) -> None:
        number, count = REPLY.unpack_from(frame, HEADER.size)
        assert count == len(fds)
        self.sent.append((number, count, frame[HEADER.size + REPLY.size :]))
        self.unread.append(sent)

    def take(self, number: int) -> Reply:
        self.calls.take(CALL.pack(number) + b"{}")
        return self.replies[-1]

    def code(self) -> str:
        code: str = json.loads(self.sent[-1][2])["error"]["code"]
        return code


def test_the_first_answer_counts() -> None:
    wire = Wire()
    reply = wire.take(1)
    reply(b"one", ())
    reply(b"two", ())
    assert wire.sent == [(1, 0, b"one")]


def test_a_number_is_free_when_its_answer_has_left() -> None:
    wire = Wire()
    wire.take(1)(b"one", (4, 5))
    wire.unread.pop()()
    wire.take(1)(b"two", ())
    assert wire.sent == [(1, 2, b"one"), (1, 0, b"two")]


def test_answers_that_are_not_read_are_bounded() -> None:
    wire = Wire()
    for number in range(3):
        wire.take(number)(b"x" * (MAX_REPLY - 100), ())
    assert [len(answer) > 1000 for _, _, answer in wire.sent] == [True, True, False]
    assert wire.code() == "too_large"
    for sent in wire.unread:
        sent()
    wire.take(9)(b"x" * (MAX_REPLY - 100), ())
    assert len(wire.sent[-1][2]) > 1000


def test_an_answer_has_a_bounded_number_of_descriptors() -> None:
    wire = Wire()
    wire.take(1)(b"one", range(MAX_REPLY_DESCRIPTORS + 1))
    assert (wire.sent[-1][1], wire.code()) == (0, "too_large")


def test_after_the_end_nothing_is_sent() -> None:
    wire = Wire()
    reply = wire.take(1)
    wire.calls.end()
    wire.calls.end()
    reply(b"late", ())
    assert (wire.sent, wire.ends) == ([], 1)
