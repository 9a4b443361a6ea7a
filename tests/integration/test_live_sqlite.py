"""The sample that reads a live SQLite database: whole copies or a clear error, and an owner that never waits."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pool_kit import FREE_IMPORTS, make_job, pool_of, run

from default_scripts import bundle
from engine.models.permissions import Access
from engine.models.runs import Outcome
from engine.pool.job import Profile
from engine.sandbox.grants import OpenedGrant

SAMPLE = bundle()["documents/samples/live_sqlite.py"]
ROWS = 200
MODES = ("wal", "delete", "truncate", "persist")
OFTEN = ["wal", "delete", *(pytest.param(mode, marks=pytest.mark.slow) for mode in MODES[2:])]
JOURNALS = OFTEN[1:]

OWNER = """
import json, sqlite3, sys, time
path, mode = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None, timeout=0)
db.execute(f"pragma journal_mode = {mode}")
db.execute("pragma synchronous = off")  # the order of what others see is the same
db.execute("pragma cache_size = 10")  # so that a transaction writes before it is committed
db.execute("create table t(id integer primary key, n int, filler text)")
db.executemany("insert into t(n, filler) values (0, ?)", [("x" * 900,)] * ROWS)

def change(n):
    db.execute("begin immediate")
    db.execute("update t set n = ?, filler = hex(randomblob(450))", (n,))

def commit(n):
    change(n)
    db.execute("commit")

def checkpoint():
    db.execute("pragma wal_checkpoint(truncate)")

def work(pause):
    n = refused = 0
    while not sys.stdin.closed and (n < 8 or not stopped()):
        n += 1
        try:
            change(n)
            db.execute("rollback" if n % 7 == 0 else "commit")
            if n % 20 == 0 and mode == "wal":
                checkpoint()
        except sqlite3.OperationalError:
            refused += 1
        time.sleep(pause)
    return [n, refused]

def stopped():
    import select
    return bool(select.select([0], [], [], 0)[0])

print("ready", flush=True)
while line := sys.stdin.readline():
    print(json.dumps(eval(line)), flush=True)
""".replace("ROWS", str(ROWS))


class Owner:
    """Another program that has the database open."""

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(path), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def begin(self, code: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{code}\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, *codes: str) -> Any:
        """Have it evaluate these and wait until it has."""
        for code in codes:
            self.begin(code)
        return [self.answer() for _ in codes][-1]

    def stop(self) -> Any:
        """End its ``work`` and return what came of it: transactions, and how many of them SQLite refused."""
        self.begin("0")
        done = self.answer()
        self.answer()
        return done


@contextmanager
def owner(folder: Path, mode: str) -> Iterator[Owner]:
    made = Owner(folder / "history.db", mode)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The sample as a module, in a working folder of its own."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path / "scratch")
    module = ModuleType("live_sqlite")
    exec(compile(SAMPLE, "live_sqlite.py", "exec"), module.__dict__)
    return module


def numbers(connection: sqlite3.Connection) -> list[int]:
    """The numbers in the table: one, of the last transaction, if the copy is whole."""
    with closing(connection):
        assert connection.execute("pragma quick_check").fetchall() == [("ok",)]
        assert connection.execute("select count(*) from t").fetchone() == (ROWS,)
        return [number for (number,) in connection.execute("select distinct n from t")]


@pytest.mark.parametrize("mode", OFTEN)
def test_what_is_committed_is_read_in_every_mode(sample: ModuleType, tmp_path: Path, mode: str) -> None:
    with owner(tmp_path, mode) as writer:
        assert numbers(sample.open_live(writer.path)) == [0]
        writer.do("commit(1)")
        assert numbers(sample.open_live(writer.path)) == [1]
        assert sample.main(str(writer.path), "select n from t limit 1") == {"columns": ["n"], "rows": [(1,)]}


@pytest.mark.parametrize("mode", OFTEN)
@pytest.mark.parametrize("pause", [0, pytest.param(0.05, marks=pytest.mark.slow)])
def test_an_owner_that_writes_all_the_time(sample: ModuleType, tmp_path: Path, mode: str, pause: float) -> None:
    """Every copy is of one transaction, later ones are not older, and the owner hears nothing of it."""
    with owner(tmp_path, mode) as writer:
        writer.begin(f"work({pause})")
        seen, busy = [], 0
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            try:
                found = numbers(sample.open_live(writer.path, patience=0.2))
            except TimeoutError:
                busy += 1
                continue
            assert len(found) == 1
            seen += found
        transactions, refused = writer.stop()
    assert transactions >= 8
    assert refused == 0
    assert seen == sorted(seen)
    assert seen or busy
    assert seen or mode != "wal", "with a -wal file every copy is whole but for a new beginning of that file"


def while_copied(sample: ModuleType, monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> list[str]:
    """Call ``before`` with the name of each file that the sample copies; returns what is copied."""
    copied: list[str] = []

    class Shutil:
        @staticmethod
        def copyfile(source: Any, target: Any) -> None:
            before(str(source))
            copied.append(str(source))
            shutil.copyfile(source, target)

    monkeypatch.setitem(sample.__dict__, "shutil", Shutil)
    return copied


def test_a_wal_file_that_begins_anew_between_the_copies(
    sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database as it was and the log of what came after it would be two halves."""
    with owner(tmp_path, "wal") as writer:
        writer.do("commit(1)")

        def restart(name: str) -> None:
            if name.endswith("-wal") and len(copied) == 1:
                writer.do("commit(2)", "checkpoint()", "db.execute('update t set n = 3 where id < 20') and None")

        copied = while_copied(sample, monkeypatch, restart)
        assert sorted(numbers(sample.open_live(writer.path))) == [2, 3]
        assert len(copied) == 4


