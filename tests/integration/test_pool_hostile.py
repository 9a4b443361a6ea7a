"""Runs that end badly on purpose. Each ends as its own outcome, and the next run gives its own right answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pool_kit import ADMIN, descendants, expect_innocent, limits, plain_plans, pool_of, run, until, until_ready

from engine.models.runs import Outcome, Stream
from engine.pool.pool import Pool
from engine.worker import kernel


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as started:
        yield started


def code(text: str) -> str:
    return textwrap.dedent(text).strip("\n") + "\n"


SEND = code(
    """
    import os, struct
    def frame(kind, payload, size=None):
        return struct.pack("<IB", len(payload) if size is None else size, kind) + payload
    def result(head, value=b""):
        return frame(7, struct.pack("<I", len(head)) + head + value)
    def send(data):
        while data:
            data = data[os.write(3, data):]
    """
)


@pytest.mark.parametrize(
    ("source", "outcome", "word"),
    [
        ("import os; os._exit(0)", Outcome.EXITED, "status 0"),
        ("import os; os._exit(7)", Outcome.EXITED, "status 7"),
        ("import ctypes; ctypes.string_at(0)", Outcome.CRASHED, "SIGSEGV"),
        ("import os; os.abort()", Outcome.CRASHED, "signal"),
        ("import ctypes; ctypes.CDLL(None).abort()", Outcome.CRASHED, "signal"),
        ("import os\nos.closerange(0, 4096)\nos._exit(3)", Outcome.EXITED, "status 3"),
        ("import os\nos.closerange(0, 4096)", Outcome.EXITED, "before it had a result"),
        ("import os\nos.closerange(0, 4096)\nwhile True: pass", Outcome.PROTOCOL, "closed its connection"),
        (
            "import threading, os\nthreading.Thread(target=lambda: os._exit(9)).start()\nwhile True: pass",
            Outcome.EXITED,
            "status 9",
        ),
    ],
)
async def test_endings_without_a_result(pool: Pool, source: str, outcome: Outcome, word: str) -> None:
    done = await run(pool, source)
    assert done.outcome is outcome
    assert done.ending.error is not None
    assert word in done.ending.error.message
    assert (done.ending.signal is not None) == (outcome is Outcome.CRASHED)
    await expect_innocent(pool)


async def test_killing_itself_ends_no_other_run(pool: Pool) -> None:
    """The first process of a pid namespace is deaf to its own signals (pid_namespaces(7)): it goes on."""
    source = "import os\nos.kill(os.getpid(), 9)\nos.kill(0, 15)\nos.killpg(0, 9)\nresult = 1"
    done = await run(pool, source, profile=ADMIN)
    assert (done.outcome, done.value) == (Outcome.OK, 1)
    source = "import os\ntry:\n  os.kill(-1, 9)\nexcept ProcessLookupError: pass\nresult = 1"
    done = await run(pool, source, profile=ADMIN)
    assert (done.outcome, done.value) == (Outcome.OK, 1)
    assert pool.info().slots[0].restarts == 0
    await expect_innocent(pool, ADMIN)


async def test_a_restricted_run_may_send_signals_to_nobody_but_itself(pool: Pool) -> None:
    for target in ("1", "0", "-1", "os.getppid()"):
        done = await run(pool, f"import os\nos.kill({target}, 9)")
        assert done.ending.error is not None
        assert done.ending.error.type == "PermissionError", target
    done = await run(pool, "import signal\nsignal.raise_signal(signal.SIGTERM)\nresult = 'deaf to its own'")
    assert done.value == "deaf to its own"


@pytest.mark.parametrize(
    ("attack", "outcome"),
    [
        ("send(b'garbage that is no frame at all')", Outcome.PROTOCOL),
        ("send(frame(3, b'', size=0xFFFFFFFF))", Outcome.PROTOCOL),
        ("send(frame(7, b'', size=1 << 30))", Outcome.PROTOCOL),
        ("send(frame(3, b'x' * 100_000))", Outcome.PROTOCOL),
        ("send(frame(1, b'x' * 80))", Outcome.PROTOCOL),
        ("send(frame(2, b'x'))", Outcome.PROTOCOL),
        ("send(frame(5, b'[]'))", Outcome.PROTOCOL),
        ("send(frame(8, b'x'))", Outcome.PROTOCOL),
        ("send(frame(200, b'x'))", Outcome.PROTOCOL),
        ("send(frame(7, b''))", Outcome.PROTOCOL),
        ("send(frame(7, struct.pack('<I', 1 << 31)))", Outcome.PROTOCOL),
        ("send(result(b'not json'))", Outcome.PROTOCOL),
        ("send(result(b'[]'))", Outcome.PROTOCOL),
        ('send(result(b\'{"outcome": "timeout"}\'))', Outcome.PROTOCOL),
        ("send(result(b'{\"outcome\": 5}'))", Outcome.PROTOCOL),
        ("send(result(b'{\"surprise\": 1}'))", Outcome.PROTOCOL),
        ("send(result(b'', b'NaN'))", Outcome.PROTOCOL),
        ("send(result(b'', b'\\xff'))", Outcome.PROTOCOL),
        ("send(result(b'', b'\"\\\\ud800\"'))", Outcome.PROTOCOL),
        ("send(result(b'', b'1e999'))", Outcome.PROTOCOL),
        ("send(result(b'', b'[' * 400_000 + b']' * 400_000))", Outcome.PROTOCOL),
        ("send(result(b'', b'[' * 300 + b']' * 300))", Outcome.PROTOCOL),
        ("send(result(b'', b'\"' + b'x' * (1 << 20) + b'\"'))", Outcome.PROTOCOL),
        ("send(frame(9, b''))", Outcome.PROTOCOL),
        ("send(frame(9, b'x'))", Outcome.PROTOCOL),
        ("send(frame(9, struct.pack('<H', 60_000) + b'x' * 60_004))", Outcome.PROTOCOL),
        ("send(frame(9, struct.pack('<H', 1) + b'\\xff' + bytes(4)))", Outcome.PROTOCOL),
        ("send(frame(9, bytes(2) + bytes(4) + b'{'))", Outcome.PROTOCOL),
        ("send(frame(9, bytes(2) + bytes(4)) * 2)", Outcome.PROTOCOL),
        ("send(frame(9, bytes(2) + bytes(4) + b'4') + result(b'', b'5'))", Outcome.OK),
        ("send(result(b'', b'5'))", Outcome.OK),
        ("send(result(b'', b'5') * 3)", Outcome.OK),
    ],
)
async def test_forged_frames(pool: Pool, attack: str, outcome: Outcome) -> None:
    """What is malformed is a breach; a well-formed RESULT is the script's own word about itself, and its last."""
    done = await run(pool, f"{SEND}{attack}\nwhile True: pass")
    assert done.outcome is outcome, done.ending
    if outcome is Outcome.PROTOCOL:
        assert done.ending.error is not None
        assert "protocol" in done.ending.error.message
    else:
        assert done.value == 5
    await expect_innocent(pool)


