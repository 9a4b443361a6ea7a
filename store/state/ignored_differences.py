"""The part of ``state.db`` that says which differences are ignored: an author looked at them and keeps the file."""

from __future__ import annotations

from store.database import Database

_INSERT = "INSERT OR IGNORE INTO kept_difference (fingerprint, uid, name, at) VALUES (?, ?, ?, ?)"


class IgnoredDifferences:
    """Ignored differences by their fingerprint."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ignore(self, fingerprint: str, uid: int, name: str, at: float) -> None:
        """Record durably that this difference is to be ignored. Idempotent.

        Raises:
            StoreError: Nothing was recorded.
        """
        await self._database.write(lambda connection: connection.execute(_INSERT, (fingerprint, uid, name, at)))

    async def all(self) -> frozenset[str]:
        """Return the fingerprints of all of them."""
        query = "SELECT fingerprint FROM kept_difference"
        rows = await self._database.read(lambda connection: connection.execute(query).fetchall())
        return frozenset(fingerprint for (fingerprint,) in rows)
