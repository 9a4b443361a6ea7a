"""Server-sent events, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.client.sse_parser import EventTooLargeError, ServerEvent, SseParser

STREAM = (
    b": hello\n\n"
    b"id: 1\nevent: run\ndata: {\"a\": 1}\n\n"
    b":\n\n"
    b"data: one\r\ndata:two\r\n\r\n"
    b"event: empty\n\n"
    b"id: 7\nretry: 5\nunknown\nevent: \xc3\xbc\ndata: \xe2\x82\xac\n\n"
)  # fmt: skip
EVENTS = [
    ServerEvent("run", b'{"a": 1}', "1"),
    ServerEvent("message", b"one\ntwo", "1"),
    ServerEvent("ü", "€".encode(), "7"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    parser = SseParser()
    at, seen = 0, []
    for cut in [*sorted(cuts), len(STREAM)]:
        seen += parser.feed(STREAM[at:cut])
        at = cut
    assert seen == EVENTS


def test_an_event_without_its_end_is_not_one() -> None:
    assert SseParser().feed(b"data: half") == []


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 50 + b"\n", b"x" * 60])
def test_no_event_grows_without_end(piece: bytes) -> None:
    parser = SseParser(max_event=200)

    def feed_much() -> None:
        for _ in range(10):
            parser.feed(piece)

    with pytest.raises(EventTooLargeError):
        feed_much()
