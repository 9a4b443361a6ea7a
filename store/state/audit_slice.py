"""Records of the audit that are about one thing, and those beside them by which the chain can be checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial

from store.database import Database
from store.state.audit import AuditRow
from store.state.audit_filter import NAMED

_COLUMNS = ", ".join(AuditRow.__dataclass_fields__)

AT_ONCE = 200
"""Records that one query asks for."""


class AuditSlice:
    """Reads see what was recorded before they began."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def about(
        self, subject: str, *, actions: Sequence[str] = (), containing: str = "", limit: int = 50
    ) -> list[AuditRow]:
        """Return the newest records about a subject, oldest first.

        Args:
            subject: As the records have it.
            actions: Only of these; empty: of every one.
            containing: Only records with this in the JSON of their detail.
            limit: How many at most.
        """
        marks = ", ".join("?" * len(actions))
        chosen = f" AND action IN ({marks})" if actions else ""
        query = (
            f"SELECT {_COLUMNS} FROM audit WHERE {NAMED} = ? AND subject = ?{chosen} AND instr(detail, ?) > 0 "  # noqa: S608 - our own columns
            "ORDER BY seq DESC LIMIT ?"
        )
        name = subject.partition(" ")[2] if subject.startswith("#") else subject
        values = (name, subject, *actions, containing, limit)
        rows = await self._database.read(lambda connection: connection.execute(query, values).fetchall())
        return [AuditRow(*row) for row in reversed(rows)]

    async def around(self, begin: float, end: float) -> list[int]:
        """Return the numbers of the newest record up to ``begin`` and of the oldest one from ``end`` on, if any."""
        before = "SELECT seq FROM audit WHERE at <= ? ORDER BY seq DESC LIMIT 1"
        after = "SELECT min(seq) FROM audit WHERE at >= ? AND seq > ?"

        def work(connection: sqlite3.Connection) -> list[int]:
            first = connection.execute(before, (begin,)).fetchone()
            last = connection.execute(after, (end, first[0] if first else 0)).fetchone()
            return [row[0] for row in (first, last) if row is not None and row[0] is not None]

        return await self._database.read(work)

    async def with_neighbours(self, numbers: Iterable[int]) -> list[AuditRow]:
        """Return records by their numbers, each with the one before and the one after it, in their order."""
        wanted = sorted({near for number in numbers for near in (number - 1, number, number + 1) if near > 0})
        found: list[AuditRow] = []
        for start in range(0, len(wanted), AT_ONCE):
            part = tuple(wanted[start : start + AT_ONCE])
            query = f"SELECT {_COLUMNS} FROM audit WHERE seq IN ({', '.join('?' * len(part))}) ORDER BY seq"  # noqa: S608
            found += await self._database.read(partial(_fetched, query, part))
        return found


def _fetched(query: str, values: tuple[int, ...], connection: sqlite3.Connection) -> list[AuditRow]:
    return [AuditRow(*row) for row in connection.execute(query, values)]
