"""A script's end is the interpreter's end: what the same text prints under plain Python is heard of a run, too."""

from __future__ import annotations

import asyncio
import re
import subprocess
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pool_kit import ADMIN, FREE_IMPORTS, Done, expect_innocent, interpreter, make_job, pool_of, run, until

from engine.models.runs import Outcome
from engine.pool.job import Limits, Profile
from engine.pool.pool import Pool

LIFTED = ("threading", "concurrent", "asyncio")
PROFILES = pytest.mark.parametrize("profile", [FREE_IMPORTS, ADMIN], ids=["restricted", "admin"])


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1, lifted=LIFTED) as started:
        yield started


def code(text: str) -> str:
    return textwrap.dedent(text).strip("\n") + "\n"


AS_PYTHON_DOES = {
    "threads": """
        import threading, time
        def work(n):
            time.sleep(0.2 + 0.2 * n)
            print("worker", n, "finished")
        for n in range(3):
            threading.Thread(target=work, args=(n,)).start()
        print("main ends")
    """,
    "an executor that nobody joined": """
        import concurrent.futures, time
        def work(n):
            time.sleep(0.05)
            print("job", n)
        pool = concurrent.futures.ThreadPoolExecutor(1)
        for n in range(3):
            pool.submit(work, n)
    """,
    "a timer": """
        import threading
        threading.Timer(0.1, print, ("late",)).start()
    """,
    "the order of everything": """
        import atexit, sys, threading, time
        class Stream:
            def write(self, text): sys.__stdout__.write(text); return len(text)
            def flush(self): sys.__stdout__.write("flushed\\n")
        def work():
            time.sleep(0.05)
            print("thread")
            atexit.register(print, "registered by the thread")
        threading._register_atexit(print, "before the threads are waited for")
        atexit.register(print, "at exit")
        threading.Thread(target=work).start()
        print("main")
        sys.stdout = Stream()
    """,
    "an exit status": """
        import atexit, sys, threading, time
        atexit.register(print, "closing connection")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        sys.exit(3)
    """,
    "an exit without one": """
        import sys, threading, time
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        sys.exit()
    """,
    "a failure": """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        1 / 0
    """,
    "a failure in an exit callback": """
        import atexit
        atexit.register(print, "first registered, last called")
        atexit.register(lambda: 1 / 0)
        print("main")
    """,
    "a failure in a thread": """
        import threading
        def work(): raise ValueError("no answer")
        threading.Thread(target=work).start()
    """,
    "daemons are not waited for": """
        import threading, time
        def work():
            print("started")
            time.sleep(60)
            print("never")
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)
    """,
    "a wrapper of the buffer": """
        import io, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        sys.stderr = io.TextIOWrapper(sys.stderr.buffer, encoding="utf-8")
        print("last words without flush")
        print("and these", file=sys.stderr)
    """,
    "detached": """
        import codecs, sys
        sys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())
        sys.stderr = codecs.getwriter("latin-1")(sys.stderr.detach())
        print("Größe")
        sys.stderr.write("Groesse")
    """,
    "detached to the raw stream": """
        import io, sys
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer.raw), encoding="latin-1")
        print("plain")
    """,
    "opened again": """
        import os, sys
        sys.stdout = open(1, "w")
        sys.stderr = os.fdopen(2, "w", 8192)
        print("last words")
        print("errors", file=sys.stderr)
    """,
    "two wrappers of one buffer": """
        import io, sys
        one = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        two = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        one.write("one\\n")
        one.flush()
        two.write("two\\n")
        two.flush()
        sys.stdout = one
        print("three")
    """,
    "reconfigured": """
        import sys
        sys.stdout.reconfigure(encoding="latin-1", errors="replace", newline="\\r\\n", write_through=False)
        sys.stdout.write("a \\u20ac\\n")
        print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.isatty(), sys.stdout.newlines, sys.stdout.fileno())
    """,
    "redirected and left so": """
        import contextlib, sys
        context = contextlib.redirect_stdout(sys.stderr)
        context.__enter__()
        print("to the errors")
    """,
    "a handler with a memory": """
        import logging, logging.handlers, sys
        target = logging.StreamHandler(sys.stdout)
        logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=target))
        logging.warning("remembered")
    """,
    "logging": """
        import logging
        logging.getLogger("x").warning("plain warning %d", 5)
    """,
    "no streams": """
        import sys
        print("x")
        sys.stderr = None
        del sys.stdout
    """,
    "a loop that was left open": """
        import asyncio
        async def main():
            print("ran")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
    """,
}


