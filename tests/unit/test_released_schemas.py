"""Records of every schema that was ever in use, opened by this version: nothing in them is lost."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from store import migrations
from store.backup.making import copy_records
from store.database import APPLICATION_ID
from store.errors import StoreError
from store.state.database import StateDB

RELEASED = (
    "0f35dd2c2d3275bc", "67f5c3c66e2912f9", "aa02db22b93ce8e1", "10b5a54b4555dd33", "36b36f15b56cb5a0",
    "ccdac755456b25e1", "f5203fdc5c821af1", "ef9dc0b01c13d8ad", "668ecea6b10d1c13", "9f6729f1fd80671c",
    "3f61a10100e35380", "a6d07614a322f413", "9405cd941cb31e99", "ff733fd8e27af336", "93b301662a4e318b",
    "1ad6c225c05255a7", "58d014effe58161b", "78c483cbe029a994",
)  # fmt: skip
"""The beginning of each released migration's SHA-256."""

RUN = (
    "INSERT INTO run (id, kind, name, state, mode, actor, source, queued_at, timeout, code_sha256, isolation, outcome,"
    " output_bytes, output_complete) VALUES"
    " (1, 'script', 'a.py', 'finished', 'RESTRICTED', 'anna', 'cli', 1.5, 30.0, 'c0de', 'full', 'ok', 6, 1)"
)

WRITTEN: dict[int, tuple[str, ...]] = {
    1: (RUN, "INSERT INTO output VALUES (1, 0, 'stdout', 1.5, CAST('hello' AS BLOB))"),
    2: (
        (
            "INSERT INTO approval (script, sha256, state, asked, grants, text, uid, name, decided_at)"
            " VALUES ('a.py', 'c0de', 'approved', '[]', '[]', 'text', 7, 'anna', 2.5)"
        ),
    ),
    3: ("INSERT INTO run_file VALUES (1, 'out.csv', 3, 'f11e', CAST('a;b' AS BLOB))",),
    4: ("INSERT INTO git_author VALUES (7, 'Anna', 'anna@plant', 3.5)",),
    5: (
        (
            "INSERT INTO script_version (script, path, sha256, size, reason, uid, name, at, settled)"
            " VALUES ('a.py', 'a.py', '01d', 4, 'saved', 7, 'anna', 4.5, 1)"
        ),
    ),
    6: ("INSERT INTO kept_difference VALUES ('f1', 7, 'anna', 5.5)",),
    7: ("INSERT INTO default_script VALUES ('scripts/defaults/tour.py', 1, 'd0', NULL)",),
    8: (
        "UPDATE run SET inputs_sha256 = '1234'",
        "INSERT INTO run_input VALUES (1, '{}')",
        "INSERT INTO run_code VALUES ('c0de', CAST('print(1)' AS BLOB))",
    ),
    9: ("UPDATE run SET unrecorded = 'memory'",),
    10: ("INSERT INTO audit VALUES (1, 6.5, 'anna', 7, 'cli', 'save', 'a.py', '{}', 'before', 'after')",),
    11: ("UPDATE run SET exit_status = 0",),
    12: ("INSERT INTO run_shared VALUES (1, 'lib/x.py', '54ed')",),
    13: (
        (
            "INSERT INTO token (id, name, sha256, role, default_mode, scripts, created_at, created_by)"
            " VALUES ('t1', 'dash', 'ha5h', 'viewer', 'RESTRICTED', '[]', 7.5, 'anna')"
        ),
    ),
    14: ("INSERT INTO run_condensed VALUES (1, 2, 0, 0.1, 0.3, 0.2, 1.0, 2.0, 3, '{}', '[2,3]', 0)",),
    15: ("INSERT INTO script_created VALUES ('a.py', 8.5)",),
    16: (
        (
            "INSERT INTO script_state (script, key, value, size, changed_at, changed_by)"
            " VALUES ('a.py', 'k', '1', 1, 9.5, 'anna')"
        ),
    ),
    17: ("INSERT INTO document_created VALUES ('a.md', 10.5)",),
    18: ("INSERT INTO assistant_use VALUES ('2026-01-01', 'anna', 1, 2, 3)",),
}
"""What each version wrote that the ones before could not."""

