"""Text without a newline is shown after a while, once, whatever the run goes on to do or does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pool_kit import ADMIN, FREE_IMPORTS, Sink, make_job, pool_of, run, until

from engine.models.runs import Outcome, Stream
from engine.pool.job import Profile
from engine.pool.open_line import OpenLine, make_page
from engine.pool.pool import Pool
from engine.worker.wire import LINE_SHOWN_AT, OPEN_LINE, Frame

PROFILES = pytest.mark.parametrize("profile", [FREE_IMPORTS, ADMIN], ids=["restricted", "admin"])


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1, lifted=("threading",)) as started:
        yield started


async def shown(pool: Pool, code: str, profile: Profile, *texts: str) -> tuple[Sink, int]:
    """Start ``code``, which goes on until it is cancelled, and wait until exactly these texts were heard one by one."""
    sink = Sink()
    job = make_job(code + "\nimport time\nwhile True: time.sleep(60)", sink=sink, profile=profile)
    ending = asyncio.ensure_future(pool.submit(job))
    await until(lambda: len(sink.chunks) >= len(texts), f"{texts} are shown")
    assert [text for _, text in sink.chunks] == list(texts)
    pool.cancel(job.run_id)
    assert (await ending).outcome is Outcome.CANCELLED
    assert [text for _, text in sink.chunks] == list(texts), "nothing is shown twice"
    return sink, job.run_id


@PROFILES
async def test_a_prompt_is_shown_though_its_line_has_no_end(pool: Pool, profile: Profile) -> None:
    await shown(pool, "print('starting')\nprint('connecting... ', end='')", profile, "starting\n", "connecting... ")
    sink, _ = await shown(pool, "import sys\nsys.stderr.write('50 %')", profile, "50 %")
    assert sink.chunks[0][0] is Stream.STDERR


GROWING = """
import time
for n in range(40):
    print(".", end="")
    time.sleep(0.02)
print(" done")
print("next", end="")
"""


@PROFILES
async def test_a_line_that_grows_is_shown_bit_by_bit_and_once(pool: Pool, profile: Profile) -> None:
    done = await run(pool, GROWING, profile=profile)
    assert done.sink.stdout == "." * 40 + " done\nnext"
    assert len(done.sink.chunks) > 2, "something of it was shown while it grew"
    assert done.sink.chunks[0][1].strip(".") == ""


async def test_threads_and_streams_keep_their_order(pool: Pool) -> None:
    source = """
import sys, threading, time
print("main begins", end="")
time.sleep(0.3)
threading.Thread(target=lambda: print("a thread's line")).start()
time.sleep(0.1)
print("main goes on", end="")
time.sleep(0.3)
print("an error", file=sys.stderr)
print("end")
"""
    done = await run(pool, source)
    assert done.sink.stdout == "main beginsa thread's line\nmain goes onend\n"
    assert [text for _, text in done.sink.chunks].index("an error\n") > 1
    together = """
import threading
def work(n):
    for i in range(200):
        print(f"{n}:{i}")
        print(f"{n}:{i}:", end="")
        print("x")
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
"""
    done = await run(pool, together + "for t in threads: t.start()\n")
    expected = [line for n in range(4) for i in range(200) for line in (f"{n}:{i}", f"{n}:{i}:x")]
    assert sorted(done.sink.stdout.splitlines()) == sorted(expected)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ("while True: pass", Outcome.TIMEOUT),
        ("import ctypes\nctypes.string_at(0)", Outcome.CRASHED),
        ("import os\nos._exit(3)", Outcome.EXITED),
    ],
)
async def test_last_words_are_heard(pool: Pool, end: str, outcome: Outcome) -> None:
    done = await run(pool, f"print('before')\nprint('last words', end='')\n{end}", wall=0.5)
    assert (done.outcome, done.sink.stdout) == (outcome, "before\nlast words")


async def test_a_run_finds_nothing_of_the_one_before(pool: Pool) -> None:
    """The page is the slot's; what stands there goes with the run."""
    look = "import sys\nresult = any(sys.stdout.buffer._channel.page[:])"
    await run(pool, "print('of the first run', end='')\nimport os\nos._exit(0)")
    assert (await run(pool, look)).value is False
    assert (await run(pool, "print('x', end='')\n" + look)).value is True
    assert (await run(pool, look)).sink.chunks == []


async def test_forks_do_not_speak_for_the_run(pool: Pool) -> None:
    source = """
import os, sys, time
print("parent", end="")
pid = os.fork()
if not pid:
    print("child", end="")
    time.sleep(0.4)
    os._exit(0)
os.waitpid(pid, 0)
print(" ends")
"""
    assert (await run(pool, source, profile=ADMIN)).sink.stdout == "parent ends\n"


async def test_what_a_script_writes_into_the_page_is_its_own_output_and_no_more(pool: Pool) -> None:
    forged = """
import os, sys, time
page = sys.stdout.buffer._channel.page
for n in range(30):
    page[:] = os.urandom(4096)
    page[0] = n % 9
    time.sleep(0.01)
page[:8] = bytes([3, 0, 255, 255, 1, 0, 0, 0])
time.sleep(0.3)
result = 5
"""
    done = await run(pool, forged)
    assert (done.outcome, done.value) == (Outcome.OK, 5)
    assert len(done.sink.stdout) <= 8 * 4096


# -- the page, looked at by hand ---------------------------------------------------------------------------------------


@pytest.fixture
def page() -> Iterator[int]:
    fd = make_page()
    yield fd
    os.close(fd)


def note(page: int, frame: int, number: int, text: bytes) -> None:
    os.pwrite(page, OPEN_LINE.pack(frame, len(text), number) + text, 0)


async def test_only_what_stood_there_before_is_due(page: int) -> None:
    line = OpenLine(page)
    assert line.due() == (0, b"")
    note(page, Frame.OUT, 1, b"a")
    assert line.due() == (0, b"")
    note(page, Frame.OUT, 1, b"ab")
    assert line.due() == (Frame.OUT, b"ab")
    assert line.due() == (Frame.OUT, b"")
    note(page, Frame.OUT, 1, b"abc")
    assert line.due() == (Frame.OUT, b"c")
    note(page, Frame.OUT, 2, b"abcd")  # another line, while the frame with the first one has not been read
    assert line.due() == (0, b"")
    assert line.due() == (0, b"")
    assert line.unseen(Frame.ERR, b"abc\n") == b"abc\n"
    assert line.unseen(Frame.OUT, b"abc\nx\n") == b"\nx\n"
    assert line.unseen(Frame.OUT, b"abc\n") == b"abc\n"
    assert line.due() == (Frame.OUT, b"abcd")
    note(page, 0, 2, b"abcd")
    assert line.due() == (0, b"")


async def test_at_the_end_everything_is_due_that_was_not_shown(page: int) -> None:
    line = OpenLine(page)
    note(page, Frame.ERR, 7, b"last")
    assert line.due(last=True) == (Frame.ERR, b"last")
    assert OpenLine(-1).due(last=True) == (0, b"")
    note(page, Frame.OUT, 1, b"x" * 100)
    os.pwrite(page, OPEN_LINE.pack(Frame.OUT, 65535, 1), 0)
    assert len(OpenLine(page).due(last=True)[1]) == LINE_SHOWN_AT - OPEN_LINE.size
