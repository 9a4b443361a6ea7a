"""One SQLite file with one writer: every transaction is a single function in the writer's thread.

A transaction awaited statement by statement would stay open when its task is cancelled in between, and everybody else
would find the database locked. Here the event loop hands over a whole function; once handed over it commits or rolls
back, whatever becomes of the task that waits for it.

The writer also does every checkpoint: SQLite 3.7.0 to 3.51.2 can lose committed transactions when one connection
checkpoints while another resets the write-ahead log (https://sqlite.org/wal.html#walresetbug), so no other one of
ours may do either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from store.errors import Damaged, LowDisk, NotAllowed, StoreError, from_os_error

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

APPLICATION_ID = 0x47577374
"""``GWst``: tells our file from any other SQLite database (PRAGMA application_id)."""

BUSY_TIMEOUT_MS = 5_000
WAL_BYTES = 4 << 20
"""The write-ahead log is checkpointed when it has grown to this size."""

_COMMON = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA foreign_keys=ON",
    "PRAGMA wal_autocheckpoint=0",
)

_WRITER = (
    # Only takes effect before the first table is made; later it does nothing.
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
    # The log is cut when it starts over, so that its size on disk says how much waits for the next checkpoint.
    "PRAGMA journal_size_limit=0",
)


@dataclass(frozen=True, slots=True)
class DatabaseKind:
    """What a database is for.

    Attributes:
        application_id: Tells its file from any other SQLite database (PRAGMA application_id).
        disposable: It can be made anew from something else. It is not synced with every transaction, and a file that
            is damaged or not of this kind is removed; a durable one is set aside or left alone.
    """

    application_id: int
    disposable: bool = False


STATE = DatabaseKind(APPLICATION_ID)


class Database:
    """A SQLite file: one writer connection, one read-only connection, each in a thread of its own."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection, problems: list[str]
    ) -> None:
        self.path = path
        self.problems = problems
        """Sentences for the user about what was found and done at opening."""
        self._writer = writer
        self._reader = reader
        self._wal = f"{path}-wal"
        self._checkpoint: asyncio.Task[None] | None = None
        self._closed = False
        self.may_grow = True
        """Whether a checkpoint may make the file larger: on a full disk half of one takes the last room for nothing."""

    @classmethod
    async def open(cls, path: Path, migrations: Sequence[str], kind: DatabaseKind = STATE) -> Database:
        """Open or create the file and bring its schema up to date. A damaged file is set aside and a new one begun.

        Raises:
            StoreError: The file cannot be used; it was not touched.
        """
        problems: list[str] = []
        try:
            problems += await asyncio.to_thread(_prepare_file, path)
            writer = await _open_writer(path, migrations, kind)
        except StoreError as error:
            if kind.disposable:
                await asyncio.to_thread(remove, path, error)
            elif isinstance(error, Damaged):
                problems.append(await asyncio.to_thread(_set_aside, path, error))
            else:
                raise
            await asyncio.to_thread(_prepare_file, path)
            writer = await _open_writer(path, migrations, kind)
        try:
            reader = await _connect(path, (*_COMMON, "PRAGMA query_only=ON"))
        except BaseException:
            await writer.close()
            raise
        return cls(path, writer, reader, problems)

    @classmethod
    async def in_memory(cls, migrations: Sequence[str], kind: DatabaseKind) -> Database:
        """A database without a file, for as long as it is open. Its one connection reads and writes."""
        path = Path(":memory:")
        connection = await _open_writer(path, migrations, kind)
        return cls(path, connection, connection, [])

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` as one transaction. Cancelling the caller does not stop it: it commits or fails as a whole.

        Raises:
            StoreError: It failed and nothing of it was kept.
        """
        self._check_open()
        transaction = asyncio.ensure_future(_hop(self._writer, partial(_transaction, work)))
        try:
            result = await asyncio.shield(transaction)
        except asyncio.CancelledError:
            transaction.add_done_callback(_log_failure)
            raise
        self._checkpoint_if_due()
        return result

    async def read(self, work: Work[T]) -> T:
        """Run the queries of ``work`` in the reader's thread."""
        self._check_open()
        return await _hop(self._reader, work)

    async def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the database file."""
        await _hop(self._writer, partial(_passive_checkpoint, self.path, self.may_grow))

    async def close(self) -> None:
        """Finish what was begun, checkpoint and close. The write-ahead log is gone afterwards."""
        if self._closed:
            return
        self._closed = True
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        # The reader first: the connection closed last checkpoints, and that must be the writer.
        if self._reader is not self._writer:
            await self._reader.close()
        await self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path.name} is closed.")

    def _checkpoint_if_due(self) -> None:
        if self._checkpoint is not None and not self._checkpoint.done():
            return
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._wal).st_size >= WAL_BYTES:
                self._checkpoint = asyncio.create_task(self._checkpoint_and_log())

    async def _checkpoint_and_log(self) -> None:
        try:
            await self.checkpoint()
        except StoreError as error:
            # Nothing is lost: the log keeps the rows, and the next write tries again.
            log.warning("%s: checkpoint failed: %s", self.path.name, error)


async def _hop(connection: aiosqlite.Connection, work: Work[T]) -> T:
    """Run ``work`` in the connection's thread, and turn what SQLite says into a sentence."""

    def call() -> T:
        return work(connection._conn)

    try:
        # aiosqlite has no public way to run a whole function in its thread; pyproject.toml pins its minor version.
        return cast(T, await connection._execute(call))  # type: ignore[no-untyped-call]
    except sqlite3.Error as error:
        raise _sentence(error) from error
    except UnicodeDecodeError as error:
        # SQLite quotes what it found in a damaged schema, and the sqlite3 module decodes that strictly.
        raise _damaged(f"SQLite's message about it is not UTF-8: {error.object!r:.200}") from error


def _transaction(work: Work[T], connection: sqlite3.Connection) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _passive_checkpoint(path: Path, may_grow: bool, connection: sqlite3.Connection) -> None:
    if not may_grow:
        size = _number(connection, "PRAGMA page_count") * _number(connection, "PRAGMA page_size")
        if size > os.stat(path).st_size:
            return
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


async def _connect(path: Path, pragmas: Sequence[str]) -> aiosqlite.Connection:
    try:
        connection = await aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    except sqlite3.Error as error:
        raise _sentence(error) from error
    try:
        await _hop(connection, lambda raw: _execute_all(raw, pragmas))
    except BaseException:
        await connection.close()
        raise
    return connection


async def _open_writer(path: Path, migrations: Sequence[str], kind: DatabaseKind) -> aiosqlite.Connection:
    writer = await _connect(path, _COMMON)
    synchronous = "NORMAL" if kind.disposable else "FULL"
    try:
        await _hop(writer, partial(_check, path, len(migrations), kind))
        await _hop(writer, lambda raw: _execute_all(raw, (*_WRITER, f"PRAGMA synchronous={synchronous}")))
        await _hop(writer, partial(_migrate, migrations, kind))
    except BaseException:
        await writer.close()
        raise
    return writer


def _execute_all(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement).fetchall()


def _check(path: Path, known_version: int, kind: DatabaseKind, connection: sqlite3.Connection) -> None:
    """Refuse what is not ours or newer than us; report damage."""
    version = _number(connection, "PRAGMA user_version")
    try:
        tables = _number(connection, "SELECT count(*) FROM sqlite_master")
    except sqlite3.DataError as error:  # a schema of ours has no text that is too long for SQLite
        raise _damaged(str(error)) from error
    if tables and _number(connection, "PRAGMA application_id") != kind.application_id:
        raise StoreError(f"{path} is a database of another program.", "Move it away, then start again.")
    if version > known_version:
        raise StoreError(
            f"{path} was written by a newer Gatewright (schema {version}, this one knows {known_version}).",
            "Upgrade Gatewright; the file was not touched.",
        )
    findings = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if findings != ["ok"]:
        raise Damaged(str(findings[0]))


def _migrate(migrations: Sequence[str], kind: DatabaseKind, connection: sqlite3.Connection) -> None:
    """Apply what is missing, all of it in one transaction."""
    version = _number(connection, "PRAGMA user_version")
    if version == len(migrations):
        return
    script = [
        "BEGIN IMMEDIATE;",
        *migrations[version:],
        f"PRAGMA user_version={len(migrations)};",
        f"PRAGMA application_id={kind.application_id};",
        "COMMIT;",
    ]
    try:
        connection.executescript("\n".join(script))
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _number(connection: sqlite3.Connection, query: str) -> int:
    row: Any = connection.execute(query).fetchone()
    return int(row[0])


def _sentence(error: sqlite3.Error) -> StoreError:
    """What a SQLite error means to the user (https://sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return LowDisk("The disk is full: the database could not be written.", "Free some space.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return NotAllowed(
            f"The database cannot be opened or written: {error}.", "Check the mode and owner of .gatewright."
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(str(error))
    if code == sqlite3.SQLITE_BUSY:
        return StoreError("The database is locked by another program.", "Close what has it open, then try again.")
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(f"The database failed: {error}.", "Look whether the disk is full (df) or broken (dmesg).")
    return StoreError(f"The database failed: {error}.")


def _damaged(how: str) -> Damaged:
    return Damaged(f"The database is damaged: {how}.", "Restart the engine: it sets the file aside and says so.")


def _prepare_file(path: Path) -> list[str]:
    """Make the file, readable by its owner only, or check the one that is there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return _check_file(path)
    except OSError as error:
        raise from_os_error(error, f"create {path}") from error
    return []


def _check_file(path: Path) -> list[str]:
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is not an ordinary file.", "Move it away, then start again.")
    if found.st_mode & 0o077:
        raise StoreError(f"Other accounts may read or write {path}.", f"Run: chmod 600 '{path}'")
    if found.st_size == 0 and not os.path.exists(f"{path}-wal"):
        return [f"{path.name} was empty: a new one was begun, and what it held before, if anything, is gone."]
    return []


def remove(path: Path, reason: object) -> None:
    """Remove a disposable database with its log, so that it can be made anew, and say why in the engine's log.

    Raises:
        StoreError: It cannot be removed.
    """
    log.warning("%s is made anew: %s", path, reason)
    for suffix in ("", "-wal", "-shm"):
        try:
            os.unlink(f"{path}{suffix}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise from_os_error(error, f"remove {path}") from error


def _set_aside(path: Path, error: Damaged) -> str:
    """Rename a damaged database and its log, so that it can be examined, and say so."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    log.error("%s is damaged (%s); it was set aside as %s", path, error, aside)
    return f"{path.name} was damaged and was set aside as {os.path.basename(aside)}; a new one was begun."


def _log_failure(transaction: asyncio.Future[Any]) -> None:
    if not transaction.cancelled() and (error := transaction.exception()) is not None:
        log.error("a transaction that nobody waited for any more failed: %s", error)
