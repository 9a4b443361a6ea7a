"""The part of ``state.db`` that says who did what: append-only, each record bound to the one before it by a hash.

Whoever can write the file can write another chain. What this tells is whether records were changed, removed or lost in
the middle; the head, which a file beside the database repeats, tells whether the newest ones are still there.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from store import disk
from store.audit_chain import BEGINNING, ChainWalk, Record, digest, missing
from store.database import Database
from store.errors import StoreError, from_os_error
from store.state.audit_filter import AuditFilter

PAGE = 1_000
"""Records that an export has in a file."""

PIECE = 5_000
"""Records that a verification reads at a time."""

LARGEST = (1 << 63) - 1
"""The largest number that SQLite can give a record."""

SCANNED = 20_000
"""Records that are searched for a text at a time: others read in between."""

_COLUMNS = "seq, at, actor, uid, source, action, subject, detail, prev, sha256"
_SELECT = f"SELECT {_COLUMNS} FROM audit WHERE "  # noqa: S608 - our own columns
_BYTES = re.sub(r"actor|source|action|subject|detail|prev|sha256", r"CAST(\g<0> AS BLOB)", _COLUMNS)
_SELECT_BYTES = f"SELECT {_BYTES} FROM audit WHERE "  # noqa: S608 - our own columns
_INSERT = f"INSERT INTO audit ({_COLUMNS}) VALUES ({', '.join('?' * 10)})"  # noqa: S608


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
        """``detail`` read; under ``text`` as it stands when it is something else."""
        try:
            found = json.loads(self.detail)
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {"text": self.detail}


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """What a look at the chain, or at a piece of it, found.

    Attributes:
        newest: Number of the newest record; 0 if there is none.
        head: Its hash.
        last: Number of the last record that was looked at.
        problem: One sentence about the first record that does not fit.
    """

    newest: int
    head: str
    last: int
    problem: str | None = None


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
        self.redact: Callable[[AuditEvent], AuditEvent] = lambda event: event
        """Takes secrets out of an event before it becomes a record. It is called in the writer's thread."""

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Record durably.

        Raises:
            StoreError: Nothing was recorded.
        """
        await self._database.write(lambda connection: self.add(connection, events))

    def add(self, connection: sqlite3.Connection, events: Iterable[AuditEvent]) -> None:
        """Append within a transaction of the caller's: a record and what it tells of come together or not at all."""
        add(connection, map(self.redact, events))

    async def newest(self, limit: int, before: int | None = None) -> list[AuditRow]:
        """Up to ``limit`` records, newest first, from the one below ``before`` on."""
        last = LARGEST if before is None else min(before - 1, LARGEST)
        return [AuditRow(*row) for row in await self._rows("seq <= ? ORDER BY seq DESC LIMIT ?", (last, limit))]

    async def find(self, wanted: AuditFilter, limit: int, before: int | None = None) -> list[AuditRow]:
        """Return up to ``limit`` of the records that are wanted, newest first, from the one below ``before`` on."""
        first, last = await self._database.read(wanted.bounds)
        if before is not None:
            last = min(last, before - 1)
        found: list[AuditRow] = []
        while last >= first and len(found) < limit:
            lowest = max(first, last - SCANNED + 1) if wanted.scans else first
            pages = [
                await self._rows(
                    f"seq BETWEEN ? AND ? {terms} ORDER BY seq DESC LIMIT ?", (lowest, last, *values, limit)
                )
                for terms, values in wanted.terms()
            ]
            newest_first = merge(*pages, key=lambda row: -row[0])
            found += (AuditRow(*row) for row in islice(newest_first, limit - len(found)))
            below = await self._rows("seq < ? ORDER BY seq DESC LIMIT 1", (lowest,))  # over a gap, however wide
            last = below[0][0] if below else first - 1
        return found

    async def page(self, after: int, limit: int) -> list[AuditRow]:
        """Up to ``limit`` records, oldest first, from the one above ``after`` on."""
        return [AuditRow(*row) for row in await self._rows("seq > ? ORDER BY seq LIMIT ?", (after, limit))]

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
        """Return what is wrong with the chain, one sentence; None if it is consistent in itself and ends as noted.

        Args:
            last: Look at the newest so many records only.
        """
        newest = await self.newest(1)
        after = 0 if last is None or not newest else max(0, newest[0].seq - last)
        return (await self.check(after)).problem

    async def check(self, after: int = 0, most: int | None = None) -> ChainCheck:
        """Look at records from the one above ``after`` on, at ``most`` at most, and at the head that was noted."""
        noted = await asyncio.to_thread(self._noted_head)  # first: the newest record may be a newer one by now
        found = await self.newest(1)
        newest, head = (found[0].seq, found[0].sha256) if found else (0, "")
        if isinstance(noted, str) or (noted := _lost(noted, found[0] if found else None)) is not None:
            return ChainCheck(newest, head, after, noted)
        if before := await self._rows("seq < 1 ORDER BY seq LIMIT 1", ()):
            return ChainCheck(newest, head, 0, f"Audit record {before[0][0]} was added: the first one has number 1.")
        after = min(after, newest)
        last = newest if most is None else min(newest, after + most)
        previous = await self._hash_of(after)
        if previous is None:
            return ChainCheck(newest, head, after, missing(after, after))
        walk = ChainWalk(after, previous)
        while walk.seq < last:
            end = min(walk.seq + PIECE, last)
            rows = await self._rows("seq > ? AND seq <= ? ORDER BY seq", (walk.seq, end))
            problem = await asyncio.to_thread(walk.look, rows, end)
            if problem is not None:
                return ChainCheck(newest, head, walk.seq, problem)
        return ChainCheck(newest, head, last)

    async def with_hash(self, sha256: str) -> int | None:
        """Return the number of the newest record with this hash."""
        newest = await self.newest(1)
        for last in range(newest[0].seq if newest else 0, 0, -SCANNED):
            values = (last - SCANNED + 1, last, sha256)
            if found := await self._rows("seq BETWEEN ? AND ? AND sha256 = ? ORDER BY seq DESC LIMIT 1", values):
                return found[0][0]
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

    async def _rows(self, condition: str, values: Sequence[object]) -> list[Record]:
        def work(connection: sqlite3.Connection) -> list[Record]:
            try:
                return connection.execute(_SELECT + condition, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
            # Some text there is not UTF-8: not ours. What is the matter with that record is for its hash to say.
            return [_decoded(row) for row in connection.execute(_SELECT_BYTES + condition, values)]

        return await self._database.read(work)

    async def _hash_of(self, seq: int) -> str | None:
        if seq == 0:
            return BEGINNING
        found = await self.newest(1, before=seq + 1)
        return found[0].sha256 if found and found[0].seq == seq else None

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


def add(connection: sqlite3.Connection, events: Iterable[AuditEvent]) -> None:
    """Append as they are, within a transaction of the caller's."""
    found = connection.execute("SELECT seq, sha256 FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = found or (0, BEGINNING)
    for event in events:
        if seq >= LARGEST:
            raise StoreError(f"There is no number left after audit record {seq}, which was not made by the engine.")
        seq += 1
        at, actor, uid, source, action, subject, detail = astuple(event)
        texts = [_storable(text) for text in (actor, source, action, subject, detail)]
        values = (seq, float(at), texts[0], uid, *texts[1:], previous)
        previous = digest(*values)
        connection.execute(_INSERT, (*values, previous))


def _decoded(row: Sequence[Any]) -> Record:
    """Return a record whose texts were read as bytes, each of which stays another one."""
    return tuple(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in row)  # type: ignore[return-value]


def _storable(text: str) -> str:
    """Lone surrogates, which UTF-8 cannot carry, are kept readable."""
    return text.encode("utf-8", "backslashreplace").decode()