async def test_nothing_follows_the_result(pool: Pool) -> None:
    source = SEND + code(
        """
        import threading
        def chatter():
            while True:
                print("still here", flush=True)
        for _ in range(3):
            threading.Thread(target=chatter).start()
        send(result(b"", b"1") + frame(3, b"after the end\\n") * 5)
        """
    )
    done = await run(pool, source)
    assert done.outcome in (Outcome.OK, Outcome.PROTOCOL, Outcome.OUTPUT_LIMIT)  # threads may cut into the forged bytes
    heard = len(done.sink.chunks)
    await expect_innocent(pool)
    assert len(done.sink.chunks) == heard
    assert "after the end" not in done.sink.stdout


async def test_writing_to_every_descriptor(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import os
            written = []
            for fd in range(256):
                if fd != 3:
                    try:
                        os.write(fd, b"boo\\n")
                        written.append(fd)
                    except OSError:
                        pass
            result = written
            """
        ),
    )
    assert done.value == [0, 1, 2]
    assert (done.sink.stdout, done.sink.stderr) == ("boo\n", "boo\n")
    await expect_innocent(pool)


async def test_threads_left_running(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import threading, time
            def work():
                while True:
                    time.sleep(0.001)
                    print("tick")
            for _ in range(5):
                threading.Thread(target=work, daemon=True).start()
            result = threading.active_count()
            """
        ),
    )
    assert (done.outcome, done.value) == (Outcome.OK, 6)
    await expect_innocent(pool)


