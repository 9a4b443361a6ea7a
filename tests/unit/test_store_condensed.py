"""Rows that stand for many runs: found by the numbers they have, and gone with the run whose record they belong to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store.state.audit import AuditEvent
from store.state.condensed import CondensedRow
from store.state.database import StateDB
from store.state.pruning import Retention
from store.state.rows import RunRow


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDB]:
    opened = await StateDB.open(tmp_path / "state.db")
    yield opened
    await opened.close()


def run(run_id: int, at: float) -> RunRow:
    return RunRow(
        id=run_id, kind="script", name="job.py", state="finished", mode="RESTRICTED", actor="token:scada",
        source="rest", queued_at=at, finished_at=at, timeout=30.0, code_sha256="c" * 64, outcome="ok",
    )  # fmt: skip


def row(run_id: int, *ids: tuple[int, int], **fields: Any) -> CondensedRow:
    given: dict[str, Any] = {
        "runs": 2, "failures": 0, "shortest": 0.1, "total": 0.2, "longest": 0.1, "first_at": 1.0, "last_at": 2.0,
        "last_id": max([run_id, *(last for _, last in ids)]), "inputs": "{}",
    }  # fmt: skip
    return CondensedRow(run_id=run_id, ids=json.dumps(ids), **(given | fields))


async def test_a_run_without_a_record_is_found_in_the_row_that_has_it(state: StateDB) -> None:
    await state.apply([], [], [run(1, 1.0), run(5, 2.0), run(20, 3.0)])
    await state.note_condensed([row(1, (2, 4), (7, 9)), row(5, (6, 6), (10, 12)), row(20, (14, 19))], [])
    holders = {}
    for run_id in range(1, 23):
        found = await state.condensed.holder_of(run_id)
        holders[run_id] = None if found is None else found.run_id
    assert [run_id for run_id, holder in holders.items() if holder == 1] == [2, 3, 4, 7, 8, 9]
    assert [run_id for run_id, holder in holders.items() if holder == 5] == [6, 10, 11, 12]
    assert [run_id for run_id, holder in holders.items() if holder == 20] == [14, 15, 16, 17, 18, 19]
    assert set(await state.condensed.of([1, 2, 20])) == {1, 20}


async def test_a_row_is_written_again_and_told_the_audit_once(state: StateDB) -> None:
    await state.apply([], [], [run(1, 1.0)])
    await state.note_condensed([row(1, (2, 2))], [])
    assert [one.run_id for one in await state.condensed.unaudited()] == [1]
    entry = AuditEvent(at=1.0, actor="token:scada", uid=-1, source="rest", action="run", subject="#1 job.py")
    await state.note_condensed([row(1, (2, 3), runs=3, audited=True)], [entry])
    assert await state.condensed.unaudited() == []
    assert (await state.condensed.of([1]))[1].runs == 3
    assert [one.subject for one in await state.audit.newest(5)] == ["#1 job.py"]


async def test_a_row_goes_with_its_run_and_does_not_come_back(state: StateDB) -> None:
    await state.apply([], [], [run(1, 1.0), run(2, 1e9)])
    await state.note_condensed([row(1, (3, 3)), row(2, (4, 4))], [])
    await state.prune(1e9 + 1, Retention(run_age=1000.0))
    assert set(await state.condensed.of([1, 2])) == {2}
    await state.note_condensed([row(1, (3, 5))], [])
    assert set(await state.condensed.of([1, 2])) == {2}
