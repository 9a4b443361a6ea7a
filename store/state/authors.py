"""The part of ``state.db`` that keeps who the commits of each account are by."""

from __future__ import annotations

import time

from store.database import Database
from store.git.changes import Author

_SET = """
    INSERT INTO git_author (uid, name, email, set_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (uid) DO UPDATE SET name = excluded.name, email = excluded.email, set_at = excluded.set_at
"""


class Authors:
    """Authors by the uid that the kernel reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, uid: int) -> Author | None:
        """What the account said; None when it was never asked."""
        query = "SELECT name, email FROM git_author WHERE uid = ?"
        row = await self._database.read(lambda connection: connection.execute(query, (uid,)).fetchone())
        return None if row is None else Author(*row)

    async def remember(self, uid: int, author: Author) -> None:
        """Keep it durably, in place of what was said before.

        Raises:
            StoreError: Nothing was kept.
        """
        values = (uid, author.name, author.email, time.time())
        await self._database.write(lambda connection: connection.execute(_SET, values).rowcount)
