"""The part of ``state.db`` that keeps tokens: their hashes and what they may do, never their text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.database import Database

_COLUMNS = "id, name, sha256, role, default_mode, scripts, created_at, created_by, expires_at, revoked_at, last_used_at"
_SELECT = f"SELECT {_COLUMNS} FROM token WHERE revoked_at IS NULL ORDER BY created_at, id"  # noqa: S608 - our own columns
_REVOKED = f"SELECT {_COLUMNS} FROM token WHERE revoked_at IS NOT NULL ORDER BY revoked_at DESC LIMIT ?"  # noqa: S608
_INSERT = f"INSERT INTO token ({_COLUMNS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608 - our own columns


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is kept.

    Attributes:
        id: The part of its text that tells it from others; no secret.
        sha256: Of its secret, hexadecimal.
        scripts: Patterns of script paths; empty means every script.
        expires_at: None: it counts until it is revoked.
        last_used_at: None as long as it was never used.
        revoked_at: None: it was not.
    """

    id: str
    name: str
    sha256: str
    role: str
    default_mode: str
    scripts: tuple[str, ...]
    created_at: float
    created_by: str
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None


class Tokens:
    """Tokens by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self) -> list[TokenRow]:
        """Every token that was not revoked, also those that have expired, oldest first."""
        found = await self._database.read(lambda connection: connection.execute(_SELECT).fetchall())
        return [_row(values) for values in found]

    async def revoked(self, limit: int) -> list[TokenRow]:
        """The tokens that were revoked last, the latest first."""
        found = await self._database.read(lambda connection: connection.execute(_REVOKED, (limit,)).fetchall())
        return [_row(values) for values in found]

    async def add(self, row: TokenRow) -> None:
        """Keep a new token durably.

        Raises:
            StoreError: Nothing was kept.
        """
        values = (
            row.id,
            row.name,
            row.sha256,
            row.role,
            row.default_mode,
            json.dumps(row.scripts),
            row.created_at,
            row.created_by,
            row.expires_at,
            row.revoked_at,
            row.last_used_at,
        )
        await self._database.write(lambda connection: connection.execute(_INSERT, values).rowcount)

    async def revoke(self, token_id: str, at: float) -> None:
        """Record that a token no longer counts.

        Raises:
            StoreError: It is not on record.
        """
        query = "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
        await self._database.write(lambda connection: connection.execute(query, (at, token_id)).rowcount)

    async def note_used(self, used: Mapping[str, float]) -> None:
        """Record when tokens were used last, by their ids.

        Raises:
            StoreError: Nothing was recorded.
        """
        query = "UPDATE token SET last_used_at = ? WHERE id = ?"
        values = [(at, token_id) for token_id, at in used.items()]
        await self._database.write(lambda connection: connection.executemany(query, values).rowcount)


def _row(values: tuple[Any, ...]) -> TokenRow:
    token_id, name, sha256, role, mode, scripts, created_at, created_by, expires_at, revoked_at, last_used_at = values
    return TokenRow(
        id=token_id,
        name=name,
        sha256=sha256,
        role=role,
        default_mode=mode,
        scripts=tuple(json.loads(scripts)),
        created_at=created_at,
        created_by=created_by,
        expires_at=expires_at,
        last_used_at=last_used_at,
        revoked_at=revoked_at,
    )