def normal(stderr: str) -> list[str]:
    """The lines without addresses, and without carets, which before Python 3.13 only files have."""
    lines = re.sub("0x[0-9a-f]+", "0x", stderr).splitlines()
    return [line for line in lines if line.strip("~^ ") and "lambda" not in line]


async def test_as_python_does(pool: Pool, tmp_path: Path) -> None:
    def plain(file: Path) -> subprocess.CompletedProcess[bytes]:
        command = [interpreter(), "-I", "-X", "utf8", file]
        return subprocess.run(command, capture_output=True, check=False, timeout=60)

    files = {name: tmp_path / f"script{number}.py" for number, name in enumerate(AS_PYTHON_DOES)}
    for name, file in files.items():
        file.write_text(code(AS_PYTHON_DOES[name]))
    plainly = {name: asyncio.create_task(asyncio.to_thread(plain, file)) for name, file in files.items()}
    for number, (name, text) in enumerate(AS_PYTHON_DOES.items()):
        profile = FREE_IMPORTS if number < len(AS_PYTHON_DOES) / 2 else ADMIN
        done = await run(pool, code(text), profile=profile, filename=str(files[name]))
        expected = await plainly[name]
        assert done.sink.stdout == expected.stdout.decode("utf-8", "replace"), name
        heard = done.sink.stderr + (done.ending.traceback or "")
        assert normal(heard) == normal(expected.stderr.decode("utf-8", "replace")), name
        assert (done.outcome is Outcome.OK) is (expected.returncode == 0), name


async def test_threads_that_threads_start_are_waited_for(pool: Pool) -> None:
    """Python 3.12.0 and 3.12.1 refuse to start them once the main part has ended."""
    source = code(
        """
        import threading, time
        def work(n):
            time.sleep(0.02)
            print(n, end=" ", flush=True)
            if n:
                threading.Thread(target=work, args=(n - 1,)).start()
        work(4)
        """
    )
    assert (await run(pool, source)).sink.stdout == "4 3 2 1 0 "


@PROFILES
async def test_what_threads_still_write_is_in_the_result(pool: Pool, profile: Profile) -> None:
    """It is taken when they have ended, and before exit callbacks close what it may need."""
    source = code(
        """
        import atexit, threading, time
        result = []
        def work():
            time.sleep(0.05)
            result.append("thread")
        threading.Thread(target=work).start()
        atexit.register(result.append, "callback")
        """
    )
    assert (await run(pool, source, profile=profile)).value == ["thread"]
    returned = source + "def main(): return result\n"
    assert (await run(pool, returned, profile=profile, entrypoint="main")).value == ["thread"]
    left = source + "import sys\nsys.exit(0)\n"
    assert (await run(pool, left, profile=profile)).value == ["thread"]


async def test_what_a_destructor_prints_to_a_wrapper_is_heard(pool: Pool) -> None:
    source = code(
        """
        import io, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        class Left:
            def __del__(self): print("collected")
        left = Left()
        left.itself = left
        """
    )
    assert (await run(pool, source)).sink.stdout == "collected\n"


