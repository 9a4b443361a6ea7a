"""Locks on a run's own files are answered as outside of the sandbox, and no other file can be locked at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pool_kit import (
    FREE_IMPORTS,
    PATIENCE,
    descendants,
    expect_innocent,
    findings,
    interpreter,
    limits,
    make_job,
    plans,
    pool_of,
    run,
    until,
    until_ready,
)

from engine.models.permissions import Access
from engine.models.runs import Outcome
from engine.pool.job import Limits
from engine.pool.pool import Pool
from engine.sandbox.grants import OpenedGrant
from engine.sandbox.plan import Findings, restricted_plan
from engine.worker.locks import LockBroker
from engine.worker.syscalls import NUMBERS


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as started:
        yield started


def code(text: str) -> str:
    return textwrap.dedent(text).strip("\n") + "\n"


LOCKING = code(
    """
    import errno, fcntl, os, struct, threading
    SETLK, SETLKW, OFD_GETLK, OFD_SETLK, OFD_SETLKW = 6, 7, 36, 37, 38
    READ, WRITE, NONE = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
    NOW = fcntl.LOCK_NB

    def answer(call, *arguments):
        try:
            call(*arguments)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "granted"

    def lock(kind, start=0, length=0, whence=0, owner=0):
        return struct.pack("@hhqqi4x", kind, whence, start, length, owner)

    def opened(name, flags=os.O_RDWR | os.O_CREAT):
        return os.open(name, flags, 0o600)
    """
)
"""What scripts of these tests begin with."""

ANSWERS = LOCKING + code(
    """
    import signal, time
    result = []
    def tell(call, *arguments):
        result.append(answer(call, *arguments))

    # flock: of the open file, so two of them conflict, and a duplicate does not.
    one, two = opened("f"), opened("f")
    for fd, operation in ((one, fcntl.LOCK_EX), (two, fcntl.LOCK_EX), (two, fcntl.LOCK_SH),
                          (os.dup(one), fcntl.LOCK_EX), (one, fcntl.LOCK_SH), (two, fcntl.LOCK_SH),
                          (one, fcntl.LOCK_EX), (two, fcntl.LOCK_UN), (one, fcntl.LOCK_EX), (one, fcntl.LOCK_UN),
                          (two, fcntl.LOCK_EX), (two, fcntl.LOCK_UN)):
        tell(fcntl.flock, fd, operation | NOW)
    for operation in (0, 3, 16, 1 << 20, -1):
        tell(fcntl.flock, one, operation)
    tell(fcntl.flock, opened(".", os.O_RDONLY), fcntl.LOCK_EX | NOW)
    tell(fcntl.flock, opened("f", os.O_PATH), fcntl.LOCK_EX | NOW)
    tell(fcntl.flock, 4000, fcntl.LOCK_EX | NOW)

    # Record locks: of the process, so none of them conflict.
    for fd, kind, start, length in ((one, WRITE, 0, 0), (two, WRITE, 0, 0), (two, READ, 5, 10), (one, WRITE, 7, 1),
                                    (one, NONE, 0, 0), (two, NONE, 3, 4)):
        tell(fcntl.fcntl, fd, SETLK, lock(kind, start, length))
        tell(fcntl.fcntl, fd, SETLKW, lock(kind, start, length))
    only = opened("f", os.O_RDONLY), opened("f", os.O_WRONLY), opened(".", os.O_RDONLY), opened("f", os.O_PATH)
    for fd in only:
        for kind in (READ, WRITE, NONE):
            tell(fcntl.fcntl, fd, SETLK, lock(kind))
    for wrong in (lock(7), lock(-1), lock(WRITE, -5), lock(WRITE, 5, -6), lock(READ, 0, 0, 9),
                  lock(WRITE, 2**62, 2**62 + 1)):
        tell(fcntl.fcntl, one, SETLK, wrong)
    tell(fcntl.fcntl, one, SETLK, lock(WRITE, -2, 1, os.SEEK_END))
    os.write(one, b"text")
    tell(fcntl.fcntl, one, SETLK, lock(WRITE, -2, 1, os.SEEK_END))
    tell(fcntl.fcntl, one, SETLK, lock(WRITE, -2, 1, os.SEEK_CUR))
    tell(fcntl.fcntl, 4000, SETLK, lock(WRITE))
    result.append(struct.unpack("@hhqqi4x", fcntl.fcntl(two, fcntl.F_GETLK, lock(WRITE)))[0] == NONE)
    tell(fcntl.fcntl, one, SETLK, lock(NONE))

    # Locks of open files conflict by range, with each other and with record locks.
    for fd, kind, start, length in ((one, WRITE, 0, 10), (two, WRITE, 5, 10), (two, READ, 9, 1), (two, WRITE, 10, 10),
                                    (one, READ, 0, 10), (two, READ, 5, 3), (one, WRITE, 5, 1), (two, NONE, 0, 8),
                                    (one, WRITE, 5, 1)):
        tell(fcntl.fcntl, fd, OFD_SETLK, lock(kind, start, length))
    tell(fcntl.fcntl, one, OFD_SETLK, lock(WRITE, 0, 10, owner=5))
    tell(fcntl.fcntl, two, SETLK, lock(WRITE, 5, 1))
    tell(fcntl.fcntl, two, SETLK, lock(WRITE, 50, 1))
    result.append(struct.unpack("@hhqqi4x", fcntl.fcntl(two, fcntl.F_GETLK, lock(WRITE)))[:4])
    tell(fcntl.fcntl, one, OFD_SETLK, lock(NONE))
    os.close(two)
    tell(fcntl.fcntl, one, OFD_SETLK, lock(WRITE))
    two = opened("f")

    # Whoever waits gets it when it is free; a signal's exception ends the wait.
    class Rung(Exception):
        pass
    def ring(*_):
        raise Rung
    signal.signal(signal.SIGALRM, ring)
    def waits(call, free, *arguments):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            call(*arguments)
            result.append("granted at once")
        except Rung:
            result.append("waited")
        threading.Timer(0.02, free).start()
        result.append(answer(call, *arguments))
    fcntl.fcntl(one, OFD_SETLK, lock(NONE))
    fcntl.flock(one, fcntl.LOCK_EX)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        fcntl.flock(two, fcntl.LOCK_EX)
    except Rung:  # it no longer wants it: when it is free, a third one can have it
        fcntl.flock(one, fcntl.LOCK_UN)
    time.sleep(0.15)
    three = opened("f")
    tell(fcntl.flock, three, fcntl.LOCK_EX | NOW)
    fcntl.flock(three, fcntl.LOCK_UN)
    fcntl.flock(one, fcntl.LOCK_EX)
    waits(fcntl.flock, lambda: fcntl.flock(one, fcntl.LOCK_UN), two, fcntl.LOCK_EX)
    fcntl.fcntl(one, OFD_SETLK, lock(WRITE))
    waits(fcntl.fcntl, lambda: fcntl.fcntl(one, OFD_SETLK, lock(NONE)), two, OFD_SETLKW, lock(READ))
    waits(fcntl.fcntl, lambda: os.close(two), one, SETLKW, lock(WRITE))
    print(result)
    """
)

DATABASES = code(
    """
    import sqlite3, threading
    def connect(name, mode="rwc", **options):
        return sqlite3.connect(f"file:{name}?DEFAULT&mode={mode}", uri=True, **options)
    result = {}
    for mode in ("delete", "truncate", "persist", "memory", "wal", "off"):
        name = f"{mode}.db"
        one = connect(name, timeout=0.01, isolation_level=None)
        found = [one.execute(f"pragma journal_mode = {mode}").fetchone()[0]]
        one.execute("create table t(a)")
        one.executemany("insert into t values (?)", ((n,) for n in range(50)))
        two = connect(name, timeout=0.01, isolation_level=None, check_same_thread=False)

        def tell(connection, statement):
            try:
                found.append(connection.execute(statement).fetchall())
            except sqlite3.OperationalError as error:
                found.append(str(error))

        # Readers beside each other, a reader beside a writer, two writers: both are one process to the kernel.
        for connection, statement in (
            (one, "begin"), (one, "select count(*) from t"), (two, "select count(*) from t"),
            (two, "insert into t values (1)"), (one, "commit"), (two, "insert into t values (2)"),
            (one, "begin immediate"), (two, "begin immediate"), (one, "insert into t values (3)"), (one, "commit"),
            (two, "begin immediate"), (two, "rollback"), (one, "begin exclusive"), (two, "select count(*) from t"),
            (one, "rollback"), (two, "select count(*) from t"), (one, "vacuum"),
            (one, "attach 'other.db' as other"), (one, "create table if not exists other.u(b)"),
            (one, "begin"), (one, "insert into other.u values (4)"), (one, "insert into t values (5)"), (one, "commit"),
            (one, "select count(*) from other.u"), (one, "detach other"),
        ):
            tell(connection, statement)

        copy = connect(f"{mode}-copy.db")
        one.backup(copy)
        found.append(copy.execute("select count(*) from t").fetchone()[0])
        copy.close()

        def work(count):
            own = connect(name, timeout=30, isolation_level=None)
            for _ in range(count):
                own.execute("begin immediate")
                own.execute("insert into t values ((select count(*) from t))")
                own.execute("commit")
            own.close()

        threads = [threading.Thread(target=work, args=(5,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.append(two.execute("select count(*), count(distinct rowid) from t").fetchone())
        found.append(two.execute("pragma integrity_check").fetchone()[0])
        one.close()
        two.close()
        again = connect(name, "ro")
        found.append(again.execute("select count(*) from t").fetchone()[0])
        again.close()
        result[mode] = found
    print(repr(result))
    """
)

EVERY_LOCK = DATABASES.replace("DEFAULT", "vfs=unix")
"""Asks for each lock, which SQLite in a run does not by itself."""

STORES = code(
    """
    import importlib, shelve
    result = {}
    for kind in ("dbm.gnu", "dbm.ndbm", "dbm.sqlite3"):  # dbm.dumb locks nothing
        try:
            module = importlib.import_module(kind)
        except ImportError:
            continue
        with module.open("store-" + kind, "c") as store:
            store[b"key"] = b"value"
        with module.open("store-" + kind, "r") as store:
            result[kind] = store[b"key"].decode()
        with shelve.Shelf(module.open("shelf-" + kind, "n")) as shelf:
            shelf["reading"] = {"tag": "T1", "values": [1, 2.5]}
        with shelve.Shelf(module.open("shelf-" + kind, "w")) as shelf:
            result["shelf of " + kind] = shelf["reading"]
        if kind == "dbm.gnu":  # locks its file by flock, and tells who comes second
            with module.open("twice", "n"):
                try:
                    module.open("twice", "w")
                except module.error as error:
                    result["twice"] = str(error)
    print(repr(result))
    """
)
"""Which of them there are is a matter of how the interpreter was built."""

SAME = {"answers": ANSWERS, "databases": DATABASES, "every-lock": EVERY_LOCK, "stores": STORES}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
async def test_own_files_are_locked_as_outside_of_the_sandbox(pool: Pool, source: str, tmp_path: Path) -> None:
    plain = await asyncio.to_thread(
        subprocess.run, [interpreter(), "-I", "-c", source], cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    done = await run(pool, source, wall=60.0)
    assert done.outcome is Outcome.OK, done.ending
    assert done.sink.stdout == plain.stdout
    assert plain.stdout
    await expect_innocent(pool)


ALONE = code(
    """
    import os, sqlite3
    with sqlite3.connect("x.db", isolation_level=None) as one:
        one.execute("pragma journal_mode = wal")
        one.execute("create table t(a)")
        result = os.path.exists("x.db-wal"), os.path.exists("x.db-shm")
    """
)


async def test_sqlite_keeps_its_locks_to_itself_in_a_run(pool: Pool) -> None:
    """It shows by the shared memory of its log, which is no file then: every single lock would ask the broker."""
    done = await run(pool, ALONE)
    assert done.value == [True, False], done.ending


OTHERS = LOCKING + code(
    """
    def attempts(fd):
        copies = {"itself": fd, "dup": os.dup(fd), "F_DUPFD": fcntl.fcntl(fd, fcntl.F_DUPFD, 20)}
        for name, copy in copies.items():
            for operation in (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN):
                yield name, answer(fcntl.flock, copy, operation), answer(fcntl.flock, copy, operation | NOW)
            for kind in (READ, WRITE, NONE):
                yield name, *(answer(fcntl.fcntl, copy, command, lock(kind))
                              for command in (SETLK, SETLKW, OFD_SETLK, OFD_SETLKW))
    found = {}
    for path in paths:
        for flags in (os.O_RDONLY, os.O_RDWR):
            try:
                fd = os.open(path, flags)
            except OSError:
                continue
            found[path, flags] = [*attempts(fd)]
    pipe = os.pipe()
    found["pipe"] = [*attempts(pipe[1])]
    found["channel"] = [*attempts(3)]
    result = sorted({word for rows in found.values() for row in rows for word in row[1:]}), len(found)
    own = opened("own")
    fcntl.flock(own, fcntl.LOCK_EX)
    for command in (SETLK, OFD_SETLK):
        fcntl.fcntl(own, command, lock(WRITE))
    """
)


async def test_no_other_file_can_be_locked(pool: Pool, tmp_path: Path) -> None:
    """Files of the host that are granted, for reading or writing, libraries, devices, pipes: by every way of asking."""
    read, written = tmp_path / "read", tmp_path / "written"
    for folder in (read, written):
        folder.mkdir()
        (folder / "file").write_text("text")
    grants = tuple(
        OpenedGrant(access, str(path), path.stat().st_dev, path.stat().st_ino, True)
        for access, path in ((Access.READ, read), (Access.WRITE, written))
    )
    paths = [
        str(read / "file"),
        str(written / "file"),
        str(written),
        str(await asyncio.to_thread(_library)),
        "/dev/null",
        "/dev/zero",
    ]
    async with pool_of(1) as granted:
        profile = replace(FREE_IMPORTS, grants=grants)
        done = await run(granted, OTHERS, variables={"paths": paths}, profile=profile)
    assert done.outcome is Outcome.OK, (done.ending, done.sink.stderr)
    refused, files = done.value
    assert refused == ["EPERM"]
    assert files >= 8


SWAP = LOCKING + code(
    """
    import time
    library, own, number = opened(path, os.O_RDONLY), opened("own"), 40
    os.dup2(own, number)
    stop = False
    def swap():
        while not stop:
            os.dup2(library, number)
            os.dup2(own, number)
    thread = threading.Thread(target=swap)
    thread.start()
    begun, heard = time.monotonic(), {}
    while time.monotonic() < begun + (0.7 if len(heard) > 1 else 20):
        for call, *arguments in ((fcntl.flock, fcntl.LOCK_SH | NOW), (fcntl.fcntl, OFD_SETLK, lock(READ))):
            word = answer(call, number, *arguments)
            heard[word] = heard.get(word, 0) + 1
    stop = True
    thread.join()
    result = heard
    """
)


async def test_a_descriptor_that_changes_under_the_broker_locks_no_other_file(pool: Pool) -> None:
    """Whatever number another thread puts another file behind in between, the library is never locked."""
    library = await asyncio.to_thread(_library)
    held = 0
    with library.open("rb") as file:
        ending = asyncio.ensure_future(run(pool, SWAP, variables={"path": str(library)}, wall=40.0))
        while not ending.done():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_UN)
            except BlockingIOError:
                held += 1
            asked = fcntl.fcntl(file, fcntl.F_GETLK, _write_lock())
            held += int.from_bytes(asked[:2], "little") != fcntl.F_UNLCK
            await asyncio.sleep(0)
    done = ending.result()
    assert done.outcome is Outcome.OK, done.ending
    assert done.value.keys() == {"granted", "EPERM"}, done.value
    assert held == 0


def _library() -> Path:
    """A file of the standard library that scripts have."""
    asked = [interpreter(), "-I", "-c", "import os; print(os.__file__, end='')"]
    return Path(subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout)


def _write_lock() -> bytes:
    return fcntl.F_WRLCK.to_bytes(2, "little") + bytes(30)


WAITING = LOCKING + code(
    """
    one, two = opened("f"), opened("f")
    fcntl.flock(one, fcntl.LOCK_EX)
    fcntl.fcntl(one, OFD_SETLK, lock(WRITE))
    for _ in range(4):
        threading.Thread(target=fcntl.flock, args=(two, fcntl.LOCK_EX), daemon=True).start()
        threading.Thread(target=fcntl.fcntl, args=(two, OFD_SETLKW, lock(WRITE)), daemon=True).start()
    print("waits", flush=True)
    fcntl.flock(two, fcntl.LOCK_EX)
    """
)


async def test_a_stop_ends_whoever_waits_for_a_lock(pool: Pool) -> None:
    """At once, as ever; nothing of it stays with the launcher."""
    await until_ready(pool)
    launcher = next(iter(descendants()))
    before = _descriptors(launcher)
    job = make_job(WAITING, limits=Limits(wall=60.0))
    ending = pool.submit(job)
    await until(lambda: "waits" in job.sink.stdout, "it waits")  # type: ignore[attr-defined]
    pool.cancel(job.run_id)
    assert (await asyncio.wait_for(ending, PATIENCE)).outcome is Outcome.CANCELLED
    done = await run(pool, WAITING, limits=limits(wall=0.3))
    assert done.outcome is Outcome.TIMEOUT
    await expect_innocent(pool)
    await until(lambda: _descriptors(launcher) <= before + 1, "the launcher has let go")


def _descriptors(pid: int) -> int:
    """How many it has; none once it was replaced, as when a busy machine is slow to end a child."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return 0


FLOOD = LOCKING + code(
    """
    fd = opened("f")
    def flood():
        while True:
            fcntl.flock(fd, fcntl.LOCK_EX)
            answer(fcntl.fcntl, fd, SETLK, lock(WRITE))
            answer(fcntl.fcntl, 4000, OFD_SETLKW, lock(WRITE))
    for _ in range(10):
        threading.Thread(target=flood, daemon=True).start()
    print("floods", flush=True)
    """
)


@pytest.mark.parametrize(
    ("end", "outcomes"),
    [
        ("flood()", {Outcome.TIMEOUT}),
        # Its threads may take longer to leave than the engine waits after the end of a connection.
        ("os._exit(4)", {Outcome.EXITED, Outcome.PROTOCOL}),
        ("result = 1", {Outcome.OK}),
    ],
    ids=["killed", "exits", "ends"],
)
async def test_a_flood_of_locks_ends_with_its_run(pool: Pool, end: str, outcomes: set[Outcome]) -> None:
    """Threads die in the middle of their calls; the scratch of the next run is not waited for."""
    wall = 0.3 if Outcome.TIMEOUT in outcomes else 20.0
    source = FLOOD + end + "\n"
    if Outcome.OK in outcomes:  # no thread is left to be waited for, however a script's end treats them
        source = source.replace("while True", "for _ in range(20)")
    done = await run(pool, source, limits=limits(wall=wall))
    assert done.outcome in outcomes, done.ending
    await expect_innocent(pool)


HOSTILE = LOCKING + code(
    """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    def raw(number, *arguments):
        ctypes.set_errno(0)
        if libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments)) == -1:
            return errno.errorcode[ctypes.get_errno()]
        return "granted"
    fd = opened("f")
    WORDS = (0, 1, 2, 4, 8, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
    result = set()
    for word in WORDS:
        for command in (SETLK, SETLKW, OFD_SETLK, OFD_SETLKW, 2**32 + SETLK):
            result |= {raw(72, fd, command, word), raw(72, word, command, id(fd)), raw(72, word, command, word)}
        result |= {raw(73, fd, word | 4), raw(73, word, word | 4), raw(73, word, 2 | 4)}
    # At the edge of what is mapped: half of the lock can be read.
    libc.mmap.restype = ctypes.c_void_p
    area = libc.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, ctypes.c_long(0))
    libc.munmap(ctypes.c_void_p(area + 4096), ctypes.c_size_t(4096))
    result.add("edge " + raw(72, fd, SETLK, area + 4096 - 16))
    fcntl.flock(fd, fcntl.LOCK_EX)
    result = sorted(result)
    """
)


async def test_hostile_numbers_are_answered_like_any_others(pool: Pool) -> None:
    done = await run(pool, HOSTILE)
    assert done.outcome is Outcome.OK, (done.ending, done.sink.stderr)
    assert set(done.value) <= {"granted", "EBADF", "EINVAL", "EFAULT", "EPERM", "EAGAIN", "edge EFAULT"}
    assert "edge EFAULT" in done.value
    await expect_innocent(pool)
    assert pool.info().slots[0].restarts == 0


REFUSED = LOCKING + code(
    """
    import sqlite3
    fd = opened("f")
    result = [answer(fcntl.flock, fd, fcntl.LOCK_EX), answer(fcntl.fcntl, fd, SETLK, lock(WRITE)),
              answer(fcntl.fcntl, fd, OFD_SETLK, lock(WRITE))]
    try:
        sqlite3.connect("x.db").execute("create table t(a)")
    except sqlite3.OperationalError:
        result.append("no database")
    """
)


async def test_where_there_is_no_broker_locks_are_refused() -> None:
    lacking = Findings(findings().abi, findings().failures | {"locks": "not here"})
    async with pool_of(1, **plans(restricted=restricted_plan(lacking, allow_degraded=False))) as pool:
        done = await run(pool, REFUSED)
        assert done.value == ["EPERM", "EPERM", "EPERM", "no database"]


async def test_a_launcher_that_ends_takes_its_waiting_child_along(pool: Pool) -> None:
    """Without the broker nobody would answer; so nobody is left who asks."""
    await until_ready(pool)
    launcher = next(iter(descendants()))
    job = make_job(WAITING, limits=Limits(wall=60.0))
    ending = pool.submit(job)
    await until(lambda: "waits" in job.sink.stdout, "it waits")  # type: ignore[attr-defined]
    os.kill(launcher, signal.SIGKILL)
    assert (await asyncio.wait_for(ending, PATIENCE)).outcome is not Outcome.OK
    await until_ready(pool)
    await expect_innocent(pool)


def test_a_number_that_another_process_has_by_now_is_looked_up_again(tmp_path: Path) -> None:
    """The broker remembers processes by descriptors, which never come to mean another one."""
    broker: Any = LockBroker(str(tmp_path))
    gone = subprocess.Popen(["true"])
    stale = os.pidfd_open(gone.pid)
    gone.wait()
    broker._pidfds[os.getpid()] = stale
    with (tmp_path / "own").open("wb") as file:
        fetched = broker._fetch(os.getpid(), file.fileno())
        assert os.path.sameopenfile(fetched, file.fileno())
        os.close(fetched)
    with pytest.raises(OSError, match="pidfd_getfd") as refused:
        broker._fetch(os.getpid(), 4000)
    assert refused.value.errno == errno.EBADF
    broker._forget_processes()
    broker.close()
    with contextlib.suppress(OSError):
        os.close(stale)
        raise AssertionError("the descriptor of a process that has gone was kept")


def test_who_waits_already_is_not_put_off_by_those_who_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked"
    with path.open("w") as holder, contextlib.ExitStack() as stack:
        fcntl.flock(holder, fcntl.LOCK_EX)
        broker = LockBroker(str(tmp_path))
        stack.callback(broker.close)
        monkeypatch.setattr(broker, "_device", path.stat().st_dev)
        monkeypatch.setattr(broker, "_fetch", lambda *_: os.open(path, os.O_RDONLY))
        monkeypatch.setattr(broker, "_is_valid", lambda _: True)
        tries = []
        for key in range(1, 4):
            assert broker._judge(key, 1, NUMBERS["flock"], 3, fcntl.LOCK_EX, 0) is None
            tries.append(broker._next_try)
        assert len(set(tries)) == 1
        for waiting in broker._waiting:
            os.close(waiting.descriptor)