def test_a_checkpoint_while_the_database_is_copied_spoils_nothing(
    sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owner(tmp_path, "wal") as writer:
        writer.do("commit(1)")

        def moved(name: str) -> None:
            if not name.endswith("-wal"):
                writer.do("commit(2)", "db.execute('pragma wal_checkpoint(passive)').fetchall()")

        copied = while_copied(sample, monkeypatch, moved)
        assert numbers(sample.open_live(writer.path)) == [2]
        assert len(copied) == 2


@pytest.mark.parametrize("mode", JOURNALS)
def test_a_transaction_that_is_written_and_taken_back_while_the_database_is_copied(
    sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The change counter is the same before and after, and there is no journal at either time."""
    with owner(tmp_path, mode) as writer:
        writer.do("commit(1)")

        def written(name: str) -> None:
            if not copied:
                writer.do("change(2)")
            elif len(copied) == 1 and name.endswith("-wal"):
                writer.do("db.execute('rollback') and None")
                os.utime(writer.path, ns=(1, 1))  # as if that had been a while ago

        copied = while_copied(sample, monkeypatch, written)
        assert numbers(sample.open_live(writer.path)) == [1]
        assert len(copied) >= 2, "the copy of what was half written counted"


def test_a_file_that_has_just_been_changed_is_left_alone(sample: ModuleType, tmp_path: Path) -> None:
    """What changes it within the same tick of the file system's clock leaves its time as it is."""
    with owner(tmp_path, "delete") as writer:
        os.utime(writer.path)
        assert sample.state(writer.path) is None
        os.utime(writer.path, ns=(1, 1))
        assert sample.state(writer.path) is not None


@pytest.mark.parametrize("mode", JOURNALS)
def test_a_transaction_that_goes_on_and_on_is_a_clear_error(sample: ModuleType, tmp_path: Path, mode: str) -> None:
    with owner(tmp_path, mode) as writer:
        writer.do("change(1)")
        with pytest.raises(TimeoutError, match=r"history\.db changed whenever it was copied, for 0\.1 seconds"):
            sample.open_live(writer.path, patience=0.1)
        writer.do("db.execute('commit') and None")
        assert numbers(sample.open_live(writer.path)) == [1]


def granted(folder: Path) -> Profile:
    found = folder.stat()
    grant = OpenedGrant(Access.READ, str(folder), found.st_dev, found.st_ino, True)
    return Profile(tools=FREE_IMPORTS.tools, grants=(grant,))


async def test_it_runs_in_restricted(tmp_path: Path) -> None:
    (tmp_path / "plant").mkdir()
    with owner((tmp_path / "plant").resolve(), "wal") as writer:
        writer.begin("work(0.01)")
        asked = {"database": str(writer.path), "query": "select distinct n from t"}
        async with pool_of(1) as pool:
            for _ in range(5):
                job = make_job(SAMPLE, entrypoint="main", params=asked, profile=granted(writer.path.parent))
                ending = await pool.submit(job)
                assert ending.outcome is Outcome.OK, ending
                assert len(ending.value["rows"]) == 1
        assert writer.stop()[1] == 0


@pytest.mark.parametrize("mode", OFTEN)
async def test_a_run_that_opens_the_database_itself_is_told_what_to_do(tmp_path: Path, mode: str) -> None:
    (tmp_path / "plant").mkdir()
    with owner((tmp_path / "plant").resolve(), mode) as writer:
        code = f"import sqlite3\nsqlite3.connect({str(writer.path)!r}).execute('select * from t')"
        async with pool_of(1) as pool:
            done = await run(pool, code, profile=granted(writer.path.parent))
    assert done.outcome is Outcome.SCRIPT_ERROR
    assert "documents/samples/live_sqlite.py" in (done.ending.traceback or "")
