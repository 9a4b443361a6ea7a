"""The part of ``state.db`` that keeps what administrators decided about the permissions of scripts.

A decision is never changed, only followed by another one. What it says in JSON is the services' business.
"""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from typing import Any

from store.database import Database
from store.state.rows import ApprovalRow

_COLUMNS = tuple(field.name for field in fields(ApprovalRow))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM approval"  # noqa: S608 - names of our own columns
_TEXTS = ("text", "shared_texts")
_SELECT_SHORT = f"SELECT {', '.join('NULL' if name in _TEXTS else name for name in _COLUMNS)} FROM approval"  # noqa: S608
_INSERT = f"INSERT INTO approval ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608


class Approvals:
    """Decisions by script. Reads see every ``decide`` that has returned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def decide(self, row: ApprovalRow) -> None:
        """Record a decision durably; it takes the place of the script's earlier one, which becomes history.

        Raises:
            StoreError: Nothing was recorded: the earlier decision holds.
        """
        await self._database.write(lambda connection: _decide(connection, row))

    async def in_force(self, script: str) -> ApprovalRow | None:
        """The decision that counts for a script, whatever its text is now; without the text it was for."""
        return await self._one(f"{_SELECT_SHORT} WHERE script = ? AND superseded_at IS NULL", script)

    async def last_approval(self, script: str) -> ApprovalRow | None:
        """The newest approval of a script with its text, also when it was withdrawn since."""
        return await self._one(f"{_SELECT} WHERE script = ? AND state = 'approved' ORDER BY id DESC LIMIT 1", script)

    async def history(self, script: str, limit: int = 100) -> list[ApprovalRow]:
        """Decisions about a script, newest first, without texts."""
        query = f"{_SELECT_SHORT} WHERE script = ? ORDER BY id DESC LIMIT ?"
        return [_row(values) for values in await self._rows(query, script, limit)]

    async def approved(self) -> dict[str, str]:
        """The hash of the approved text of every script that has one in force, in one query."""
        query = "SELECT script, sha256 FROM approval WHERE superseded_at IS NULL AND state = 'approved'"
        return dict(await self._rows(query))

    async def approved_grants(self) -> dict[str, str]:
        """The grants of every approval in force, as JSON, by script, in one query."""
        query = "SELECT script, grants FROM approval WHERE superseded_at IS NULL AND state = 'approved'"
        return dict(await self._rows(query))

    async def approved_shared(self) -> dict[str, str]:
        """The shared code of every approval in force, as JSON, by script, in one query."""
        query = "SELECT script, shared FROM approval WHERE superseded_at IS NULL AND state = 'approved'"
        return dict(await self._rows(query))

    async def _one(self, query: str, script: str) -> ApprovalRow | None:
        rows = await self._rows(query, script)
        return _row(rows[0]) if rows else None

    async def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: connection.execute(query, values).fetchall())


def _decide(connection: sqlite3.Connection, row: ApprovalRow) -> None:
    connection.execute(
        "UPDATE approval SET superseded_at = ? WHERE script = ? AND superseded_at IS NULL", (row.decided_at, row.script)
    )
    if row.state == "approved":
        connection.execute(
            "UPDATE approval SET text = NULL, shared_texts = NULL WHERE script = ? AND text IS NOT NULL", (row.script,)
        )
    connection.execute(_INSERT, tuple(getattr(row, name) for name in _COLUMNS))


def _row(values: tuple[Any, ...]) -> ApprovalRow:
    return ApprovalRow(**dict(zip(_COLUMNS, values, strict=True)))
