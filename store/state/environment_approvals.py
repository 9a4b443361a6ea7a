"""The part of ``state.db`` that keeps what administrators decided about the packages that scripts ask for.

A decision is never changed, only followed by another one. What it says in JSON is the services' business.
"""

from __future__ import annotations

import sqlite3
from dataclasses import fields

from store.database import Database
from store.state.rows import EnvironmentApprovalRow

_COLUMNS = tuple(field.name for field in fields(EnvironmentApprovalRow))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM environment_approval"  # noqa: S608 - names of our own columns
_INSERT = f"INSERT INTO environment_approval ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608


class EnvironmentApprovals:
    """Decisions by request. Reads see every ``decide`` that has returned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def decide(self, row: EnvironmentApprovalRow) -> None:
        """Record a decision durably; it takes the place of the request's earlier one, which becomes history.

        Raises:
            StoreError: Nothing was recorded: the earlier decision holds.
        """
        await self._database.write(lambda connection: _decide(connection, row))

    async def in_force(self) -> dict[str, EnvironmentApprovalRow]:
        """Return the decisions that count, by request, in one query."""
        query = f"{_SELECT} WHERE superseded_at IS NULL"
        rows = await self._database.read(lambda connection: connection.execute(query).fetchall())
        found = [EnvironmentApprovalRow(**dict(zip(_COLUMNS, values, strict=True))) for values in rows]
        return {row.request: row for row in found}

    async def at(self, request: str, when: float) -> EnvironmentApprovalRow | None:
        """Return the approval that counted for a request at a time; None if none did."""
        query = (
            f"{_SELECT} WHERE request = ? AND state = 'approved' AND decided_at <= ? "
            "AND (superseded_at IS NULL OR superseded_at > ?) ORDER BY id DESC LIMIT 1"
        )
        rows = await self._database.read(lambda connection: connection.execute(query, (request, when, when)).fetchall())
        return EnvironmentApprovalRow(**dict(zip(_COLUMNS, rows[0], strict=True))) if rows else None


def _decide(connection: sqlite3.Connection, row: EnvironmentApprovalRow) -> None:
    connection.execute(
        "UPDATE environment_approval SET superseded_at = ? WHERE request = ? AND superseded_at IS NULL",
        (row.decided_at, row.request),
    )
    connection.execute(_INSERT, tuple(getattr(row, name) for name in _COLUMNS))
