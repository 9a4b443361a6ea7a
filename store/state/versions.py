"""The part of ``state.db`` that says which versions files had: when, by whom and why each was replaced.

The bytes lie in ``.gatewright/history`` by their hash, put there by the save protocol. A row is announced before a file
is touched and settled afterwards, so that no replaced version is ever without one.
"""

# ruff: noqa: S608 - the queries are made of names of our own tables and columns, and marks

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from store.database import Database
from store.state.rows import VersionRow
from store.state.script_state import carry_state, forget_state

KEPT = 50
"""Versions per file, unless the settings say otherwise."""

BATCH = 50
"""Rows that retention removes in one transaction."""

MAX_DELETIONS = 1_000
"""Deleted scripts in one answer."""

_COLUMNS = tuple(field.name for field in fields(VersionRow))
_NEW = tuple(name for name in _COLUMNS if name != "id")

Kind = Literal["script", "document"]


@dataclass(frozen=True, slots=True)
class _Tables:
    """One kind of files: its two tables, and what is asked of them. The queries are of our own names only."""

    kind: Kind

    @property
    def version(self) -> str:
        return f"{self.kind}_version"

    @property
    def created(self) -> str:
        return f"{self.kind}_created"

    @property
    def select(self) -> str:
        return f"SELECT {', '.join(_COLUMNS)} FROM {self.version}"

    @property
    def insert(self) -> str:
        return f"INSERT INTO {self.version} ({', '.join(_NEW)}) VALUES ({', '.join('?' for _ in _NEW)})"


class Versions:
    """Versions of files of one kind, by path. Reads see every announcement that has returned."""

    def __init__(self, database: Database, kind: Kind = "script") -> None:
        self._database = database
        self._tables = _Tables(kind)
        self.kept = KEPT
        """Versions per script."""

    async def announce(self, row: VersionRow, since: float | None = None) -> int:
        """Record durably that this version is about to be replaced; returns the row's id.

        Args:
            row: The version.
            since: When it was written, in seconds since the epoch. Of the first one that is when the script was made.

        Raises:
            StoreError: Nothing was recorded.
        """
        return await self._database.write(lambda connection: _announce(self._tables, connection, row, since))

    async def settle(self, version: int) -> list[str]:
        """It was replaced. A renamed script takes its versions along, and the oldest above ``kept`` are forgotten.

        Returns:
            Hashes that no script's history needs any more.
        """
        return await self._database.write(lambda connection: _settle(self._tables, connection, version, self.kept))

    async def withdraw(self, version: int) -> None:
        """It was not replaced after all."""
        await self._database.write(
            lambda connection: connection.execute(f"DELETE FROM {self._tables.version} WHERE id = ?", (version,))
        )

    async def unsettled(self) -> list[VersionRow]:
        """What a crash left open, oldest first."""
        return await self._rows("settled = 0 ORDER BY id")

    async def of(self, script: str) -> list[VersionRow]:
        """The versions of a script, newest first."""
        return await self._rows("script = ? ORDER BY id DESC", script)

    async def all(self) -> list[tuple[str, str]]:
        """Hash and script of every version, each hash once."""
        query = (
            f"SELECT sha256, min(script) FROM {self._tables.version} WHERE settled = 1 GROUP BY sha256 ORDER BY 2, 1"
        )
        return await self._database.read(lambda connection: connection.execute(query).fetchall())

    async def oldest(self) -> dict[str, float]:
        """Return the earliest time that is known of each script that was ever replaced, in seconds since the epoch."""
        times = f"SELECT script, at FROM {self._tables.version} UNION ALL SELECT script, at FROM {self._tables.created}"
        query = f"SELECT script, MIN(at) FROM ({times}) GROUP BY script"
        return dict(await self._database.read(lambda connection: connection.execute(query).fetchall()))

    async def deletions(self) -> list[VersionRow]:
        """What the scripts held whose newest version was deleted, the last one first, at most ``MAX_DELETIONS``.

        A script of that path may be there again.
        """
        newest = f"SELECT MAX(id) FROM {self._tables.version} GROUP BY script"
        where = f"reason = 'deleted' AND id IN ({newest}) ORDER BY id DESC LIMIT ?"
        return await self._rows(where, MAX_DELETIONS)

    async def adopt(self, deletion: VersionRow, new_path: str) -> bool:
        """Give a deleted script's versions to the script at ``new_path``: it had only been renamed.

        Returns:
            Whether the deletion was still its last version.
        """
        return await self._database.write(lambda connection: _adopt(self._tables, connection, deletion, new_path))

    async def above(self, kept: int) -> list[str]:
        """Scripts that have more than ``kept`` versions."""
        query = f"SELECT script FROM {self._tables.version} WHERE settled = 1 GROUP BY script HAVING count(*) > ?"
        found = await self._database.read(lambda connection: connection.execute(query, (kept,)).fetchall())
        return [script for (script,) in found]

    async def deleted_before(self, at: float) -> list[str]:
        """Scripts whose newest version says that they were deleted, and that before ``at``."""
        query = (
            f"SELECT script FROM {self._tables.version} AS newest WHERE reason = 'deleted' AND settled = 1 AND at < ? "
            f"AND NOT EXISTS (SELECT 1 FROM {self._tables.version} WHERE script = newest.script AND id > newest.id)"
        )
        found = await self._database.read(lambda connection: connection.execute(query, (at,)).fetchall())
        return [script for (script,) in found]

    async def forget(self, script: str, kept: int) -> list[str]:
        """Remove some of the versions of a script above the newest ``kept``.

        Returns:
            Hashes that no script's history needs any more.
        """
        return await self._database.write(lambda connection: _forget(self._tables, connection, script, kept, BATCH))

    async def unnamed(self, digests: Sequence[str]) -> list[str]:
        """Those of ``digests`` that no script's history names."""
        marks = ", ".join("?" * len(digests))
        query = f"SELECT sha256 FROM {self._tables.version} WHERE sha256 IN ({marks})"
        found = await self._database.read(lambda connection: connection.execute(query, tuple(digests)).fetchall())
        named = {sha256 for (sha256,) in found}
        return [digest for digest in digests if digest not in named]

    async def count(self) -> int:
        """How many versions of all scripts there are."""
        query = f"SELECT count(*) FROM {self._tables.version}"
        return int(await self._database.read(lambda connection: connection.execute(query).fetchone()[0]))

    async def _rows(self, where: str, *values: object) -> list[VersionRow]:
        query = f"{self._tables.select} WHERE {where}"
        found = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [_row(row) for row in found]


