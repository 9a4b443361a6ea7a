"""The audit chain: any change, gap or lost end is found; the engine's own hands cannot change anything in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from engine.services.access import Actor, Role, ServiceError
from engine.services.audit import AuditService
from store.errors import StoreError
from store.state.audit import PAGE, AuditEvent
from store.state.audit_export import DAY
from store.state.database import StateDB

ALICE = Actor("alice", 1000, Role.ADMIN)


def happened(n: int) -> AuditEvent:
    return AuditEvent(float(n) + 0.1, "alice\udc80", 1000, "cli", "save", f"s{n}.py", '{"sha256": "ab"}')


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDB]:
    opened = await StateDB.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def harmed(state: StateDB, *statements: str) -> str | None:
    """What is found after somebody with the file in hand changed it."""

    def work(connection: sqlite3.Connection) -> None:
        for name in ("audit_unchanged", "audit_kept"):
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            connection.execute(statement)

    await state._database.write(work)
    return await state.audit.verify()


async def test_a_chain_is_consistent_over_many_pages_and_many_appends(state: StateDB) -> None:
    assert await state.audit.verify() is None
    await state.audit.append([happened(n) for n in range(PAGE + 3)])
    await state.audit.append([happened(1)])
    assert await state.audit.verify() is None
    assert await state.audit.verify(last=5) is None
    piece = await state.audit.check(PAGE, 2)
    assert (piece.newest, piece.last, piece.problem) == (PAGE + 4, PAGE + 2, None)
    newest = await state.audit.newest(2)
    assert [row.seq for row in newest] == [PAGE + 4, PAGE + 3]
    assert newest[0].prev == newest[1].sha256
    assert newest[0].actor == "alice\\udc80"


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE seq = 3", "Audit record 3 was changed"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 5", "Audit record 5 was changed"),
        ("UPDATE audit SET prev = sha256 WHERE seq = 2", "Audit record 2 was changed"),
        ("DELETE FROM audit WHERE seq = 4", "Audit record 4 is missing"),
        ("DELETE FROM audit WHERE seq = 1", "Audit record 1 is missing"),
        ("DELETE FROM audit WHERE seq > 4", "Audit records after 4 are missing: there were 6."),
        ("DELETE FROM audit", "Audit records after 0 are missing: there were 6."),
    ],
)
async def test_every_harm_is_found_and_named(state: StateDB, statement: str, sentence: str) -> None:
    await state.audit.append([happened(n) for n in range(6)])
    await state.audit.note_head()
    found = await harmed(state, statement)
    assert found is not None
    assert sentence in found


ODD = {
    "not UTF-8": "detail = CAST(x'7bff7d' AS TEXT)",
    "bytes": "detail = x'00ff', actor = x'ff'",
    "a time that is none": "at = 9e999",
    "an account that is none": "uid = 1.5",
    "many characters": "detail = json_object('a', printf('%.*c', 3000000, 'x'))",
    "a deep detail": """detail = '{"a":' || replace(printf('%.*c', 99999, 'x'), 'x', '[')""",
    "a large number": """detail = '{"a": ' || replace(printf('%.*c', 99, 'x'), 'x', '9') || '}'""",
    "half a character": r"""detail = '{"a": "\udcff"}'""",
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
async def test_what_no_record_of_ours_has_is_named_at_once_and_the_rest_is_listed(state: StateDB, change: str) -> None:
    audit = AuditService(state.audit, None)
    for number in range(9):
        audit.tell(ALICE, "cli", "save", f"{number}.py")
    await audit.flush()
    await harmed(state, f"UPDATE audit SET {change} WHERE seq = 5")
    before = time.process_time()
    assert (await audit.verify(ALICE)).problem == "Audit record 5 was changed."
    assert time.process_time() - before < 5  # tried at each of twenty thousand places, the long one takes minutes
    found = await audit.list(ALICE)
    again = msgspec.json.decode(msgspec.json.encode(found), type=type(found))
    assert [one.seq for one in again.records] == list(range(9, 0, -1))
    after = AuditService(state.audit, None)
    await after.start(ALICE)
    assert after.problem == "Audit record 5 was changed."


@pytest.mark.parametrize(
    ("seq", "sentence"),
    [
        (0, "Audit record 0 was added: the first one has number 1."),
        (-7, "Audit record -7 was added: the first one has number 1."),
        (1 << 62, "Audit records 10 to "),
        ((1 << 63) - 1, "Audit records 10 to "),
    ],
)
async def test_a_record_far_from_the_others_is_named_and_a_search_ends(state: StateDB, seq: int, sentence: str) -> None:
    audit = AuditService(state.audit, None)
    for number in range(9):
        audit.tell(ALICE, "cli", "save", f"{number}.py")
    await audit.flush()
    columns = "at, actor, uid, source, action, subject, detail, prev, sha256"
    await harmed(state, f"INSERT INTO audit (seq, {columns}) SELECT {seq}, {columns} FROM audit WHERE seq = 5")
    assert str((await audit.verify(ALICE)).problem).startswith(sentence)
    async with asyncio.timeout(20):
        assert len((await audit.list(ALICE, text=".py")).records) == 10
        assert (await audit.list(ALICE, text="nowhere")).records == []
    after = AuditService(state.audit, None)
    await after.start(ALICE)  # an engine that would not start could not say it
    assert after.problem


async def test_a_piece_that_begins_where_a_record_is_missing_says_so(state: StateDB) -> None:
    await state.audit.append([happened(n) for n in range(6)])
    await harmed(state, "DELETE FROM audit WHERE seq = 3")
    assert (await state.audit.check(3)).problem == "Audit record 3 is missing."
    assert (await state.audit.check(4)).problem is None


async def test_another_record_in_place_of_the_newest_is_found(state: StateDB) -> None:
    await state.audit.append([happened(n) for n in range(3)])
    await state.audit.note_head()
    assert await harmed(state, "DELETE FROM audit WHERE seq = 3") is not None
    await state.audit.append([happened(99)])
    assert await state.audit.verify() == "Audit record 3 is not the one that was noted."


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
async def test_the_engine_itself_cannot_change_or_remove_records(state: StateDB, statement: str) -> None:
    await state.audit.append([happened(1)])
    with pytest.raises(StoreError, match="audit records are never"):
        await state._database.write(lambda connection: connection.execute(statement))
    assert await state.audit.verify() is None


async def test_what_cannot_be_written_waits_and_is_said(state: StateDB, monkeypatch: pytest.MonkeyPatch) -> None:
    service = AuditService(state.audit, state.audit_export)
    append = state.audit.append

    async def refused(_events: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(state.audit, "append", refused)
    service.tell(ALICE, "cli", "save", "a.py", sha256="ab")
    await service.flush()
    assert service.problem == "Audit records cannot be written: The disk is full."
    monkeypatch.setattr(state.audit, "append", append)
    await service.flush()
    assert service.problem is None
    (record,) = (await service.list(ALICE)).records
    assert (record.actor, record.action, record.subject, record.detail) == ("alice", "save", "a.py", {"sha256": "ab"})


async def test_only_administrators_read_it(state: StateDB) -> None:
    service = AuditService(state.audit, state.audit_export)
    author = Actor("bob", 1001, Role.AUTHOR)
    calls: list[Callable[[Actor], object]] = [service.list, service.verify]
    for call in calls:
        with pytest.raises(ServiceError, match="may not"):
            await call(author)  # type: ignore[misc]


async def test_a_broken_chain_is_said_at_the_next_start(state: StateDB) -> None:
    service = AuditService(state.audit, state.audit_export)
    await service.start(ALICE)
    await service.stop(ALICE)
    assert service.problem is None
    await harmed(state, "UPDATE audit SET actor = 'bob' WHERE seq = 1")
    again = AuditService(state.audit, state.audit_export)
    await again.start(ALICE)
    assert again.problem == "Audit record 1 was changed."


async def test_what_is_a_day_old_is_exported_once_and_whole(state: StateDB, tmp_path: Path) -> None:
    export, folder = state.audit_export, tmp_path / "audit"
    assert await export.bring_up_to_date(now=1e9) == 0
    await state.audit.append([happened(n) for n in range(PAGE + 3)])
    assert await export.bring_up_to_date(now=DAY) == 0
    assert list(folder.iterdir()) == []
    assert await export.bring_up_to_date(now=DAY + 1) == PAGE + 3
    assert await export.bring_up_to_date(now=1e9) == 0
    await state.audit.append([happened(7)])
    assert await export.bring_up_to_date(now=1e9) == 1
    names = ["000000001-000001000.jsonl", "000001001-000001003.jsonl", "000001004-000001004.jsonl"]
    assert sorted(file.name for file in folder.iterdir()) == names
    records = [json.loads(line) for name in names for line in (folder / name).read_text().splitlines()]
    assert [record["seq"] for record in records] == list(range(1, PAGE + 5))
    assert [record["prev"] for record in records[1:]] == [record["sha256"] for record in records[:-1]]
    assert records[0]["detail"] == {"sha256": "ab"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    for name in names:
        (folder / name).unlink()  # collected
    assert await export.bring_up_to_date(now=1e9) == 0


async def test_an_export_that_cannot_be_written_is_a_sentence(state: StateDB, tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("in the way")
    await state.audit.append([happened(1)])
    with pytest.raises(StoreError, match="exported audit records"):
        await state.audit_export.bring_up_to_date(now=1e9)


async def test_the_engine_exports_by_itself(state: StateDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await state.audit.append([happened(1)])
    export, looked = state.audit_export.bring_up_to_date, asyncio.Event()

    async def look(now: float) -> int:
        count = await export(now)
        looked.set()
        return count

    monkeypatch.setattr(state.audit_export, "bring_up_to_date", look)
    service = AuditService(state.audit, state.audit_export)
    running = asyncio.create_task(service.run())
    service.tell(ALICE, "engine", "start")
    await asyncio.wait_for(looked.wait(), 20)
    assert [file.name for file in tmp_path.glob("audit/*.jsonl")] == ["000000001-000000002.jsonl"]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
