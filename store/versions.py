"""The part of ``state.db`` that says which versions scripts had: when, by whom and why each was replaced.

The bytes lie in ``.gatewright/history`` by their hash, put there by the save protocol. A row is announced before a file
is touched and settled afterwards, so that no replaced version is ever without one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from store.database import Database
from store.rows import VersionRow

KEPT = 50
"""Versions per script."""

MAX_DELETIONS = 1_000
"""Deleted scripts in one answer."""

_COLUMNS = tuple(field.name for field in fields(VersionRow))
_NEW = tuple(name for name in _COLUMNS if name != "id")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM script_version"  # noqa: S608 - names of our own columns
_INSERT = f"INSERT INTO script_version ({', '.join(_NEW)}) VALUES ({', '.join('?' for _ in _NEW)})"  # noqa: S608


class Versions:
    """Versions by script. Reads see every announcement that has returned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(self, row: VersionRow) -> int:
        """Record durably that this version is about to be replaced; returns the row's id.

        Raises:
            StoreError: Nothing was recorded.
        """
        return await self._database.write(lambda connection: _announce(connection, row))

    async def settle(self, version: int) -> list[str]:
        """It was replaced. A renamed script takes its versions along, and the oldest above ``KEPT`` are forgotten.

        Returns:
            Hashes that no script's history needs any more.
        """
        return await self._database.write(lambda connection: _settle(connection, version))

    async def withdraw(self, version: int) -> None:
        """It was not replaced after all."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM script_version WHERE id = ?", (version,))
        )

    async def unsettled(self) -> list[VersionRow]:
        """What a crash left open, oldest first."""
        return await self._rows("settled = 0 ORDER BY id")

    async def of(self, script: str) -> list[VersionRow]:
        """The versions of a script, newest first."""
        return await self._rows("script = ? ORDER BY id DESC", script)

    async def all(self) -> list[tuple[str, str]]:
        """Hash and script of every version, each hash once."""
        query = "SELECT sha256, min(script) FROM script_version WHERE settled = 1 GROUP BY sha256 ORDER BY 2, 1"
        return await self._database.read(lambda connection: connection.execute(query).fetchall())

    async def deletions(self) -> list[VersionRow]:
        """What the scripts held whose newest version was deleted, the last one first, at most ``MAX_DELETIONS``.

        A script of that path may be there again.
        """
        newest = "SELECT MAX(id) FROM script_version GROUP BY script"
        where = f"reason = 'deleted' AND id IN ({newest}) ORDER BY id DESC LIMIT ?"
        return await self._rows(where, MAX_DELETIONS)

    async def _rows(self, where: str, *values: object) -> list[VersionRow]:
        query = f"{_SELECT} WHERE {where}"
        found = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [_row(row) for row in found]


def _announce(connection: sqlite3.Connection, row: VersionRow) -> int:
    cursor = connection.execute(_INSERT, tuple(getattr(row, name) for name in _NEW))
    return int(cursor.lastrowid or 0)


def _settle(connection: sqlite3.Connection, version: int) -> list[str]:
    found = connection.execute(f"{_SELECT} WHERE id = ?", (version,)).fetchone()
    if found is None:
        return []
    row = _row(found)
    connection.execute("UPDATE script_version SET settled = 1 WHERE id = ?", (version,))
    if row.new_path is not None:
        connection.execute("UPDATE script_version SET script = ? WHERE script = ?", (row.new_path, row.script))
    return _forget(connection, row.new_path or row.script)


def _forget(connection: sqlite3.Connection, script: str) -> list[str]:
    """Remove the oldest rows of a script; the hashes that no row names any more."""
    doomed = connection.execute(
        "SELECT id, sha256 FROM script_version WHERE script = ? ORDER BY id DESC LIMIT -1 OFFSET ?", (script, KEPT)
    ).fetchall()
    connection.executemany("DELETE FROM script_version WHERE id = ?", [(version,) for version, _ in doomed])
    named = "SELECT 1 FROM script_version WHERE sha256 = ?"
    return [sha256 for sha256 in {sha for _, sha in doomed} if not connection.execute(named, (sha256,)).fetchone()]


def _row(values: Sequence[Any]) -> VersionRow:
    return VersionRow(**dict(zip(_COLUMNS, values, strict=True)))
