"""The part of ``state.db`` that remembers which files of the bundle were put into the project, and as what.

A file is written first and remembered after that. What a crash leaves in between is told by the hashes: a file that
holds the bundle's text is the bundle's file, whatever its row says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from store.database import Database
from store.state.rows import SeededRow

_COLUMNS = tuple(field.name for field in fields(SeededRow))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM default_script"  # noqa: S608 - names of our own columns
_SET = f"INSERT OR REPLACE INTO default_script ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608


class Seeded:
    """Rows by path relative to the project's root."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self) -> dict[str, SeededRow]:
        """Everything that is remembered."""
        found = await self._database.read(lambda connection: connection.execute(_SELECT).fetchall())
        return {row[0]: SeededRow(**dict(zip(_COLUMNS, row, strict=True))) for row in found}

    async def remember(self, rows: Iterable[SeededRow]) -> None:
        """Keep these rows durably, in place of those of the same paths; all or none.

        Raises:
            StoreError: Nothing was kept.
        """
        values = [tuple(getattr(row, name) for name in _COLUMNS) for row in rows]
        await self._database.write(lambda connection: connection.executemany(_SET, values).rowcount)
