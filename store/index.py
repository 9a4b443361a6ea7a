"""``index.db``: what is known of every script, to list and to search. It may be deleted at any moment.

Nothing is in it that the files could not give back. So whatever is wrong with it, it is made anew; where that is not
possible (no room, no rights, a folder of that name), it is kept in memory until the engine ends.

What cannot be seen any more keeps its row, marked as missing: that a file went away outside may want a decision.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from store import database
from store.database import Database, Kind
from store.errors import LowDisk, NotAllowed, StoreError
from store.index_rows import COLUMNS, ScriptEntry, ScriptRow, from_columns, to_columns
from store.search import Found, search

log = logging.getLogger(__name__)

T = TypeVar("T")
Tick = Callable[[], None]

VERSION = 1
"""Raised with every change of what is below: an index of another version is made anew."""

_TABLES = f"""
CREATE TABLE script (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, {", ".join(COLUMNS[1:])}, missing_since REAL
);
CREATE TABLE script_text (id INTEGER PRIMARY KEY, path, title, tags, body);
"""
_FULL_TEXT = """
CREATE VIRTUAL TABLE script_search USING fts5(
    path, title, tags, body,
    content='script_text', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE script_term USING fts5vocab(script_search, row);
"""

_INSERT = f"INSERT INTO script ({', '.join(COLUMNS)}) VALUES ({', '.join('?' for _ in COLUMNS)})"  # noqa: S608
_INSERT_AS = f"INSERT INTO script (id, {', '.join(COLUMNS)}) VALUES (?, {', '.join('?' for _ in COLUMNS)})"  # noqa: S608
_UPDATE = f"UPDATE script SET {', '.join(f'{name}=?' for name in COLUMNS)}, missing_since=NULL WHERE id=?"  # noqa: S608
_INSERT_TEXT = "INSERT INTO script_text (id, path, title, tags, body) VALUES (?, ?, ?, ?, ?)"
_INDEX_TEXT = """
    INSERT INTO script_search (rowid, path, title, tags, body)
    SELECT id, path, title, tags, body FROM script_text WHERE id=?
"""
_FORGET_TEXT = """
    INSERT INTO script_search (script_search, rowid, path, title, tags, body)
    SELECT 'delete', id, path, title, tags, body FROM script_text WHERE id=?
"""


class Renewed(Exception):
    """The index could not be used and was begun anew: it is empty, and what was to be written is not in it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be changed in the index, in one transaction.

    Attributes:
        entries: Scripts that are new or not what they were.
        gone: Paths that are not there any more.
        forgotten: Paths that were removed on purpose: nobody will ask where they are.
        settled: Scripts that were looked at again and are what they were, with their new stamps.
    """

    entries: Sequence[ScriptEntry] = ()
    gone: Sequence[str] = ()
    forgotten: Sequence[str] = ()
    settled: Sequence[ScriptRow] = ()

    def __bool__(self) -> bool:
        return bool(self.entries or self.gone or self.forgotten or self.settled)


class ScriptIndex:
    """The index of one project. Make it with ``open``; one caller at a time changes it."""

    def __init__(self, path: Path, full_text: bool) -> None:
        self.rows: dict[str, ScriptRow] = {}
        """What the index holds, by path, without what is missing. Never changed by others."""
        self.changes = 0
        """Grows whenever ``rows`` becomes another one or holds something else."""
        self.full_text = full_text
        self._path = path
        self._kind = Kind(0x47570000 + 2 * VERSION + full_text, disposable=True)
        self._schema = [_TABLES + _FULL_TEXT] if full_text else [_TABLES]
        self._in_memory: StoreError | None = None
        self._database: Database

    @classmethod
    async def open(cls, path: Path) -> ScriptIndex:
        """Open or make the index at ``path``, in memory where that is not possible. What it holds is in ``rows``."""
        index = cls(path, has_full_text())
        try:
            await index._open()
        except StoreError as error:
            await index._open_in_memory(error)
        return index

    @property
    def problems(self) -> list[str]:
        """What the user should know, one sentence each."""
        problems = []
        if self._in_memory is not None:
            problems.append(f"The index of scripts is kept in memory until the engine ends: {self._in_memory.sentence}")
        if not self.full_text:
            problems.append("This host's SQLite has no full-text search (FTS5): searching scripts takes longer.")
        return problems

    async def apply(self, changes: Changes) -> None:
        """Make the changes, all or none.

        Raises:
            Renewed: The index was lost; ``rows`` is empty.
        """
        if changes:
            await self._write(partial(_apply, self.full_text, changes))
            self.changes += 1
            for path in (*changes.gone, *changes.forgotten):
                self.rows.pop(path, None)
            for row in (*changes.settled, *(entry.row for entry in changes.entries)):
                self.rows[row.path] = row

    async def replace(self, entries: Sequence[ScriptEntry], tick: Tick) -> None:
        """Put ``entries`` in the place of everything, all or nothing.

        Args:
            entries: Every script.
            tick: Called between steps, in the writer's thread; what it raises stops the work, and nothing has changed.

        Raises:
            Renewed: The index was lost; ``rows`` is empty.
        """
        if self._in_memory is not None:
            await self._leave_memory()
        self.rows = await self._write(partial(_replace, self.full_text, entries, tick))
        self.changes += 1

    async def search(self, text: str, limit: int) -> list[Found]:
        """Up to ``limit`` scripts with every word of ``text`` (``store.search``).

        Raises:
            Renewed: The index was lost; ``rows`` is empty.
        """
        try:
            return await self._database.read(partial(search, text, limit, full_text=self.full_text))
        except StoreError as error:
            await self._renew(error)
            raise Renewed from error

    async def missing(self) -> dict[str, ScriptRow]:
        """What went away since the index was last built, by path, as it was last seen."""
        return await self._database.read(partial(_load, "missing_since IS NOT NULL"))

    async def close(self) -> None:
        with suppress(StoreError, sqlite3.Error):  # of something that can be made anew
            await self._database.close()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.write(work)
        except StoreError as error:
            await self._renew(error)
            raise Renewed from error

    async def _renew(self, error: StoreError) -> None:
        """Begin anew, empty. What lies on disk is left alone where the disk is the trouble."""
        if self._in_memory is not None:
            raise error
        await self.close()
        self.rows = {}
        self.changes += 1
        try:
            if isinstance(error, LowDisk | NotAllowed):
                raise error
            database.remove(self._path, error)
            await self._open()
        except StoreError as again:
            await self._open_in_memory(again)

    async def _open(self) -> None:
        self._database = await Database.open(self._path, self._schema, self._kind)
        for problem in self._database.problems:
            log.warning("%s", problem)
        try:
            self.rows = await self._database.read(partial(_load, "missing_since IS NULL"))
        except (StoreError, ValueError, TypeError) as error:
            # A valid database with values that are not ours: nothing says what else is wrong with it.
            await self.close()
            database.remove(self._path, error)
            self._database = await Database.open(self._path, self._schema, self._kind)

    async def _leave_memory(self) -> None:
        """Try again to have a file, now that everything is written anew."""
        in_memory = self._database
        with suppress(StoreError):  # it stays in memory
            await self._open()
            self._in_memory = None
            await in_memory.close()

    async def _open_in_memory(self, error: StoreError) -> None:
        log.warning("the index of scripts is kept in memory: %s", error)
        self._in_memory = error
        self._database = await Database.in_memory(self._schema, self._kind)


def has_full_text() -> bool:
    """Whether this host's SQLite was built with FTS5."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
        except sqlite3.OperationalError:
            return False
    return True


def _load(which: str, connection: sqlite3.Connection) -> dict[str, ScriptRow]:
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM script WHERE {which}")  # noqa: S608
    return {row.path: row for row in map(from_columns, rows)}


def _apply(full_text: bool, changes: Changes, connection: sqlite3.Connection) -> None:
    for entry in changes.entries:
        _put(full_text, entry, connection)
    for row in changes.settled:
        values = to_columns(row)
        connection.execute(_UPDATE, (*values, _id_of(row.path, connection)))
    for path in changes.forgotten:
        _forget(full_text, path, connection)
    now = time.time()
    connection.executemany("UPDATE script SET missing_since=? WHERE path=?", [(now, path) for path in changes.gone])


def _put(full_text: bool, entry: ScriptEntry, connection: sqlite3.Connection) -> None:
    """Insert or update one script."""
    known = _id_of(entry.row.path, connection)
    if known is None:
        made = connection.execute(_INSERT, to_columns(entry.row)).lastrowid
        connection.execute(_INSERT_TEXT, (made, *entry.searched))
    else:
        made = known
        if full_text:  # it has to be told what the text was
            connection.execute(_FORGET_TEXT, (made,))
        connection.execute(_UPDATE, (*to_columns(entry.row), made))
        connection.execute("DELETE FROM script_text WHERE id=?", (made,))
        connection.execute(_INSERT_TEXT, (made, *entry.searched))
    if full_text:
        connection.execute(_INDEX_TEXT, (made,))


def _forget(full_text: bool, path: str, connection: sqlite3.Connection) -> None:
    known = (_id_of(path, connection),)
    if full_text:
        connection.execute(_FORGET_TEXT, known)
    connection.execute("DELETE FROM script_text WHERE id=?", known)
    connection.execute("DELETE FROM script WHERE id=?", known)


def _id_of(path: str, connection: sqlite3.Connection) -> int | None:
    found: tuple[int] | None = connection.execute("SELECT id FROM script WHERE path=?", (path,)).fetchone()
    return None if found is None else found[0]


def _replace(
    full_text: bool, entries: Iterable[ScriptEntry], tick: Tick, connection: sqlite3.Connection
) -> dict[str, ScriptRow]:
    rows: dict[str, ScriptRow] = {}
    connection.execute("DELETE FROM script")
    connection.execute("DELETE FROM script_text")
    for number, entry in enumerate(entries, 1):
        tick()
        connection.execute(_INSERT_AS, (number, *to_columns(entry.row)))
        connection.execute(_INSERT_TEXT, (number, *entry.searched))
        rows[entry.row.path] = entry.row
    tick()
    if full_text:
        connection.execute("INSERT INTO script_search (script_search) VALUES ('rebuild')")
    tick()
    return rows
