"""``state.db``: what is recorded, what survives cancellation and damage, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from store import migrations
from store.database import APPLICATION_ID, WAL_BYTES
from store.errors import LowDisk, StoreError
from store.state.database import AHEAD, StateDB
from store.state.pruning import Pruned, Retention
from store.state.rows import FileRow, OutputRow, RunRow
from store.state.run_filter import RunFilter

DAY = 86_400.0


def run_row(run_id: int, **fields: Any) -> RunRow:
    values: dict[str, Any] = {
        "id": run_id,
        "kind": "exec",
        "name": "<exec>",
        "state": "running",
        "mode": "RESTRICTED",
        "actor": "alice",
        "source": "cli",
        "queued_at": 1.0,
        "timeout": 30.0,
        "code_sha256": "0" * 64,
    }
    return RunRow(**{**values, **fields})


def done(run_id: int, at: float = 2.0, **fields: Any) -> RunRow:
    return run_row(run_id, state="finished", outcome="ok", started_at=1.5, finished_at=at, duration=0.5, **fields)


def piece(run_id: int, seq: int = 0, text: str = "hello\n") -> OutputRow:
    return OutputRow(run_id, seq, "stdout", text, 1.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


Reopen = Callable[[], Awaitable[StateDB]]


@pytest.fixture
async def reopen(path: Path) -> AsyncIterator[Reopen]:
    """Opens the database, and closes it in the end: an open one keeps the process from ever ending."""
    opened: list[StateDB] = []

    async def reopen() -> StateDB:
        opened.append(await StateDB.open(path))
        return opened[-1]

    yield reopen
    for state in opened:
        with contextlib.suppress(StoreError):
            await state.close()


@pytest.fixture
async def state(reopen: Reopen) -> StateDB:
    return await reopen()


async def test_a_run_is_recorded_from_start_to_end(reopen: Reopen, state: StateDB, path: Path) -> None:
    row = run_row(1, isolation="full", started_at=1.5, slot=2)
    await state.apply([row], [piece(1, 0), piece(1, 1, "x")], [])
    assert await state.run(1) == row
    end = replace(
        row,
        state="finished",
        outcome="script_error",
        finished_at=3.0,
        duration=1.5,
        signal=9,
        value='{"a":1}',
        result="text",
        note="note",
        error='{"type":"E"}',
        traceback="Traceback",
        output_bytes=7,
        output_complete=False,
    )
    await state.apply([], [piece(1, 2)], [end])
    assert await state.run(1) == end
    assert await state.output(1) == [piece(1, 0), piece(1, 1, "x"), piece(1, 2)]
    assert await state.output(1, after=1, limit=1) == [piece(1, 1, "x")]
    assert await state.output_bytes() == 13
    assert await state.run(2) is None
    await state.close()
    assert names(path.parent) == ["run-number", "state.db"], "the log was not taken over at closing"
    again = await reopen()
    assert await again.run(1) == end
    await again.close()


async def test_a_quick_run_comes_whole_in_one_go_and_a_retry_changes_nothing(state: StateDB) -> None:
    for _ in range(3):
        await state.apply([], [piece(1), piece(1, 1)], [done(1)])
        assert await state.output_bytes() == 12
    await state.apply([run_row(1)], [piece(1), piece(1, 2)], [])
    found = await state.run(1)
    assert found is not None
    assert found.state == "finished", "a late start reopened a finished run"
    assert await state.output_bytes() == 18


async def test_output_without_a_run_is_refused_and_nothing_of_the_group_is_kept(state: StateDB) -> None:
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await state.apply([run_row(1)], [piece(1), piece(7)], [])
    assert await state.run(1) is None
    assert await state.output_bytes() == 0
    await state.apply([run_row(1)], [piece(1)], [])


async def test_any_text_can_be_recorded(state: StateDB) -> None:
    text = "nul \x00, escape \x1b[2J, lone \udc80 and \ud800, \U0001f600, \u2028\n"
    await state.apply([run_row(1, name="a\x00b\ud800")], [piece(1, 0, text)], [])
    assert (await state.output(1))[0].text == text.replace("\udc80", "\\udc80").replace("\ud800", "\\ud800")
    found = await state.run(1)
    assert found is not None
    assert found.name == "a\x00b\\ud800"


async def test_runs_are_listed_newest_first_in_pages_and_by_name(state: StateDB) -> None:
    await state.apply(
        [], [], [done(number, name="odd" if number % 2 else "even", value="1" * 100) for number in range(1, 11)]
    )
    assert [row.id for row in await state.runs(limit=3)] == [10, 9, 8]
    assert [row.id for row in await state.runs(limit=3, before=8)] == [7, 6, 5]
    assert [row.id for row in await state.runs(limit=9, wanted=RunFilter(name="odd"))] == [9, 7, 5, 3, 1]
    assert [row.id for row in await state.runs(limit=2, before=5, wanted=RunFilter(name="odd"))] == [3, 1]
    assert {row.value for row in await state.runs(limit=9)} == {None}, "a list does not carry results"
    found = await state.run(3)
    assert found is not None
    assert found.value == "1" * 100


async def test_runs_of_a_dead_engine_become_interrupted(state: StateDB) -> None:
    await state.apply([run_row(1), run_row(2, state="queued")], [piece(1)], [done(3)])
    assert await state.interrupt_unfinished(9.0) == 2
    assert await state.interrupt_unfinished(10.0) == 0
    rows = {row.id: row for row in await state.runs(limit=9)}
    assert [(rows[n].state, rows[n].outcome, rows[n].finished_at) for n in (1, 2, 3)] == [
        ("finished", "interrupted", 9.0),
        ("finished", "interrupted", 9.0),
        ("finished", "ok", 2.0),
    ]
    assert [rows[n].output_complete for n in (1, 2, 3)] == [False, True, True]
    assert await state.output(1) == [piece(1)]
    told = [(row.at, row.action, row.subject.split()[0], row.details["outcome"]) for row in await state.audit.newest(9)]
    assert told == [(9.0, "run", "#2", "interrupted"), (9.0, "run", "#1", "interrupted")]


async def killed(state: StateDB) -> None:
    """Close the files as the kernel does it for a killed engine: without a word about a good end."""
    await state._database.close()
    state._numbers.close()


async def machine_down(state: StateDB, path: Path) -> None:
    """As if the machine had gone down: another boot id, and of the file what an earlier writeback got of it."""
    await killed(state)
    note = path.with_name("run-number")
    note.write_bytes(b"%019d 00000000-0000-0000-0000-000000000000\n" % 1)


async def test_ids_are_never_given_out_twice(reopen: Reopen, path: Path) -> None:
    state = await reopen()
    assert [await state.next_run_id() for _ in range(3)] == [1, 2, 3]
    await state.apply([], [], [done(1), done(2), done(3)])
    await state.prune(now=1000 * DAY)
    assert await state.run(3) is None
    await state.close()
    state = await reopen()
    assert await state.next_run_id() == 4, "its run was removed, its id was not forgotten"
    await state.close()


async def test_after_a_kill_the_next_id_is_the_last_one_plus_one(reopen: Reopen) -> None:
    state = await reopen()
    for expected in range(1, 6):
        assert await state.next_run_id() == expected
    await state.apply([], [], [done(4)])
    assert await state.next_run_id() == 6  # told to a client, and in no transaction
    await killed(state)
    state = await reopen()
    assert await state.next_run_id() == 7
    await killed(state)
    state = await reopen()
    assert await state.next_run_id() == 8
    await state.close()


async def test_after_a_kill_the_records_of_all_runs_may_be_gone(reopen: Reopen) -> None:
    state = await reopen()
    assert [await state.next_run_id() for _ in range(3)] == [1, 2, 3]
    await killed(state)
    state = await reopen()
    assert await state.next_run_id() == 4
    await state.close()


async def test_when_the_machine_went_down_a_few_ids_are_left_out(reopen: Reopen, path: Path) -> None:
    state = await reopen()
    for _ in range(5):
        await state.next_run_id()
    await state.apply([], [], [done(5)])
    told = [await state.next_run_id() for _ in range(AHEAD)]
    await machine_down(state, path)
    state = await reopen()
    assert await state.next_run_id() == told[-1] + 1
    await state.close()
    state = await reopen()
    assert await state.next_run_id() == told[-1] + 2
    await state.close()


@pytest.mark.parametrize("burst", [AHEAD + 1, 500])
async def test_no_burst_of_ids_outruns_what_is_left_out(reopen: Reopen, path: Path, burst: int) -> None:
    state = await reopen()
    told = await asyncio.gather(*(state.next_run_id() for _ in range(burst)))
    assert sorted(told) == list(range(1, burst + 1))
    await machine_down(state, path)
    state = await reopen()
    assert burst < await state.next_run_id() <= 3 * burst
    await state.close()


@pytest.mark.parametrize(
    "found",
    [b"", b"7", b"x" * 60, b"%019d " % 7, b"9" * 19 + b" 00000000-0000-0000-0000-000000000000\n", None],
    ids=["empty", "cut", "nonsense", "half", "too-large", "missing"],
)
async def test_a_damaged_note_of_the_ids_is_no_note(reopen: Reopen, path: Path, found: bytes | None) -> None:
    state = await reopen()
    await state.apply([], [], [done(await state.next_run_id())])
    await killed(state)
    note = path.with_name("run-number")
    note.unlink() if found is None else note.write_bytes(found)
    state = await reopen()
    assert await state.next_run_id() == 2 + AHEAD
    await killed(state)
    state = await reopen()
    assert await state.next_run_id() == 3 + AHEAD
    await state.close()


async def test_a_link_in_place_of_the_note_is_not_followed(reopen: Reopen, path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_text("mine")
    path.with_name("run-number").symlink_to(elsewhere)
    state = await reopen()
    assert await state.next_run_id() == 1
    await state.close()
    assert elsewhere.read_text() == "mine"


async def test_ids_go_on_when_nothing_can_be_noted(reopen: Reopen, path: Path) -> None:
    state = await reopen()
    await state.next_run_id()
    await state.close()
    note = path.with_name("run-number")
    note.rename(note.with_name("older"))
    note.mkdir()
    state = await reopen()
    assert [await state.next_run_id() for _ in range(3 * AHEAD)] == list(range(2, 3 * AHEAD + 2))
    await killed(state)
    note.rmdir()
    note.with_name("older").rename(note)  # it says less than was handed out
    state = await reopen()
    assert await state.next_run_id() > 3 * AHEAD + 1
    await state.close()


async def test_old_output_goes_first_then_old_runs(state: StateDB) -> None:
    now = 200 * DAY
    ages = {1: 100, 2: 89, 3: 15, 4: 13, 5: 0}
    await state.apply([], [piece(n) for n in ages], [done(n, at=now - age * DAY) for n, age in ages.items()])
    await state.apply([run_row(6, queued_at=0.0)], [piece(6)], [])
    assert await state.prune(now) == Pruned(outputs=3, runs=1)
    assert [row.id for row in await state.runs(limit=9)] == [6, 5, 4, 3, 2]
    assert [(row.id, row.output_complete) for row in await state.runs(limit=9)] == [
        (6, True),
        (5, True),
        (4, True),
        (3, False),
        (2, False),
    ]
    assert await state.output_bytes() == 18
    assert await state.prune(now) == Pruned()


def left(run_id: int, name: str = "a.txt", data: bytes = b"content") -> FileRow:
    return FileRow(run_id, name, len(data), "5a", data)


async def test_files_are_kept_with_their_run(state: StateDB) -> None:
    for _ in range(2):
        await state.apply([], [piece(1)], [done(1), done(2)], [left(1, "z"), left(1, "a/b", b"\0\xff"), left(2)])
        assert await state.output_bytes() == 6 + 7 + 2 + 7
    assert await state.files([1, 2, 3]) == {
        1: [FileRow(1, "z", 7, "5a"), FileRow(1, "a/b", 2, "5a")],
        2: [FileRow(2, "a.txt", 7, "5a")],
    }
    assert await state.files([]) == {}
    assert await state.file(1, "a/b") == left(1, "a/b", b"\0\xff")
    assert await state.file(1, "b") is None
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await state.apply([], [], [], [left(9)])


async def test_files_go_with_the_output_and_their_names_with_the_run(state: StateDB) -> None:
    now = 200 * DAY
    ages = {1: 100, 2: 20, 3: 1}
    await state.apply([], [], [done(n, at=now - age * DAY) for n, age in ages.items()], [left(n) for n in ages])
    assert await state.prune(now) == Pruned(outputs=2, runs=1)
    assert [row.output_complete for row in await state.runs(limit=9)] == [True, True], "there was no output to lose"
    assert await state.output_bytes() == 7
    assert await state.files([1, 2, 3]) == {2: [FileRow(2, "a.txt", 7, "5a")], 3: [FileRow(3, "a.txt", 7, "5a")]}
    assert await state.file(2, "a.txt") == FileRow(2, "a.txt", 7, "5a", None)
    assert await state.file(3, "a.txt") == left(3)
    assert await state.prune(now, Retention(output_bytes=6)) == Pruned(outputs=1)
    assert await state.file(3, "a.txt") == FileRow(3, "a.txt", 7, "5a", None)
    assert await state.prune(now, Retention(output_bytes=6)) == Pruned()


async def test_output_above_its_size_goes_oldest_first_and_the_file_shrinks(state: StateDB, path: Path) -> None:
    text = "x" * 100_000
    for number in range(1, 31):
        await state.apply([], [piece(number, 0, text)], [done(number, at=float(number))])
    await state._database.checkpoint()
    before = path.stat().st_size
    assert await state.prune(now=40.0, keep=Retention(output_bytes=500_000)) == Pruned(outputs=25)
    assert [row.id for row in await state.runs(limit=99) if row.output_complete] == [30, 29, 28, 27, 26]
    assert await state.output_bytes() == 500_000
    await state._database.checkpoint()
    assert path.stat().st_size < before / 3


async def test_the_log_is_checkpointed_while_working(state: StateDB, path: Path) -> None:
    wal = Path(f"{path}-wal")
    largest = 0
    for number in range(1, 61):
        await state.apply([], [piece(number, 0, "x" * 500_000)], [done(number)])
        largest = max(largest, wal.stat().st_size)
    assert largest < 3 * WAL_BYTES
    assert path.stat().st_size > 20_000_000


async def test_a_cancelled_record_is_whole_or_absent_and_locks_nobody_out(state: StateDB) -> None:
    chance = random.Random(1)
    kept: set[int] = set()

    async def record(run_id: int) -> None:
        await state.apply([], [piece(run_id, seq) for seq in range(20)], [done(run_id)])
        kept.add(run_id)

    tasks = [asyncio.create_task(record(run_id)) for run_id in range(1, 301)]
    for task in tasks:
        if chance.random() < 0.5:
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = sum(task.cancelled() for task in tasks)
    assert cancelled > 50
    assert len(kept) == 300 - cancelled
    await state.apply([], [], [done(999)])  # after every transaction that went on without its caller
    found = {row.id for row in await state.runs(limit=1000)} - {999}
    assert kept <= found
    assert [len(await state.output(run_id)) for run_id in sorted(found)] == [20] * len(found)
    assert await state.output_bytes() == 20 * 6 * len(found)


async def test_a_failure_nobody_waits_for_is_logged(state: StateDB, caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(state.apply([], [piece(77)], []))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await state.apply([], [], [done(1)])
    await asyncio.sleep(0)
    assert "FOREIGN KEY" in caplog.text


async def test_reads_go_on_beside_writes_and_see_whole_groups(state: StateDB) -> None:
    stop = asyncio.Event()
    seen: list[int] = []

    async def read() -> None:
        while not stop.is_set():
            rows = await state.runs(limit=10_000)
            assert len(rows) % 5 == 0, "half a group"
            seen.append(len(rows))

    readers = [asyncio.create_task(read()) for _ in range(4)]
    for group in range(60):
        await state.apply([], [], [done(group * 5 + number + 1) for number in range(5)])
    stop.set()
    await asyncio.gather(*readers)
    assert len(set(seen)) > 5, "the readers never saw the writer at work"


async def test_a_full_disk_is_said_and_reading_goes_on(state: StateDB) -> None:
    await state.apply([], [piece(1)], [done(1)])

    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 5}")

    await state._database.write(limit)
    with pytest.raises(LowDisk, match="disk is full"):
        await state.apply([], [piece(2, 0, "x" * 1_000_000)], [done(2)])
    assert await state.run(2) is None
    assert await state.output(1) == [piece(1)]
    await state._database.write(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchall())
    await state.apply([], [piece(2, 0, "x" * 1_000_000)], [done(2)])


def _page_garbage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start + 8 : start + 1024] = os.urandom(1016)
    path.write_bytes(data)


def _garbage_in_the_schema(path: Path) -> None:
    """Break a statement of the schema and the name that SQLite's error message then quotes: it is not UTF-8."""
    data, found = re.subn(rb"tablerunrun(.)CREATE TABLE", b"table\x89\xffnrun\\1CREATE TABEL", path.read_bytes())
    assert found == 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"not a database at all" * 500),
        lambda path: path.write_bytes(b"\x00" * path.stat().st_size),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        _page_garbage,
        _garbage_in_the_schema,
    ],
    ids=["text", "zeros", "truncated", "pages", "schema"],
)
async def test_a_damaged_file_is_set_aside_and_said(reopen: Reopen, path: Path, harm: Any) -> None:
    state = await reopen()
    await state.apply([], [piece(n, 0, "x" * 5_000) for n in range(1, 40)], [done(n) for n in range(1, 40)])
    await state.close()
    harm(path)
    damaged = path.read_bytes()
    state = await reopen()
    try:
        assert len(state.problems) == 1
        aside = [entry for entry in path.parent.iterdir() if entry.name.startswith("state.db.damaged-")]
        assert len(aside) == 1
        assert aside[0].name in state.problems[0]
        assert aside[0].read_bytes() == damaged
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await state.runs(limit=9) == []
        await state.apply([], [piece(1)], [done(1)])
    finally:
        await state.close()


