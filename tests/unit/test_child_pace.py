"""A child that writes faster than it may is read later: nobody else waits for it, and nothing that it wrote is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from engine.models.runs import Stream
from engine.pool import pace
from engine.pool.child import OVER_LIMIT, STRAY_DELAY, Child
from engine.pool.fork_request import parked_child
from engine.pool.job import Limits
from engine.pool.output import Output
from engine.pool.zygote import NewChild
from engine.worker.wire import CALL, HEADER, RESULT, Frame

OUT, ERR = Stream.STDOUT, Stream.STDERR
PATIENCE = 20.0
FEW = 1_000
"""Frames that the loop can act on without anybody noticing: 0.2 ms."""

LIMITS = Limits(output=8 << 20)


def frame(kind: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload), kind) + payload


@dataclass
class Heard:
    """The slot and the sink of the run at once: what a child told."""

    texts: list[tuple[Stream, str]] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    closed: int = 0
    holding: bool = False

    def child_hello(self, child: Child, payload: bytes) -> None: ...

    def child_result(self, child: Child, payload: bytes) -> None:
        child.end_output()
        self.results.append(payload)

    def child_closed(self, child: Child) -> None:
        self.closed += 1

    def child_violation(self, problem: str) -> None:
        self.violations.append(problem)

    def child_output_full(self) -> None: ...

    def queued(self, position: int, reason: str) -> None: ...

    def started(self, slot: int, pid: int, isolation: str) -> None: ...

    def output(self, stream: Stream, text: str) -> None:
        self.texts.append((stream, text))

    def held(self) -> bool:
        return self.holding

    def of(self, stream: Stream) -> str:
        return "".join(text for each, text in self.texts if each is stream)


class Running:
    """A child that has its run, with the test at the other end of its descriptors."""

    def __init__(self) -> None:
        self.heard = Heard()
        ours, self.socket = socket.socketpair()
        out, self.stdout = os.pipe()
        err, self.stderr = os.pipe()
        new = NewChild(
            pid=os.getpid(),
            inner_pid=2,
            tree=os.getpid(),
            run_socket=ours.detach(),
            pidfd=os.pidfd_open(os.getpid()),
            stdout=out,
            stderr=err,
            scratch_device=0,
        )
        self.child = Child(new, parked_child(LIMITS, warm=False), LIMITS.result, bytearray(64 << 10), self.heard)
        self.child.run(b"run", [], LIMITS, Output(self.heard, LIMITS.output))
        self.socket.recv(100)
        self.socket.setblocking(False)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def until(self, size: int) -> None:
        """Wait until that much output was heard."""
        async with asyncio.timeout(PATIENCE):
            while sum(len(text) for _, text in self.heard.texts) < size:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.child.close()
        self.socket.close()
        os.close(self.stdout)
        os.close(self.stderr)


@pytest.fixture
async def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.close()


def test_a_bucket_is_emptied_and_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    bucket = pace.Pace()
    bucket.spend(pace.BURST - 1)
    assert bucket.pause() == 0.0
    bucket.spend(1)
    assert bucket.pause() == pace.PAUSE
    bucket.spend(pace.PER_SECOND)
    assert bucket.pause() == pytest.approx(1.0)
    now += 1.0 + pace.PAUSE
    assert bucket.pause() == 0.0
    now += 3600.0
    bucket.spend(pace.PER_SECOND)
    bucket.pause()
    bucket.spend(pace.BURST - 1)
    assert bucket.pause() == 0.0  # no more was saved up than a burst
    bucket.spend(1)
    assert bucket.pause() > 0.0


def test_who_goes_on_flooding_is_read_less_often_until_it_has_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    bucket = pace.Pace()

    def spend_all() -> float:
        nonlocal now
        bucket.spend(bucket._tokens)
        wait = bucket.pause()
        now += wait
        assert bucket.pause() == 0.0
        return wait

    assert {spend_all() for _ in range(pace.PAUSES)} == {pace.PAUSE}
    assert {spend_all() for _ in range(5)} == {pace.LONG_PAUSE}
    now += 2 * pace.BURST / pace.PER_SECOND
    bucket.spend(pace.BURST)
    assert bucket.pause() == 0.0
    assert spend_all() == pace.PAUSE


def test_a_script_that_prints_and_logs_in_turns_has_time_for_it() -> None:
    lines = 40_000
    assert lines * (pace.SWITCH + pace.FRAME) / pace.PER_SECOND < 15, "half of the usual limit of a run"


async def test_a_turn_of_the_loop_has_few_frames_of_a_run(running: Running) -> None:
    count = 20_000
    sending = asyncio.create_task(running.send(frame(Frame.OUT, b"x") * count))
    await running.until(count)
    await sending
    assert running.heard.of(OUT) == "x" * count
    assert max(len(text) for _, text in running.heard.texts) <= FEW


async def test_others_have_their_turn_between_the_frames_of_one_read(running: Running) -> None:
    count = 5_000
    await running.send(frame(Frame.OUT, b"x") * count)
    turns = 0
    async with asyncio.timeout(PATIENCE):
        while len(running.heard.of(OUT)) < count:
            await asyncio.sleep(0)
            turns += 1
    assert turns >= count // FEW


async def test_a_flood_is_read_at_its_pace_and_arrives_whole(running: Running) -> None:
    loop = asyncio.get_running_loop()
    count = pace.BURST + pace.PER_SECOND
    start = loop.time()
    sending = asyncio.create_task(running.send(frame(Frame.OUT, b"x") * count + frame(Frame.RESULT, RESULT.pack(0))))
    await running.until(count)
    # The last pause may have been shorter than a full one by what a turn overdraws.
    assert loop.time() - start >= 0.9
    async with asyncio.timeout(PATIENCE):
        while not running.heard.results:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await sending
    assert running.heard.of(OUT) == "x" * count
    assert running.heard.violations == []


async def test_bytes_over_the_limit_are_read_at_a_pace_too(running: Running) -> None:
    """No limit ends them any more, and a frame may have a MiB of them."""
    start, over = time.monotonic(), OVER_LIMIT * (pace.BURST + pace.PER_SECOND // 2)
    size = 64 << 10
    count = (LIMITS.output + over) // size
    sending = asyncio.create_task(running.send(frame(Frame.OUT, b"x" * size) * count))
    await running.until(count * size)
    await sending
    assert time.monotonic() - start >= 0.4


async def test_calls_are_read_at_a_pace_by_what_they_hold(running: Running) -> None:
    assert pace.of_call(b'{"op":"runs.get","params":{}}') == 0
    assert pace.of_call(b"x" * (pace.FREE_OF_CALL + 10 * pace.CALL_BYTES)) == 10
    assert pace.of_call(b"[" * pace.FREE_OF_CALL) == (pace.FREE_OF_CALL - pace.FREE_NESTED) * pace.NESTED
    before = running.child._pace._tokens
    await running.send(frame(Frame.CALL, CALL.pack(1) + b"[" * 500_000 + b"]" * 500_000))
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(running.socket, 1000), PATIENCE)
    assert before - running.child._pace._tokens >= (pace.MAX_NESTED - pace.FREE_NESTED) * pace.NESTED
    assert running.heard.violations == []


async def test_small_writes_to_a_descriptor_are_read_at_the_same_pace(running: Running) -> None:
    start, count = time.monotonic(), 3_000
    running.child._pace = pace.Pace()
    running.child._pace.spend(pace.BURST)
    await asyncio.sleep(2 * STRAY_DELAY)
    for _ in range(count):
        os.write(running.stdout, b"x")
        await asyncio.sleep(0)
    await running.until(count)
    reads, elapsed = len(running.heard.texts), time.monotonic() - start
    assert running.heard.of(OUT) == "x" * count
    assert reads <= 1 + pace.PER_SECOND * elapsed / pace.SMALL_READ


async def test_streams_that_take_turns_keep_their_order_at_their_pace(running: Running) -> None:
    loop, count = asyncio.get_running_loop(), 2 * pace.BURST // pace.SWITCH
    wanted = [(ERR if number % 2 else OUT, f"{number};") for number in range(count)]
    start = loop.time()
    data = b"".join(frame(Frame.ERR if stream is ERR else Frame.OUT, text.encode()) for stream, text in wanted)
    sending = asyncio.create_task(running.send(data))
    await running.until(sum(len(text) for _, text in wanted))
    await sending
    assert running.heard.texts == wanted
    assert loop.time() - start >= 0.9 * (count - pace.FRAMES_PER_TURN) * pace.SWITCH / pace.PER_SECOND - (
        pace.BURST / pace.PER_SECOND
    )


async def test_a_run_of_ordinary_size_never_waits(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    asked = pace.Pace.pause

    def noted(bucket: pace.Pace) -> float:
        pauses.append(asked(bucket))
        return pauses[-1]

    monkeypatch.setattr(pace.Pace, "pause", noted)
    for number in range(1, 501):
        await running.send(frame(Frame.OUT, b"line\n"))
        await running.until(5 * number)
    await running.send(frame(Frame.RESULT, RESULT.pack(0)))
    async with asyncio.timeout(PATIENCE):
        while not running.heard.results:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert len(pauses) >= 500
    assert max(pauses) == 0.0


async def test_a_run_whose_follower_has_enough_to_read_is_read_later(running: Running) -> None:
    await running.send(frame(Frame.OUT, b"first "))
    await running.until(len("first "))
    running.heard.holding = True
    await running.send(frame(Frame.OUT, b"x"))
    await running.until(len("first x"))
    size, sent = 1 << 20, 0
    with contextlib.suppress(BlockingIOError):
        while sent < size:
            sent += running.socket.send(frame(Frame.OUT, b"y" * 1000))
            await asyncio.sleep(2 * pace.HELD)
    assert 0 < sent < size, "it waits in its own write"
    assert running.heard.of(OUT) == "first x"
    running.heard.holding = False
    await running.until(len("first x") + sent // 1005 * 1000)


async def test_output_to_a_descriptor_is_read_later_too(running: Running) -> None:
    await asyncio.sleep(2 * STRAY_DELAY)
    running.heard.holding = True
    os.write(running.stdout, b"x")
    await running.until(1)
    os.write(running.stdout, b"y")
    await asyncio.sleep(10 * pace.HELD)
    assert running.heard.of(OUT) == "x"
    running.heard.holding = False
    await running.until(2)


async def test_what_waits_in_the_socket_of_a_run_that_is_ended_still_counts(running: Running) -> None:
    running.child._pace.spend(pace.BURST + 10 * pace.PER_SECOND)
    await running.send(frame(Frame.OUT, b"first "))
    await running.until(len("first "))
    await running.send(frame(Frame.OUT, b"l") + frame(Frame.ERR, b"a") + frame(Frame.OUT, b"st"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert running.heard.of(OUT) == "first "  # it is out of tokens for seconds
    running.child.stop_reading()
    assert running.heard.texts[-3:] == [(OUT, "l"), (ERR, "a"), (OUT, "st")]


async def test_the_last_look_into_a_socket_is_short_and_believes_nothing_but_output(running: Running) -> None:
    running.child._pace.spend(pace.BURST + 10 * pace.PER_SECOND)
    await running.send(frame(Frame.OUT, b"x"))
    await running.until(1)
    await running.send(frame(Frame.OUT, b"y") * 100 + frame(Frame.RESULT, RESULT.pack(0)) + frame(Frame.OUT, b"z"))
    running.child.stop_reading()
    assert running.heard.of(OUT) == "x" + "y" * 100
    assert running.heard.results == []

    flooding = Running()
    try:
        await flooding.send(frame(Frame.OUT, b"x") * 20_000)
        flooding.child.stop_reading()
        assert len(flooding.heard.of(OUT)) <= 1024
    finally:
        flooding.close()


@pytest.mark.parametrize("size", [1_000, 8_000, 32_000, 60_000])
async def test_all_that_a_socket_holds_is_taken_of_a_run_that_is_ended(running: Running, size: int) -> None:
    running.child._pace.spend(pace.BURST + 10 * pace.PER_SECOND)
    await running.send(frame(Frame.OUT, b"x"))
    await running.until(1)
    running.socket.setblocking(False)
    sent = 0
    whole = frame(Frame.OUT, b"y" * size)
    with contextlib.suppress(BlockingIOError):
        while running.socket.send(whole) == len(whole):
            sent += size
    running.child.stop_reading()
    assert sent >= 64_000
    assert running.heard.of(OUT) == "x" + "y" * sent


async def test_the_end_of_a_run_does_not_wait_for_who_goes_on_writing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, size = os.readv, 1000

    def read_from_a_busy_writer(fd: int, buffers: list[memoryview]) -> int:
        """Threads and children of a script can fill a pipe again in the moment in which it was read."""
        got = read(fd, buffers)
        if len(running.heard.of(OUT)) < 100 * size:
            os.write(running.stdout, b"x" * size)
        return got

    os.write(running.stdout, b"x" * size)
    monkeypatch.setattr(os, "readv", read_from_a_busy_writer)
    running.child.end_output()
    assert running.heard.of(OUT) == "x" * size
