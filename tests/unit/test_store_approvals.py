"""Decisions about permissions in ``state.db``: what counts, what becomes history, what older files become."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store import migrations
from store.database import Database
from store.state.database import StateDB
from store.state.rows import ApprovalRow, RunRow

RUN = RunRow(
    id=1, kind="exec", name="x", state="finished", mode="RESTRICTED", actor="ann", source="cli", queued_at=1.0,
    timeout=9.0, code_sha256="0" * 64, isolation="full", finished_at=2.0,
)  # fmt: skip


def row(script: str = "a.py", sha256: str = "1", state: str = "approved", **fields: Any) -> ApprovalRow:
    values: dict[str, Any] = {
        "script": script, "sha256": sha256, "state": state, "asked": "[]", "grants": "[]", "uid": 1000, "name": "ann",
        "text": sha256.encode() if state == "approved" else None, "decided_at": 1.0,
    }  # fmt: skip
    return ApprovalRow(**{**values, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def state(path: Path) -> AsyncIterator[StateDB]:
    opened = await StateDB.open(path)
    yield opened
    await opened.close()


async def test_the_last_decision_counts_and_the_others_are_kept(state: StateDB) -> None:
    approvals = state.approvals
    assert await approvals.in_force("a.py") is await approvals.last_approval("a.py") is None
    await approvals.decide(row(sha256="1"))
    await approvals.decide(row(sha256="2", decided_at=2.0))
    await approvals.decide(row(sha256="3", state="refused", decided_at=3.0))
    await approvals.decide(row("b.py", sha256="9"))
    in_force, last = await approvals.in_force("a.py"), await approvals.last_approval("a.py")
    assert in_force == row(sha256="3", state="refused", decided_at=3.0)
    assert last == row(sha256="2", decided_at=2.0, superseded_at=3.0)
    assert [(one.sha256, one.superseded_at, one.text) for one in await approvals.history("a.py")] == [
        ("3", None, None), ("2", 3.0, None), ("1", 2.0, None),
    ]  # fmt: skip
    assert await approvals.approved() == {"b.py": "9"}


async def test_only_the_text_of_the_last_approval_is_kept(state: StateDB, path: Path) -> None:
    for number in range(3):
        await state.approvals.decide(row(sha256=str(number)))
    connection = sqlite3.connect(path)
    texts = [text for (text,) in connection.execute("SELECT text FROM approval ORDER BY id")]
    connection.close()
    assert texts == [None, None, b"2"]
    in_force = await state.approvals.in_force("a.py")
    assert in_force is not None
    assert in_force.text is None, "a run does not need the text, which may be large"


async def test_decisions_at_once_leave_one_in_force(state: StateDB) -> None:
    await asyncio.gather(*(state.approvals.decide(row(sha256=str(number))) for number in range(20)))
    history = await state.approvals.history("a.py")
    assert len(history) == 20
    assert sum(one.superseded_at is None for one in history) == 1


async def test_a_cancelled_decision_is_whole_or_nothing(state: StateDB) -> None:
    task = asyncio.create_task(state.approvals.decide(row()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await state.approvals.decide(row("b.py"))
    assert len(await state.approvals.history("a.py")) <= 1
    assert "b.py" in await state.approvals.approved()


async def test_decisions_and_grants_survive_opening_again(path: Path) -> None:
    grants = '[{"access":"read","path":"/srv/logs"}]'
    state = await StateDB.open(path)
    await state.approvals.decide(row(text=b"\xff\0text", asked=grants, grants=grants))
    run = RunRow(**{**{name: getattr(RUN, name) for name in RUN.__slots__}, "grants": grants})
    await state.apply([], [], [run])
    await state.close()
    again = await StateDB.open(path)
    last = await again.approvals.last_approval("a.py")
    assert last is not None
    assert (last.text, last.grants) == (b"\xff\0text", grants)
    found = await again.run(1)
    assert found is not None
    assert found.grants == grants
    assert (await again.runs(10))[0].grants == grants
    await again.close()


async def test_a_database_of_the_first_version_keeps_its_runs(path: Path) -> None:
    old = await Database.open(path, migrations.scripts()[:1])
    columns = await old.read(lambda connection: connection.execute("PRAGMA table_info(run)").fetchall())
    names = [column[1] for column in columns if column[1] in RUN.__slots__]
    insert = f"INSERT INTO run ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"
    await old.write(lambda connection: connection.execute(insert, [getattr(RUN, name) for name in names]))
    await old.write(
        lambda connection: connection.execute("INSERT INTO output VALUES (1, 0, 'stdout', 1.0, ?)", (b"hello",))
    )
    await old.close()
    state = await StateDB.open(path)
    assert await state.run(1) == RUN
    assert [piece.text for piece in await state.output(1)] == ["hello"]
    await state.approvals.decide(row())
    assert await state.approvals.approved() == {"a.py": "1"}
    assert await state.next_run_id() == 2
    await state.close()


async def test_another_state_than_two_is_refused_and_changes_nothing(state: StateDB) -> None:
    await state.approvals.decide(row())
    with pytest.raises(Exception, match="CHECK"):
        await state.approvals.decide(row(state="perhaps", sha256="2"))
    assert await state.approvals.approved() == {"a.py": "1"}