async def test_an_emptied_file_is_said(reopen: Reopen, path: Path) -> None:
    await (await reopen()).close()
    os.truncate(path, 0)
    state = await reopen()
    await state.close()
    assert "was empty" in state.problems[0]


def _sqlite(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_a_newer_schema_and_a_foreign_database_are_refused_and_not_touched(reopen: Reopen, path: Path) -> None:
    await (await reopen()).close()
    _sqlite(path, "PRAGMA user_version=99")
    before = path.read_bytes()
    known = len(migrations.scripts())
    with pytest.raises(StoreError, match=rf"newer Gatewright \(schema 99, this one knows {known}\)"):
        await reopen()
    assert path.read_bytes() == before
    path.unlink()
    _sqlite(path, "CREATE TABLE t (a)")
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        await reopen()
    assert path.read_bytes() == before
    assert names(path.parent) == ["run-number", "state.db"]


async def test_a_link_and_a_file_open_to_others_are_refused(reopen: Reopen, path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="not an ordinary file"):
        await reopen()
    path.unlink()
    await (await reopen()).close()
    path.chmod(0o640)
    with pytest.raises(StoreError, match="Other accounts") as refusal:
        await reopen()
    assert refusal.value.hint == f"Run: chmod 600 '{path}'"


async def test_the_files_are_private_and_the_settings_hold(reopen: Reopen, path: Path) -> None:
    old = os.umask(0)
    try:
        state = await reopen()
        await state.apply([], [], [done(1)])
    finally:
        os.umask(old)
    assert {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {
        "state.db": 0o600,
        "state.db-wal": 0o600,
        "state.db-shm": 0o600,
        "run-number": 0o600,
    }
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "application_id", "trusted_schema")
    found = await state._database.write(lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas])
    assert found == ["wal", 2, 1, 0, APPLICATION_ID, 0]
    with pytest.raises(StoreError, match="readonly"):
        await state._database.read(lambda c: c.execute("DELETE FROM run").fetchall())
    await state.close()


