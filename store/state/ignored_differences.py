"""The part of ``state.db`` that says which differences somebody looked at and wants to keep."""

from __future__ import annotations

from store.database import Database

_INSERT = "INSERT OR IGNORE INTO kept_difference (fingerprint, uid, name, at) VALUES (?, ?, ?, ?)"


class IgnoredDifferences:
    """Kept differences by their fingerprint."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, fingerprint: str, uid: int, name: str, at: float) -> None:
        """Record durably that somebody wants to keep this difference. Saying it again changes nothing.

        Raises:
            StoreError: Nothing was recorded.
        """
        await self._database.write(lambda connection: connection.execute(_INSERT, (fingerprint, uid, name, at)))

    async def all(self) -> frozenset[str]:
        """The fingerprints of all of them."""
        query = "SELECT fingerprint FROM kept_difference"
        rows = await self._database.read(lambda connection: connection.execute(query).fetchall())
        return frozenset(fingerprint for (fingerprint,) in rows)