async def test_a_collected_wrapper_closes_nothing(pool: Pool) -> None:
    source = code(
        """
        import io, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        print("one")
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        print("two")
        sys.stdout = sys.__stdout__
        print("three")
        """
    )
    done = await run(pool, source)
    assert (done.outcome, done.sink.stdout) == (Outcome.OK, "one\ntwo\nthree\n")


WAITING = """
import threading, time
threading.Thread(target=time.sleep, args=(1000,), name="poller").start()
print("main ends", end="")
"""


@PROFILES
async def test_a_timeout_says_what_was_waited_for_and_keeps_the_result(pool: Pool, profile: Profile) -> None:
    done = await run(pool, WAITING + "result = {'pumps': 3}\n", profile=profile, wall=0.5)
    assert (done.outcome, done.value, done.sink.stdout) == (Outcome.TIMEOUT, {"pumps": 3}, "main ends")
    assert done.ending.error is not None
    assert "'poller'" in done.ending.error.message
    done = await run(pool, WAITING + "1/0\n", profile=profile, wall=0.5)
    assert done.outcome is Outcome.TIMEOUT
    assert done.ending.error is not None
    assert "'poller'" in done.ending.error.message
    assert "ZeroDivisionError: division by zero" in (done.ending.note or "")
    assert "    1/0\n" in (done.ending.traceback or "")
    await expect_innocent(pool, profile)


NOT_TOLD = (
    "result = []\nfor _ in range(250): result = [result]",
    "result = [float('nan')]",
    "result = {threading}",
    "result = 'x' * (2 << 20)",
    "result = '\\ud800'",
    """class Odd(threading.Thread):
    name = property(lambda self: 1 / 0, lambda self, name: None)
Odd(target=time.sleep, args=(0.2,)).start()""",
)


async def test_what_cannot_be_told_while_waiting_is_no_trouble(pool: Pool) -> None:
    for left in NOT_TOLD:
        source = "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('heard'))).start()\n"
        done = await run(pool, source + left)
        assert done.outcome in (Outcome.OK, Outcome.SCRIPT_ERROR), left
        assert done.sink.stdout == "heard\n", left
        assert done.ending.error is None or done.ending.error.type == "ResultTooLarge", left


async def test_a_stop_stops_what_waits(pool: Pool) -> None:
    job = make_job(WAITING + "result = 5\n", limits=Limits(wall=600.0))
    ending = asyncio.ensure_future(pool.submit(job))
    await until(lambda: "main ends" in job.sink.stdout, "the main part has ended")  # type: ignore[attr-defined]
    pool.cancel(job.run_id)
    ended = await ending
    assert (ended.outcome, ended.value) == (Outcome.CANCELLED, 5)
    assert "'poller'" in (ended.note or "")


async def test_what_is_cut_off_is_named(pool: Pool) -> None:
    source = code(
        """
        import threading, time
        def chatter():
            while True:
                print("still here", flush=True)
                time.sleep(0.001)
        for n in range(7):
            threading.Thread(target=chatter, daemon=True, name=f"chatter-{n}").start()
        result = 1
        """
    )
    done = await run(pool, source)
    assert (done.outcome, done.value) == (Outcome.OK, 1)
    for part in ("7 threads", "'chatter-0'", "2 more", "cut off"):
        assert part in (done.ending.note or "")
    one = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True, name='one').start()"
    assert "1 thread ('one') still ran" in ((await run(pool, one)).ending.note or "")
    assert (await run(pool, one.replace("60", "0") + "\ntime.sleep(0.2)")).ending.note is None


async def test_a_flush_that_fails_is_told_and_costs_no_result(pool: Pool) -> None:
    source = code(
        """
        import sys
        class Full:
            def write(self, text): return len(text)
            def flush(self): raise OSError(28, "no space")
        sys.stdout = Full()
        print("x")
        result = 7
        """
    )
    done = await run(pool, source)
    assert (done.outcome, done.value) == (Outcome.OK, 7)
    assert done.sink.stderr.startswith("Exception ignored in: sys.stdout\nTraceback")
    assert "in flush" in done.sink.stderr
    assert "worker" not in done.sink.stderr
    assert "sys.stdout may be lost: OSError" in (done.ending.note or "")