async def test_a_failed_migration_leaves_the_file_as_it_was(
    reopen: Reopen, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = await reopen()
    await state.apply([], [], [done(1)])
    await state.close()
    with monkeypatch.context() as patch:
        from store import migrations

        broken = [*migrations.scripts(), "ALTER TABLE run ADD COLUMN new TEXT; CREATE TABLE nonsense;"]
        patch.setattr("store.migrations.scripts", lambda: broken)
        with pytest.raises(StoreError):
            await reopen()
    state = await reopen()
    assert await state.run(1) == done(1)
    await state.close()


def _database_threads() -> list[threading.Thread]:
    """Not daemon threads: one that is left would keep the process from ever ending."""
    return [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]


async def test_after_closing_everything_is_a_sentence_and_no_thread_is_left(reopen: Reopen, path: Path) -> None:
    state = await reopen()
    assert _database_threads()
    await state.close()
    await state.close()
    with pytest.raises(StoreError, match=r"state\.db is closed"):
        await state.run(1)
    with pytest.raises(StoreError, match=r"state\.db is closed"):
        await state.apply([], [], [done(1)])
    for thread in _database_threads():
        thread.join(5)  # it answers first and ends then
    assert _database_threads() == []


def test_migrations_are_numbered_one_by_one() -> None:
    names = sorted(path.name for path in (Path(migrations.__file__).parent).glob("*.sql"))
    assert [int(name[:3]) for name in names] == list(range(1, len(names) + 1))


async def test_a_filter_finds_what_trying_every_run_finds(state: StateDB, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("MANY", 7), ("MOST_NAMES", 6), ("MOST_FOUND", 3)):
        monkeypatch.setattr(f"store.state.run_filter.{name}", few)
    monkeypatch.setattr("store.state.run_filter.SLACK", 3.0)
    rng = random.Random(15)
    for names in (["A.py", "b c.py", "lib/a.py", "c"], [f"n{number}.py" for number in range(9)]):
        begun = (await state.runs(limit=1) or [run_row(0)])[0].id
        runs = [
            run_row(
                begun + number, name=rng.choice(names), outcome=rng.choice(["ok", "ok", "ok", "timeout"]),
                state="finished", actor=rng.choice(["anna", "anna", "ben"]), queued_at=begun + number + rng.random(),
            )
            for number in range(1, 41)
        ]  # fmt: skip
        await state.apply([], [], runs)
        everything = await state.runs(limit=500)
        for _ in range(150):
            asked: dict[str, Any] = {
                "name": rng.choice([None, None, "A.py", "none"]),
                "part": rng.choice([None, "A", ".py", "zz", "n1", ""]),
                "outcome": rng.choice([None, "ok", "timeout", "memory"]),
                "actor": rng.choice([None, "anna", "ben", "x"]),
                "since": rng.choice([None, 5.0, 70.5, 1e6]), "until": rng.choice([None, 30.5, 1.0, 1e6]),
            }  # fmt: skip
            before, limit = rng.choice([None, 30, 65]), rng.choice([3, 500])
            expected = [
                row.id
                for row in everything
                if (before is None or row.id < before)
                and all(asked[key] in (None, getattr(row, key)) for key in ("name", "outcome", "actor"))
                and (asked["part"] or "").lower() in row.name.lower()
                and (asked["since"] or 0.0) <= row.queued_at < (asked["until"] or 1e9)
            ]
            found = await state.runs(limit=limit, before=before, wanted=RunFilter(**asked))
            assert [row.id for row in found] == expected[:limit], asked