async def test_a_fork_that_comes_to_the_end_too_has_no_say(pool: Pool) -> None:
    done = await run(
        pool,
        code(
            """
            import os, time
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
            print("parent" if pid else "child")
            result = "parent's" if pid else "child's"
            """
        ),
        profile=ADMIN,
    )
    assert (done.outcome, done.value) == (Outcome.OK, "parent's")
    assert sorted(done.sink.stdout.splitlines()) == ["child", "parent"]
    await expect_innocent(pool)


async def test_grandchildren_that_become_daemons_die_with_the_run(pool: Pool) -> None:
    await run(pool, "result = 1", profile=ADMIN)
    await until_ready(pool)
    baseline = set(descendants())
    done = await run(
        pool,
        code(
            """
            import os, time
            for _ in range(8):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        os.closerange(0, 4096)
                        while True:
                            time.sleep(0.01)
                    os._exit(0)
            while len(open("/proc/thread-self/children").read().split()) < 8:
                time.sleep(0.001)
            result = "left eight behind"
            """
        ),
        profile=ADMIN,
    )
    assert done.value == "left eight behind"
    await expect_innocent(pool, ADMIN)
    await until(lambda: len(set(descendants()) - baseline) <= 1, "only the next parked child is new")


@pytest.mark.parametrize(
    "hog",
    [
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "x = 'a' * (1 << 40)",
        "x = [0]\nwhile True: x = x * 2",
        "def f():\n  keep = []\n  while True: keep.append('x' * 100_000)\nf()",
        "x = {}\nfor i in range(10**9): x[i] = str(i)",
    ],
)
async def test_memory(pool: Pool, hog: str) -> None:
    done = await run(pool, hog, wall=20, limits=limits(memory=64 << 20, wall=20.0))
    assert done.outcome is Outcome.MEMORY, done.ending
    assert "limits.memory in its header asks for more" in (done.ending.note or "")
    assert done.ending.error is not None
    assert done.ending.error.type == "MemoryError"
    await expect_innocent(pool)


async def test_memory_that_is_shared_counts_too(pool: Pool) -> None:
    source = "import mmap\nx = mmap.mmap(-1, 1 << 30)"
    done = await run(pool, source)
    assert done.outcome is Outcome.SCRIPT_ERROR
    assert done.ending.error is not None
    assert "Cannot allocate memory" in done.ending.error.message


async def test_output_over_the_limit_of_a_script_that_asks_to_be_stopped(pool: Pool) -> None:
    done = await run(pool, "while True: print('x' * 99)", limits=limits(output_stop=True))
    assert done.outcome is Outcome.OUTPUT_LIMIT
    assert done.ending.output_truncated
    line = "[output limit of 1 MiB reached; the script was stopped]\n"
    assert done.sink.stdout.endswith("\n" + line)
    assert len(done.sink.stdout) - len(line) in ((1 << 20), (1 << 20) + 1)
    await expect_innocent(pool)


async def test_raw_output_over_such_a_limit(pool: Pool) -> None:
    source = "import os\nos.write(2, b'\\xc3\\xa4' * 600)\nwhile True: os.write(2, b'y' * 1000)"
    done = await run(pool, source, limits=limits(output=1001, output_stop=True))
    assert done.outcome is Outcome.OUTPUT_LIMIT
    assert done.sink.chunks[-1] == (Stream.STDERR, "\n[output limit of 1001 bytes reached; the script was stopped]\n")
    assert done.sink.stderr.startswith("ä" * 500)
    await expect_innocent(pool)