FOUND: dict[str, tuple[int, tuple[object, ...]]] = {
    "SELECT id, name, outcome, queued_at FROM run": (1, (1, "a.py", "ok", 1.5)),
    "SELECT run_id, seq, stream, text FROM output": (1, (1, 0, "stdout", b"hello")),
    "SELECT script, sha256, state, name FROM approval": (2, ("a.py", "c0de", "approved", "anna")),
    "SELECT name, data FROM run_file": (3, ("out.csv", b"a;b")),
    "SELECT caller, name, email FROM caller_author": (4, ("uid:7", "Anna", "anna@plant")),
    "SELECT script, sha256, reason, settled FROM script_version": (5, ("a.py", "01d", "saved", 1)),
    "SELECT fingerprint FROM kept_difference": (6, ("f1",)),
    "SELECT path, version FROM default_script": (7, ("scripts/defaults/tour.py", 1)),
    "SELECT inputs_sha256, inputs, text FROM run, run_input, run_code": (8, ("1234", "{}", b"print(1)")),
    "SELECT unrecorded FROM run": (9, ("memory",)),
    "SELECT seq, actor, action, prev, sha256 FROM audit": (10, (1, "anna", "save", "before", "after")),
    "SELECT exit_status FROM run": (11, (0,)),
    "SELECT path, sha256 FROM run_shared": (12, ("lib/x.py", "54ed")),
    "SELECT id, name, sha256 FROM token": (13, ("t1", "dash", "ha5h")),
    "SELECT runs, last_id, ids FROM run_condensed": (14, (2, 3, "[2,3]")),
    "SELECT script, at FROM script_created": (15, ("a.py", 8.5)),
    "SELECT key, value FROM script_state": (16, ("k", "1")),
    "SELECT script, at FROM document_created": (17, ("a.md", 10.5)),
    "SELECT asker, requests FROM assistant_use": (18, ("anna", 1)),
}
"""What this version finds of it, by the first schema that had it."""


def of_schema(number: int, path: Path) -> None:
    """Write records as a version with so many migrations left them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA auto_vacuum=INCREMENTAL")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA foreign_keys=ON")
        for at, script in enumerate(migrations.scripts()[:number], 1):
            database.executescript(script)
            for statement in WRITTEN[at]:
                database.execute(statement)
        if number >= 4:
            where = "git_author" if number < 13 else "caller_author"
            assert database.execute(f"SELECT count(*) FROM {where}").fetchone() == (1,)
        database.executescript(f"PRAGMA user_version={number}; PRAGMA application_id={APPLICATION_ID};")
    path.chmod(0o600)


OFTEN = {1, 12, len(RELEASED)}
"""The others are tried with what takes long: each differs from the one before by one migration."""


@pytest.mark.parametrize(
    "number", [pytest.param(at, marks=() if at in OFTEN else pytest.mark.slow) for at in range(1, len(RELEASED) + 1)]
)
async def test_nothing_of_an_older_schema_is_lost(number: int, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    of_schema(number, path)
    copied = copy_records(path, tmp_path / "copy.db", threading.Event())
    assert copied == number, "a backup of then"
    state = await StateDB.open(path)
    assert state.problems == []
    assert await state.next_run_id() > 1
    await state.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(migrations.scripts()),)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        for query, (first, row) in FOUND.items():
            if first <= number:
                assert database.execute(query).fetchall() == [row], query
    with closing(sqlite3.connect(":memory:")) as fresh, closing(sqlite3.connect(path)) as migrated:
        fresh.executescript("".join(migrations.scripts()))
        tables = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        assert migrated.execute(tables).fetchall() == fresh.execute(tables).fetchall(), "as a new project has it"


async def test_the_versions_before_refuse_what_this_one_has_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    await (await StateDB.open(path)).close()
    before = path.read_bytes()
    older = migrations.scripts()[:-1]
    monkeypatch.setattr(migrations, "scripts", lambda: older)
    with pytest.raises(StoreError, match="was written by a newer Gatewright") as refused:
        await StateDB.open(path)
    assert refused.value.hint == "Upgrade Gatewright; the file was not touched."
    assert path.read_bytes() == before


def test_no_released_migration_was_changed() -> None:
    """A project that has passed one never sees it again, so it would differ from a new one for good."""
    found = [hashlib.sha256(script.encode()).hexdigest()[:16] for script in migrations.scripts()]
    assert found[: len(RELEASED)] == list(RELEASED)
