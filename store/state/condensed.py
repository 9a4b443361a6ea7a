"""The part of ``state.db`` that has repeated runs of a minute in one row, beside the record of the first of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import astuple

from store.database import Database

NEAR = 200
"""Rows that are looked at for the number of a run: those whose last run came soonest after it."""

Ranges = list[tuple[int, int]]


class CondensedRow(msgspec.Struct, frozen=True, kw_only=True):
    """The fields are the columns of table ``run_condensed``, in their order."""

    run_id: int
    runs: int
    failures: int
    shortest: float
    total: float
    longest: float
    first_at: float
    last_at: float
    last_id: int
    inputs: str
    """JSON text."""
    ids: str
    """JSON text: first and last number of each range."""
    audited: bool = False

    @property
    def ranges(self) -> Ranges:
        return [(first, last) for first, last in json.loads(self.ids)]


_COLUMNS = CondensedRow.__struct_fields__
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM run_condensed"  # noqa: S608 - names of our own columns
_UPSERT = f"""
    INSERT INTO run_condensed ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" for _ in _COLUMNS)})
    ON CONFLICT (run_id) DO UPDATE SET {", ".join(f"{name}=excluded.{name}" for name in _COLUMNS if name != "run_id")}
"""  # noqa: S608
_KNOWN = "SELECT 1 FROM run WHERE id = ?"


class CondensedRecords:
    """Rows by the run whose record they belong to; they go with it. ``StateDB.note_condensed`` writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, run_ids: Iterable[int]) -> dict[int, CondensedRow]:
        """Rows by run, of those runs that have one."""
        wanted = tuple(run_ids)
        query = f"{_SELECT} WHERE run_id IN ({', '.join('?' * len(wanted))})"
        return {row.run_id: row for row in await self._rows(query, wanted)}

    async def holder_of(self, run_id: int) -> CondensedRow | None:
        """Return the row that has a run without a record of its own; None if none has."""
        for row in await self._rows(f"{_SELECT} WHERE last_id >= ? ORDER BY last_id LIMIT ?", (run_id, NEAR)):
            if any(first <= run_id <= last for first, last in row.ranges):
                return row
        return None

    async def unaudited(self) -> list[CondensedRow]:
        """Rows that an engine which was killed could not tell the audit."""
        return await self._rows(f"{_SELECT} WHERE audited = 0", ())

    async def _rows(self, query: str, values: tuple[object, ...]) -> list[CondensedRow]:
        found = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [CondensedRow(**dict(zip(_COLUMNS, row, strict=True)) | {"audited": bool(row[-1])}) for row in found]


def record_condensed(connection: sqlite3.Connection, rows: Sequence[CondensedRow]) -> None:
    """Replace rows; one whose run was removed in the meantime is left out."""
    known = [row for row in rows if connection.execute(_KNOWN, (row.run_id,)).fetchone()]
    connection.executemany(_UPSERT, [astuple(row) for row in known])
