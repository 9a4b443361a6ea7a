"""Rows about replaced versions: announced, settled, carried along by a rename, forgotten when there are too many."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store import migrations
from store.database import APPLICATION_ID
from store.state.database import StateDB
from store.state.rows import VersionRow
from store.state.versions import BATCH, KEPT


def row(script: str = "a.py", sha256: str = "1", reason: str = "saved", **fields: Any) -> VersionRow:
    values: dict[str, Any] = {
        "script": script, "path": script, "sha256": sha256, "size": 1, "reason": reason, "uid": 1000, "name": "ann",
        "at": 1.0,
    }  # fmt: skip
    return VersionRow(**{**values, **fields})


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDB]:
    opened = await StateDB.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def test_what_is_announced_is_there_at_once_and_open_until_it_is_settled(state: StateDB) -> None:
    versions = state.versions
    first = await versions.announce(row(sha256="1"))
    second = await versions.announce(row(sha256="2", reason="deleted"))
    assert [one.sha256 for one in await versions.of("a.py")] == ["2", "1"]
    assert [one.id for one in await versions.unsettled()] == [first, second]
    assert await versions.settle(first) == []
    await versions.withdraw(second)
    assert await versions.unsettled() == []
    assert await versions.of("a.py") == [row(sha256="1", id=first)]
    assert await versions.settle(second) == [], "withdrawn before"


async def test_a_renamed_script_takes_its_versions_along(state: StateDB) -> None:
    versions = state.versions
    await versions.settle(await versions.announce(row("b.py", "0", "deleted")))
    await versions.settle(await versions.announce(row("a.py", "1")))
    move = await versions.announce(row("a.py", "2", "renamed", new_path="b.py"))
    assert len(await versions.of("a.py")) == 2
    await versions.settle(move)
    assert await versions.of("a.py") == []
    assert [(one.sha256, one.path) for one in await versions.of("b.py")] == [
        ("2", "a.py"), ("1", "a.py"), ("0", "b.py"),
    ]  # fmt: skip


async def test_the_oldest_are_forgotten_and_their_bytes_only_if_nobody_names_them(state: StateDB) -> None:
    versions = state.versions
    for number in range(KEPT):
        assert await versions.settle(await versions.announce(row(sha256=str(number)))) == []
    await versions.settle(await versions.announce(row("b.py", "1")))
    assert await versions.settle(await versions.announce(row(sha256="x"))) == ["0"]
    assert await versions.settle(await versions.announce(row(sha256="2"))) == [], "another script has it"
    assert await versions.settle(await versions.announce(row(sha256="y"))) == [], "a newer version is the same"
    assert len(await versions.of("a.py")) == KEPT


async def test_an_unknown_reason_is_not_recorded(state: StateDB) -> None:
    with pytest.raises(Exception, match="CHECK"):
        await state.versions.announce(row(reason="whim"))
    assert await state.versions.of("a.py") == []


async def test_an_older_database_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    for script in migrations.scripts()[:3]:
        connection.executescript(script)
    connection.executescript(f"PRAGMA user_version=3; PRAGMA application_id={APPLICATION_ID};")
    connection.close()
    path.chmod(0o600)
    state = await StateDB.open(path)
    try:
        await state.versions.announce(row())
        assert len(await state.versions.of("a.py")) == 1
    finally:
        await state.close()


async def test_the_oldest_go_first_in_batches(state: StateDB) -> None:
    state.versions.kept = 500
    for number in range(BATCH + 10):
        await state.versions.settle(await state.versions.announce(row(sha256=str(number))))
    gone = await state.versions.forget("a.py", 5)
    assert sorted(map(int, gone)) == list(range(BATCH))
    assert [one.sha256 for one in await state.versions.of("a.py")] == [str(n) for n in range(BATCH + 9, BATCH - 1, -1)]
