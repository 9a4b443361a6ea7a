"""The part of ``state.db`` that says who did what: append-only, each record bound to the one before it by a hash.

Whoever can write the file can write another chain. What this tells is whether records were changed, removed or lost in
the middle; the head, which a file beside the database repeats, tells whether the newest ones are still there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from store import disk
from store.database import Database
from store.errors import from_os_error

BEGINNING = "0" * 64
"""What the first record has for the hash of the one before it."""

PAGE = 1_000
"""Records that a verification reads at a time."""

_COLUMNS = "seq, at, actor, uid, source, action, subject, detail, prev, sha256"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that was done. ``detail`` is JSON text: hashes and names, never the text of a script."""

    at: float
    actor: str
    uid: int
    source: str
    action: str
    subject: str = ""
    detail: str = "{}"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A record as it is kept. The fields are the columns of table ``audit``, in their order."""

    seq: int
    at: float
    actor: str
    uid: int
    source: str
    action: str
    subject: str
    detail: str
    prev: str
    sha256: str

    @property
    def details(self) -> dict[str, Any]:
        """``detail`` read; under ``text`` as it stands when somebody made something else of it."""
        try:
            found = json.loads(self.detail)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"text": self.detail}

    def expected(self) -> str:
        """The hash that this record must have: of everything else in it."""
        return hashlib.sha256(_canonical(astuple(self)[:-1])).hexdigest()


class Audit:
    """Records by sequence.

    Args:
        database: The state.
        head_file: Repeats the newest record's number and hash.
    """

    def __init__(self, database: Database, head_file: Path) -> None:
        self._database = database
        self._head_file = head_file
        self._noted = 0

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Record durably.

        Raises:
            StoreError: Nothing was recorded.
        """
        await self._database.write(lambda connection: add(connection, events))

    async def newest(self, limit: int, before: int | None = None) -> list[AuditRow]:
        """Up to ``limit`` records, newest first, from the one below ``before`` on."""
        query = f"SELECT {_COLUMNS} FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own columns
        below = before if before is not None else 1 << 62
        rows = await self._database.read(lambda connection: connection.execute(query, (below, limit)).fetchall())
        return [AuditRow(*row) for row in rows]

    async def page(self, after: int, limit: int) -> list[AuditRow]:
        """Up to ``limit`` records, oldest first, from the one above ``after`` on."""
        query = f"SELECT {_COLUMNS} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - our own columns
        rows = await self._database.read(lambda connection: connection.execute(query, (after, limit)).fetchall())
        return [AuditRow(*row) for row in rows]

    async def exported(self) -> int:
        """The newest record that was exported, as ``note_exported`` has it."""
        query = "SELECT value FROM meta WHERE key = 'audit_exported'"
        found = await self._database.read(lambda connection: connection.execute(query).fetchone())
        return 0 if found is None else int(found[0])

    async def note_exported(self, seq: int) -> None:
        """Remember that the records up to ``seq`` are in files."""
        query = (
            "INSERT INTO meta (key, value) VALUES ('audit_exported', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
        await self._database.write(lambda connection: connection.execute(query, (seq,)).rowcount)

    async def verify(self, last: int | None = None) -> str | None:
        """What is wrong with the chain, one sentence; None if it is consistent in itself and ends where it should.

        Args:
            last: Look at the newest so many records only.
        """
        noted = await asyncio.to_thread(self._noted_head)  # first: the newest record may be a newer one by now
        newest = await self.newest(1)
        if isinstance(noted, str) or (noted := _lost(noted, newest[0] if newest else None)) is not None:
            return noted
        if not newest:
            return None
        first = 1 if last is None else max(1, newest[0].seq - last + 1)
        previous = await self._hash_of(first - 1)
        for start in range(first, newest[0].seq + 1, PAGE):
            end = min(start + PAGE, newest[0].seq + 1)
            rows = {row.seq: row for row in await self.newest(PAGE, before=end) if row.seq >= start}
            broken = await asyncio.to_thread(_broken, rows, range(start, end), previous)
            if broken is not None:
                return broken
            previous = rows[end - 1].sha256
        return None

    async def note_head(self) -> None:
        """Repeat the newest record's number and hash in the file beside the database.

        Raises:
            StoreError: The file could not be written.
        """
        newest = await self.newest(1)
        if newest and newest[0].seq != self._noted:
            await asyncio.to_thread(self._write_head, newest[0])
            self._noted = newest[0].seq

    async def _hash_of(self, seq: int) -> str:
        found = await self.newest(1, before=seq + 1)
        return found[0].sha256 if found and found[0].seq == seq else BEGINNING

    def _noted_head(self) -> tuple[int, str] | str | None:
        """Number and hash of the newest record, as they were noted; a sentence if that cannot be read."""
        try:
            head = json.loads(self._head_file.read_bytes())
            return int(head["seq"]), str(head["sha256"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"The note of the newest audit record cannot be read: {error}."

    def _write_head(self, newest: AuditRow) -> None:
        data = json.dumps({"seq": newest.seq, "sha256": newest.sha256}).encode()
        try:
            with disk.open_folder(self._head_file.parent) as folder:
                disk.replace_file(folder, self._head_file.name, data, 0o600)
        except OSError as error:
            raise from_os_error(error, "note the newest audit record") from error


def _lost(noted: tuple[int, str] | None, newest: AuditRow | None) -> str | None:
    """Whether the head that was noted is beyond what there is. Equal or older heads are looked at by the chain."""
    if noted is None:
        return None
    seq, digest = noted
    if newest is None or newest.seq < seq:
        return f"Audit records after {newest.seq if newest else 0} are missing: there were {seq}."
    if newest.seq == seq and newest.sha256 != digest:
        return f"Audit record {seq} is not the one that was noted."
    return None


def _broken(rows: Mapping[int, AuditRow], wanted: Iterable[int], previous: str) -> str | None:
    """The first record of those wanted that does not follow from the one before it."""
    for seq in wanted:
        if (row := rows.get(seq)) is None:
            return f"Audit record {seq} is missing."
        if row.prev != previous or row.sha256 != row.expected():
            return f"Audit record {seq} was changed, or one before it."
        previous = row.sha256
    return None


def add(connection: sqlite3.Connection, events: Iterable[AuditEvent]) -> None:
    """Append within a transaction of the caller's: a record and what it tells of come together or not at all."""
    found = connection.execute("SELECT seq, sha256 FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = found or (0, BEGINNING)
    for event in events:
        seq += 1
        values = (seq, *(_storable(value) for value in astuple(event)), previous)
        previous = hashlib.sha256(_canonical(values)).hexdigest()
        connection.execute(f"INSERT INTO audit ({_COLUMNS}) VALUES ({', '.join('?' * 10)})", (*values, previous))  # noqa: S608


def _storable(value: object) -> object:
    """Lone surrogates, which UTF-8 cannot carry, are kept readable."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _canonical(values: Sequence[object]) -> bytes:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()