async def test_a_hundred_megabytes_of_output_do_not_grow_the_engine(pool: Pool) -> None:
    await run(pool, "print('x' * 1000)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chunk = "x" * 99
    for source in (
        f"for _ in range(1_000_000): print({chunk!r})",
        "import sys\nsys.stdout.write('y' * 100_000_000)",
        "import os\nfor _ in range(100): os.write(1, b'z' * 1_000_000)",
    ):
        done = await run(pool, source, wall=30, limits=limits(output_stop=True, wall=30.0))
        assert done.outcome is Outcome.OUTPUT_LIMIT
        assert len(done.sink.stdout) < (1 << 20) + 100
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 << 10, f"{grown} KiB"
    await expect_innocent(pool)


async def test_much_output_within_a_generous_limit_arrives_whole(pool: Pool) -> None:
    source = "for i in range(200_000): print(i)\nresult = 'end'"
    done = await run(pool, source, wall=30, limits=limits(output=4 << 20, wall=30.0))
    assert done.value == "end"
    assert done.sink.stdout == "".join(f"{i}\n" for i in range(200_000))


SCRATCH_MESS = code(
    """
    import os
    root = os.getcwd()
    for i in range(1500):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(root)
    for i in range(1000):
        open(f"file-{i}", "w").write("x" * 100)
    os.symlink("/etc/passwd", "link")
    os.mkdir("closed")
    open("closed/inside", "w").close()
    os.chmod("closed", 0)
    result = len(os.listdir(root))
    """
)


async def test_scratch_is_empty_again(pool: Pool) -> None:
    look = "import os\nresult = [os.listdir('.'), oct(os.stat('.').st_mode)]"
    fresh = (await run(pool, look)).value
    assert fresh == [[], "0o40700"]
    for touch in ("os.mkdir('a'); os.rmdir('a')", "open('a', 'w').close(); os.remove('a')", "os.mkdir('b')"):
        await run(pool, f"import os\n{touch}")
        assert (await run(pool, look)).value == fresh


async def test_scratch_is_empty_again_after_an_administrators_script(pool: Pool) -> None:
    look = "import os\nresult = [os.listdir('.'), oct(os.stat('.').st_mode), os.listxattr('.')]"
    fresh = (await run(pool, look, profile=ADMIN)).value
    assert fresh == [[], "0o40700", []]
    assert (await run(pool, SCRATCH_MESS, profile=ADMIN)).value == 1003
    assert (await run(pool, look, profile=ADMIN)).value == fresh
    for touch in (
        "os.chmod('.', 0)",
        "os.utime('.', (1, 1))",
        "os.mkdir('a'); os.rmdir('a')",
        "open('a', 'w').close(); os.remove('a')",
        "os.setxattr('.', 'user.left', b'behind')",
    ):
        await run(pool, f"import os\n{touch}", profile=ADMIN)
        assert (await run(pool, look, profile=ADMIN)).value == fresh


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts without a namespace")
@pytest.mark.parametrize("place", ["plant", "deep/plant"])
async def test_what_a_script_mounted_in_its_scratch_is_not_emptied(tmp_path: Path, place: str) -> None:
    """An administrator's, on a host without namespaces: what lies there is the plant's, and none of the scratch."""
    plant = tmp_path / "plant"
    plant.mkdir()
    (plant / "recipes").write_text("kept")
    mounting = code(
        f"""
        import ctypes, os
        os.makedirs({place!r})
        open("left", "w").close()
        if ctypes.CDLL(None, use_errno=True).mount({str(plant)!r}.encode(), {place.encode()!r}, None, 4096, None):
            raise OSError(ctypes.get_errno())
        result = os.listdir({place!r})
        """
    )
    scratch = tmp_path / "scratch"
    try:
        async with pool_of(1, **plain_plans(), scratch=scratch, profile=ADMIN, lifted=("ctypes",)) as pool:
            done = await run(pool, mounting, profile=ADMIN)
            assert done.outcome is Outcome.OK, done.ending
            assert done.value == ["recipes"]
            await expect_innocent(pool, ADMIN)
            await expect_innocent(pool, ADMIN)
        assert (plant / "recipes").read_text() == "kept"
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(tmp_path)):
                kernel.detach(line.split()[1])


async def test_scratch_is_bounded(pool: Pool) -> None:
    done = await run(pool, "i = 0\nwhile True:\n  open(f'f{i}', 'w').close()\n  i += 1")
    assert done.ending.error is not None
    assert (done.ending.error.type, "No space left" in done.ending.error.message) == ("OSError", True)
    done = await run(pool, "for i in range(9):\n  open(f'f{i}', 'wb').write(bytes(10 << 20))")
    assert done.ending.error is not None
    assert "No space left" in done.ending.error.message
    done = await run(pool, "open('f', 'wb').write(bytes(3 << 20))\nresult = 1", limits=limits(scratch=2 << 20))
    assert done.ending.error is not None
    assert "too large" in done.ending.error.message
    await expect_innocent(pool)


