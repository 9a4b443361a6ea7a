"""The frame parser: any bytes in any pieces give the same frames or a refusal, and nothing large is ever held."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.runs import RunKind, Stream
from engine.pool.frames import FrameParser, ProtocolError, run_frame
from engine.pool.job import FileInput, Job, JobRejected
from engine.worker.program import RunFrame
from engine.worker.wire import HEADER, MAX_OUTPUT_FRAME, RESULT_HEAD_ROOM, Frame, SourceKind

LIMIT = 1000
CHILD_FRAMES = (Frame.HELLO, Frame.OUT, Frame.ERR, Frame.RESULT)

frames = st.lists(st.tuples(st.sampled_from(CHILD_FRAMES), st.binary(min_size=1, max_size=300)), max_size=8)


def encode(pairs: list[tuple[int, bytes]]) -> bytes:
    return b"".join(HEADER.pack(len(payload), kind) + payload for kind, payload in pairs)


def joined(pairs: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the frames with what follows on the same stream of output as one."""
    whole: list[tuple[int, bytes]] = []
    for kind, payload in pairs:
        if whole and whole[-1][0] == kind and kind in (Frame.OUT, Frame.ERR):
            payload = whole.pop()[1] + payload
        whole.append((kind, payload))
    return whole


@given(frames, st.lists(st.integers(0, 3000)))
def test_pieces_do_not_matter(pairs: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = encode(pairs)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parser = FrameParser(LIMIT)
    got = [frame for start, stop in pairwise(places) for frame in parser.feed(data[start:stop])]
    assert joined(got) == joined(pairs)


@given(frames, st.integers(1, 5))
def test_a_bound_on_the_frames_does_not_matter(pairs: list[tuple[int, bytes]], most: int) -> None:
    parser = FrameParser(LIMIT)
    got, counts = parser.feed(encode(pairs), most), [parser.taken]
    while parser.more:
        got += parser.feed(most=most)
        counts.append(parser.taken)
    assert joined(got) == joined(pairs)
    assert sum(counts) == len(pairs)
    assert max(counts) <= most


@pytest.mark.parametrize("kind", CHILD_FRAMES)
def test_an_empty_frame_is_refused(kind: int) -> None:
    """No honest one is empty, and a flood of them would keep the engine busy below every limit of output."""
    with pytest.raises(ProtocolError, match="an empty"):
        FrameParser(LIMIT).feed(HEADER.pack(0, kind))


@given(st.lists(st.binary(max_size=2000), max_size=10))
def test_any_bytes_give_frames_or_a_refusal(pieces: list[bytes]) -> None:
    parser = FrameParser(LIMIT)
    with contextlib.suppress(ProtocolError):
        for piece in pieces:
            for kind, payload in parser.feed(piece):
                assert kind in CHILD_FRAMES
                assert len(payload) <= MAX_OUTPUT_FRAME + RESULT_HEAD_ROOM


@pytest.mark.parametrize(
    ("kind", "cap"),
    [(Frame.OUT, MAX_OUTPUT_FRAME), (Frame.ERR, MAX_OUTPUT_FRAME), (Frame.RESULT, LIMIT + RESULT_HEAD_ROOM)],
)
def test_an_overlong_frame_is_refused_by_its_header_alone(kind: int, cap: int) -> None:
    assert FrameParser(LIMIT).feed(HEADER.pack(cap, kind)) == []
    with pytest.raises(ProtocolError, match="over the limit"):
        FrameParser(LIMIT).feed(HEADER.pack(cap + 1, kind))
    with pytest.raises(ProtocolError, match="over the limit"):
        FrameParser(LIMIT).feed(HEADER.pack(0xFFFF_FFFF, kind) + b"x")


@pytest.mark.parametrize("kind", [0, Frame.RUN, Frame.CALL, Frame.REPLY, Frame.CHUNK, 77, 255])
def test_a_type_no_child_may_send_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"type {kind}"):
        FrameParser(LIMIT).feed(HEADER.pack(0, kind))


def test_what_is_complete_is_not_kept() -> None:
    parser = FrameParser(LIMIT)
    for _ in range(2000):
        parser.feed(encode([(Frame.OUT, b"x" * MAX_OUTPUT_FRAME)]))
    assert sum(map(len, parser._parts)) < 1000


def test_the_pieces_of_a_large_frame_are_joined_once() -> None:
    """Joined with every read, a result of 16 MiB would be 2 GiB to copy."""
    parser = FrameParser(1 << 20)
    pieces = [b"x" * (64 << 10)] * 15
    assert parser.feed(HEADER.pack(sum(map(len, pieces)) + 1, Frame.RESULT)) == []
    for number, piece in enumerate(pieces, 2):
        assert parser.feed(piece) == []
        assert len(parser._parts) == number
    assert [len(payload) for _, payload in parser.feed(b"x")] == [15 * (64 << 10) + 1]


def test_the_result_limit_of_a_run_replaces_the_default() -> None:
    parser = FrameParser(LIMIT)
    parser.expect_run(10 * LIMIT)
    assert parser.feed(HEADER.pack(10 * LIMIT + RESULT_HEAD_ROOM, Frame.RESULT)) == []


class Nobody:
    def queued(self, position: int, reason: str) -> None: ...

    def started(self, slot: int, pid: int, isolation: str) -> None: ...

    def output(self, stream: Stream, text: str) -> None: ...

    def held(self) -> bool:
        return False


def job(**options: object) -> Job:
    base = {"run_id": 1, "kind": RunKind.EXEC, "name": "n", "actor": "a", "source": b"result = 1", "filename": "<exec>"}
    return Job(**(base | {"sink": Nobody()} | options))


def read(frame: bytes) -> RunFrame:
    size, kind = HEADER.unpack_from(frame)
    assert kind == Frame.RUN
    assert len(frame) == HEADER.size + size
    return RunFrame(frame[HEADER.size :])


def test_a_plain_exec_has_no_json_at_all() -> None:
    request = read(run_frame(job(), 0))
    assert (request.kind, request.cpu, request.filename, request.head) == (SourceKind.EXEC, 0, "<exec>", {})
    assert request.source == b"result = 1"
    assert request.result_limit == 1 << 20


def test_every_input_reaches_the_child() -> None:
    request = read(
        run_frame(
            job(
                kind=RunKind.CALL, module="json", function="dumps", args=[1], kwargs={"indent": 2}, params={"a": "ä"},
                variables={"x": [None]}, files={"log": FileInput("my.log", 9, 77)}, filename="ordner/täst.py",
            ),
            31,
        )
    )  # fmt: skip
    assert (request.kind, request.cpu, request.filename) == (SourceKind.CALL, 31, "ordner/täst.py")
    assert request.head == {
        "module": "json", "function": "dumps", "args": [1], "kwargs": {"indent": 2}, "params": {"a": "ä"},
        "variables": {"x": [None]}, "files": [["log", "my.log", 77]],
    }  # fmt: skip


def test_a_scripts_entrypoint_goes_along() -> None:
    assert read(run_frame(job(kind=RunKind.SCRIPT, entrypoint="main"), 0)).head == {"entrypoint": "main"}


def test_inputs_that_are_no_json_are_refused() -> None:
    with pytest.raises(JobRejected, match="JSON"):
        run_frame(job(params={"x": object()}), 0)
