"""Searching the audit record: what is asked for is found, all of it, newest first, page by page."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.services.access import Actor, Role
from engine.services.audit import AuditService
from store.state import audit
from store.state.audit import AuditEvent
from store.state.audit_filter import AuditFilter
from store.state.database import StateDB

ALICE = Actor("alice", 1000, Role.ADMIN)
EVENTS = (
    AuditEvent(10.0, "alice", 1, "cli", "save", "line1/pump.py", json.dumps({"sha256": "ab"})),
    AuditEvent(20.0, "token:scada", -1, "rest", "run", "#7 line1/pump.py", json.dumps({"outcome": "script_error"})),
    AuditEvent(30.0, "scada", 2, "cli", "run", "#71 line1/pump.py", json.dumps({"outcome": "ok"})),
    AuditEvent(25.0, "token:scada", -1, "rest", "denied", "pool.resize", json.dumps({"needs": "admin"})),
    AuditEvent(40.0, "alice", 1, "console", "admin_run", "#72 <exec>", json.dumps({"why": "Prüfung 100%"})),
    AuditEvent(50.0, "bob", 3, "permissions", "approved", "line1/pump_py", json.dumps({"grants": "read /srv"})),
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def state(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StateDB]:
    """Records that no test of this file adds to."""
    opened = await StateDB.open(tmp_path_factory.mktemp("state") / "state.db")
    await opened.audit.append(EVENTS)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(), [6, 5, 4, 3, 2, 1]),
        (AuditFilter(who="alice"), [5, 1]),
        (AuditFilter(who="scada"), [4, 3, 2]),
        (AuditFilter(who="token:scada"), [4, 2]),
        (AuditFilter(who="ghost"), []),
        (AuditFilter(action="run"), [3, 2]),
        (AuditFilter(action="run", who="scada", since=25), [3]),
        (AuditFilter(subject="line1/pump.py"), [3, 2, 1]),
        (AuditFilter(subject="#7"), [2]),
        (AuditFilter(subject="<exec>"), [5]),
        (AuditFilter(since=25.0), [6, 5, 4, 3]),
        (AuditFilter(until=25.0), [2, 1]),
        (AuditFilter(since=25.0, until=30.0), [4]),
        (AuditFilter(since=51.0), []),
        (AuditFilter(what="ADMIN run"), [5]),
        (AuditFilter(what="admin_run"), [5]),
        (AuditFilter(what="refused pool"), [4]),
        (AuditFilter(what="run error"), [2]),
        (AuditFilter(what="PRÜFUNG"), []),
        (AuditFilter(what="Prüfung"), [5]),
        (AuditFilter(what="100%"), [5]),
        (AuditFilter(what="pump_py"), [6]),
        (AuditFilter(text="/SRV"), [6]),
        (AuditFilter(text="rest"), [4, 2]),
        (AuditFilter(text="line1 pump"), []),
        (AuditFilter(text="!"), []),
        (AuditFilter(who="\udc80", what="\udc80", action="\udc80", subject="\udc80", text="\udc80"), []),
        (AuditFilter(subject="#"), []),
        (AuditFilter(since=float("nan")), []),
    ],
)
@pytest.mark.parametrize("scanned", [1, 2, 20_000])
async def test_what_is_wanted_is_found_whole_or_page_by_page(
    state: StateDB, monkeypatch: pytest.MonkeyPatch, wanted: AuditFilter, found: list[int], scanned: int
) -> None:
    monkeypatch.setattr(audit, "SCANNED", scanned)
    assert [row.seq for row in await state.audit.find(wanted, 10)] == found
    paged: list[int] = []
    before = None
    while page := await state.audit.find(wanted, 1, before):
        paged += [row.seq for row in page]
        before = page[-1].seq
    assert paged == found


async def test_a_search_is_asked_for_with_all_of_its_fields(state: StateDB) -> None:
    service = AuditService(state.audit, None)
    listed = await service.list(
        ALICE, 1, who="scada", what="run", action="run", subject="line1/pump.py", since=1.0, until=100.0, text="pump"
    )
    assert ([one.seq for one in listed.records], listed.next_before) == ([3], 3)
    older = await service.list(ALICE, 1, 3, who="scada", action="run")
    assert ([one.seq for one in older.records], older.next_before) == ([2], None)
    assert older.records[0].prev == (await state.audit.newest(1, before=2))[0].sha256


async def test_what_an_index_knows_is_not_read_record_by_record(state: StateDB) -> None:
    indexed = {
        "audit_by_actor": AuditFilter(who="token:scada"),
        "audit_by_action": AuditFilter(action="save"),
        "audit_by_name": AuditFilter(subject="line1/pump.py"),
    }
    for (name, wanted), (terms, values) in itertools.chain.from_iterable(
        zip(itertools.repeat(one), one[1].terms(), strict=False) for one in indexed.items()
    ):
        assert not wanted.scans
        query = f"EXPLAIN QUERY PLAN SELECT * FROM audit WHERE seq BETWEEN 1 AND 9 {terms} ORDER BY seq DESC"
        plan = await state._database.read(
            lambda connection, query=query, values=values: connection.execute(query, values).fetchall()  # type: ignore[misc]
        )
        told = " ".join(row[3] for row in plan)
        assert name in told, told
        assert "TEMP B-TREE" not in told, "the index has the order"