async def test_limits_of_files_and_processes(pool: Pool) -> None:
    done = await run(pool, "x = []\nwhile True: x.append(open('/dev/null'))")
    assert done.ending.error is not None
    assert "Too many open files" in done.ending.error.message
    done = await run(pool, "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))")
    assert done.ending.error is not None
    assert done.ending.error.type in ("ValueError", "PermissionError")
    await expect_innocent(pool)


async def test_an_account_that_may_go_ahead_of_others_gives_that_to_no_run() -> None:
    """RLIMIT_NICE and RLIMIT_RTPRIO, as limits.conf(5) hands them out: a script would go ahead of the gateway."""
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO)}
    try:
        for kind in before:
            with contextlib.suppress(ValueError, OSError):  # only with CAP_SYS_RESOURCE
                resource.setrlimit(kind, (40, 40))
        async with pool_of(1) as pool:
            done = await run(
                pool,
                """
import os, resource
result = [resource.getrlimit(kind) for kind in (resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO)]
try:
    os.nice(-1)
except PermissionError:
    result.append("refused")
""",
            )
            assert done.value == [[0, 0], [0, 0], "refused"]
    finally:
        for kind, limit in before.items():
            resource.setrlimit(kind, limit)


async def test_processor_time_is_limited_too(pool: Pool) -> None:
    source = "import resource\nresult = resource.getrlimit(resource.RLIMIT_CPU)[0]"
    assert (await run(pool, source, limits=limits(wall=2.5))).value == 4
    assert (await run(pool, source, limits=limits(wall=30.0))).value == 31
    assert (await run(pool, source, limits=limits(wall=45.0))).value == 46
    busy = "import threading\ndef f():\n  while True: sum(range(1000))\nf()"
    done = await run(pool, "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n" + busy, wall=20)
    assert done.outcome is Outcome.CRASHED, "a limit of the script's own is its own affair"
    await expect_innocent(pool)


async def test_two_hundred_polluters_change_nothing_for_the_next(pool: Pool) -> None:
    pollute = code(
        """
        import builtins, gc, json, os, random, sys, threading, time, warnings
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # first: start() itself counts with len()
        builtins.len = lambda x: -1
        json.dumps = lambda *a, **k: "patched"
        json.JSONEncoder.encode = lambda self, o: '"patched"'
        builtins.print = None
        os.environ["LEFT"] = "behind"
        os.environ.pop("PATH", None)
        sys.path.insert(0, "/nowhere")
        sys.setrecursionlimit(60)
        sys.modules["math"] = sys.modules["json"]
        random.seed(1)
        gc.disable()
        os.umask(0)
        open("left.txt", "w").write("left")
        os.makedirs("a/b")
        os.chdir("a")
        left = globals()
        """
    )
    look = code(
        """
        import gc, json, math, os, sys, threading
        result = {"len": len([1, 2, 3]), "json": json.dumps({"a": 1}), "left": os.environ.get("LEFT"),
                  "cwd": os.listdir("."), "path": "PATH" in os.environ, "limit": sys.getrecursionlimit(),
                  "math": math.sqrt(9), "gc": gc.isenabled(), "threads": threading.active_count(),
                  "globals": sorted(g for g in globals() if g[0] != "_"), "sys": "/nowhere" in sys.path}
        print("clean")
        """
    )
    before = await run(pool, look)
    jobs = [asyncio.ensure_future(run(pool, pollute, wall=30)) for _ in range(200)]
    outcomes = {done.outcome for done in await asyncio.gather(*jobs)}
    assert outcomes == {Outcome.OK}
    after = await run(pool, look)
    assert after.value == before.value
    assert after.value["len"] == 3
    assert after.sink.stdout == "clean\n"
    assert pool.info().slots[0].restarts == 0


async def test_the_engines_own_descriptors_are_given_back(pool: Pool) -> None:
    await run(pool, "print('x')")
    await until(lambda: pool.info().ready == 1, "the slot is ready")
    before = len(os.listdir("/proc/self/fd"))
    crash, breach = "import ctypes; ctypes.string_at(0)", SEND + "send(b'x' * 50)"
    for source in ("result = 1", "import os; os._exit(1)", crash, "1/0", breach):
        await run(pool, source)
    await until(lambda: pool.info().ready == 1, "the slot is ready")
    assert len(os.listdir("/proc/self/fd")) == before