KEEPS = {
    "a global": "file = open(NAME, 'w')\nfile.write('all of it')",
    "an object of the interpreter's": "import sys\nsys.log = open(NAME, 'w')\nsys.log.write('all of it')",
    "a module": "import json\njson.log = open(NAME, 'w')\njson.log.write('all of it')",
    "an exit callback": "import atexit\nfile = open(NAME, 'w')\natexit.register(file.write, 'all of it')",
    "a thread": (
        "import threading, time\nfile = open(NAME, 'w')\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), file.write('all of it'))).start()"
    ),
    "sys.stdout": "import sys\nsys.stdout = open(NAME, 'w')\nprint('all of it', end='')",
    "layers in a module": "import gzip, json\njson.log = gzip.open(NAME, 'wt')\njson.log.write('all of it')",
    "an archive in a module": (
        "import json, zipfile\njson.log = zipfile.ZipFile(NAME, 'w')\njson.log.writestr('a', 'all of it')"
    ),
}


async def test_what_is_left_open_is_written_before_files_are_returned(pool: Pool) -> None:
    for name, text in KEEPS.items():
        done = await run(pool, f"NAME = 'out'\nresult = {{'files': ['out']}}\n{text}\n")
        (file,) = done.ending.files
        data = bytes(file.data)
        if "zip" in text:
            assert data.startswith((b"\x1f\x8b", b"PK")), name
            assert len(data) > 30, name
        else:
            assert data == b"all of it", name
        assert done.ending.note is None, name


async def test_a_file_that_cannot_be_written_is_told(pool: Pool) -> None:
    source = "import json\njson.log = open('out', 'w', buffering=1 << 22)\njson.log.write('x' * (1 << 21))\nresult = 1"
    done = await run(pool, source, limits=replace(Limits(wall=10.0), scratch=1 << 20))
    assert (done.outcome, done.value) == (Outcome.OK, 1)
    assert "Not all of 'out', which the script left open, could be written: " in (done.ending.note or "")


async def test_a_fork_ends_as_a_process_does(pool: Pool) -> None:
    source = code(
        """
        import atexit, io, os, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        pid = os.fork()
        atexit.register(print, "closing", "parent" if pid else "child")
        if not pid:
            print("child")
            sys.exit(3)
        result = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if os.fork() == 0:
            raise ValueError("in the child")
        os.wait()
        """
    )
    done = await run(pool, source, profile=ADMIN)
    assert (done.outcome, done.value) == (Outcome.OK, 3)
    assert done.sink.stdout == "child\nclosing child\nclosing parent\nclosing parent\n"
    assert "ValueError: in the child" in done.sink.stderr


LOOKS = """
import atexit, sys, threading, time
def frames(frame):
    found = []
    while frame:
        found.append(frame.f_code.co_filename.rpartition("/")[2])
        frame = frame.f_back
    return found
main = threading.get_ident()
def look(): print(frames(sys._getframe())[1:])
def wait():
    time.sleep(0.1)
    print(frames(sys._current_frames()[main]))
atexit.register(look)
threading.Thread(target=wait).start()
class Stream:
    def write(self, text): return sys.__stdout__.write(text)
    def flush(self):
        global look
        sys.__stdout__.write(f"{frames(sys._getframe())[1:]}\\n")
        sys.stdout = sys.__stdout__
sys.stdout = Stream()
"""


async def test_no_frame_but_the_first_is_below_what_runs_at_the_end(pool: Pool) -> None:
    done: Done = await run(pool, LOOKS)
    flush, threads, callback = done.sink.stdout.splitlines()
    assert threads == "['threading.py', '__main__.py']"
    assert callback == flush == "['__main__.py']"