def _announce(tables: _Tables, connection: sqlite3.Connection, row: VersionRow, since: float | None) -> int:
    if since is not None:
        connection.execute(f"INSERT OR IGNORE INTO {tables.created} (script, at) VALUES (?, ?)", (row.script, since))
    cursor = connection.execute(tables.insert, tuple(getattr(row, name) for name in _NEW))
    return int(cursor.lastrowid or 0)


def _settle(tables: _Tables, connection: sqlite3.Connection, version: int, kept: int) -> list[str]:
    found = connection.execute(f"{tables.select} WHERE id = ?", (version,)).fetchone()
    if found is None:
        return []
    row = _row(found)
    connection.execute(f"UPDATE {tables.version} SET settled = 1 WHERE id = ?", (version,))
    if row.new_path is not None:
        _carry(tables, connection, row.script, row.new_path)
    return _forget(tables, connection, row.new_path or row.script, kept)


def _adopt(tables: _Tables, connection: sqlite3.Connection, deletion: VersionRow, new_path: str) -> bool:
    newest = connection.execute(f"SELECT MAX(id) FROM {tables.version} WHERE script = ?", (deletion.script,)).fetchone()
    if newest[0] != deletion.id:
        return False
    connection.execute(
        f"UPDATE {tables.version} SET reason = 'renamed', new_path = ? WHERE id = ?", (new_path, deletion.id)
    )
    _carry(tables, connection, deletion.script, new_path)
    return True


def _carry(tables: _Tables, connection: sqlite3.Connection, script: str, new_path: str) -> None:
    """Give what is known of a script to its new path."""
    connection.execute(f"UPDATE {tables.version} SET script = ? WHERE script = ?", (new_path, script))
    connection.execute(f"UPDATE OR REPLACE {tables.created} SET script = ? WHERE script = ?", (new_path, script))
    if tables.kind == "script":
        carry_state(connection, script, new_path)


def _forget(tables: _Tables, connection: sqlite3.Connection, script: str, kept: int, limit: int = -1) -> list[str]:
    """Remove the oldest rows of a script above ``kept``; the hashes that no row names any more."""
    doomed = connection.execute(
        f"SELECT id, sha256 FROM (SELECT id, sha256 FROM {tables.version} WHERE script = ? AND settled = 1 "
        "ORDER BY id DESC LIMIT -1 OFFSET ?) ORDER BY id LIMIT ?",
        (script, kept, limit),
    ).fetchall()
    connection.executemany(f"DELETE FROM {tables.version} WHERE id = ?", [(version,) for version, _ in doomed])
    if kept == 0:  # the script is gone for good
        connection.execute(f"DELETE FROM {tables.created} WHERE script = ?", (script,))
        if tables.kind == "script":
            forget_state(connection, script)
    named = f"SELECT 1 FROM {tables.version} WHERE sha256 = ?"
    return [sha256 for sha256 in {sha for _, sha in doomed} if not connection.execute(named, (sha256,)).fetchone()]


def _row(values: Sequence[Any]) -> VersionRow:
    return VersionRow(**dict(zip(_COLUMNS, values, strict=True)))
