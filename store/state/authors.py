"""The part of ``state.db`` that keeps who the commits of each caller are by."""

from __future__ import annotations

import time

from store.database import Database
from store.git.changes import Author

_SET = """
    INSERT INTO caller_author (caller, name, email, set_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (caller) DO UPDATE SET name = excluded.name, email = excluded.email, set_at = excluded.set_at
"""


class Authors:
    """Authors by the identity of a caller: an account's uid, as the kernel reports it, or a token's id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, caller: str) -> Author | None:
        """What the caller said; None when it was never asked."""
        query = "SELECT name, email FROM caller_author WHERE caller = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (caller,)).fetchone())
        return None if row is None else Author(*row)

    async def remember(self, caller: str, author: Author) -> None:
        """Keep it durably, in place of what was said before.

        Raises:
            StoreError: Nothing was kept.
        """
        values = (caller, author.name, author.email, time.time())
        await self._database.write(lambda connection: connection.execute(_SET, values).rowcount)
