"""Small parts of the pool on their own: the deadline timer, output on its way, admission."""

from __future__ import annotations

import asyncio

import pytest

from engine.models.runs import Stream
from engine.pool.frames import cpu_seconds
from engine.pool.output import Output
from engine.pool.timer import DeadlineTimer
from store.sizes import describe_size


class Heard:
    def __init__(self) -> None:
        self.chunks: list[tuple[Stream, str]] = []

    def queued(self, position: int, reason: str) -> None: ...

    def started(self, slot: int, pid: int, isolation: str) -> None: ...

    def output(self, stream: Stream, text: str) -> None:
        self.chunks.append((stream, text))

    def held(self) -> bool:
        return False


async def test_a_deadline_is_met_once_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    done = asyncio.Event()

    def passed() -> None:
        fired.append(loop.time())
        done.set()

    timer = DeadlineTimer(passed)
    timer.set(0.01)
    timer.set(0.05)
    due = loop.time() + 0.05
    await asyncio.wait_for(done.wait(), 5)
    assert len(fired) == 1
    assert fired[0] >= due - 0.001


async def test_a_sooner_deadline_replaces_a_later_one() -> None:
    done = asyncio.Event()
    timer = DeadlineTimer(done.set)
    timer.set(60)
    timer.set(0.01)
    await asyncio.wait_for(done.wait(), 5)


async def test_a_cleared_deadline_stays_silent() -> None:
    done = asyncio.Event()
    silent = DeadlineTimer(lambda: pytest.fail("it was cleared"))
    silent.set(0.01)
    silent.clear()
    timer = DeadlineTimer(done.set)
    timer.set(0.03)
    await asyncio.wait_for(done.wait(), 5)
    silent.set(0.01)
    silent.close()
    done.clear()
    timer.set(0.03)
    await asyncio.wait_for(done.wait(), 5)


def test_characters_may_be_cut_anywhere() -> None:
    sink = Heard()
    output = Output(sink, 1000)
    for byte in "aä€😀".encode():
        output.take("frames", Stream.STDOUT, bytes([byte]))
    output.take("frames", Stream.STDERR, b"\xf0\x9f")
    output.take("raw", Stream.STDOUT, b"\x98")
    output.finish()
    assert "".join(text for stream, text in sink.chunks if stream is Stream.STDOUT) == "aä€😀\ufffd"
    assert sink.chunks[-1] in [(Stream.STDERR, "\ufffd"), (Stream.STDOUT, "\ufffd")]


def test_the_limit_counts_both_streams_and_says_so_once() -> None:
    sink = Heard()
    output = Output(sink, 10, stops=True)
    output.take(1, Stream.STDOUT, b"12345\n")
    output.take(2, Stream.STDERR, b"6789")
    assert not output.full, "exactly the limit is not over it"
    output.take(1, Stream.STDOUT, b"x")
    assert output.full
    output.take(1, Stream.STDOUT, b"y")
    assert sink.chunks == [
        (Stream.STDOUT, "12345\n"),
        (Stream.STDERR, "6789"),
        (Stream.STDOUT, "\n[output limit of 10 bytes reached; the script was stopped]\n"),
    ]


def test_a_line_that_is_written_again_counts_once() -> None:
    sink = Heard()
    output = Output(sink, 100, stops=True)
    for number in range(1_000):
        output.take(1, Stream.STDOUT, f"\r{number:3}".encode())
        output.take(2, Stream.STDERR, f"{number:3}\r".encode())
    assert not output.full
    assert sink.chunks[-2:] == [(Stream.STDOUT, "\r999"), (Stream.STDERR, "999\r")], "and is shown as it comes"
    output.take(1, Stream.STDOUT, b"\n" + b"x" * 100)
    assert output.full


@pytest.mark.parametrize(
    ("size", "text"),
    [(1 << 20, "1 MiB"), (1536 << 10, "1.5 MiB"), (64 << 10, "64 KiB"), (999, "999 bytes"), (3 << 30, "3 GiB")],
)
def test_sizes_read_well(size: int, text: str) -> None:
    assert describe_size(size) == text


def test_processor_time_is_a_second_more_than_the_wall() -> None:
    assert [cpu_seconds(wall) for wall in (0.1, 1, 29.5, 30.0)] == [2, 2, 31, 31]
