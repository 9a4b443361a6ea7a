"""``index.db``: what is known of every script, to list and to search. It may be deleted at any moment.

What it says of scripts, the files could give back. So when it is damaged, it is made anew; where something else is in
the way (no room, no rights, a lock), it is left alone and kept in memory until the engine ends.

What was last seen of a script that went away outside, or became invalid, is kept beside it (``store.index.last_seen``):
that may want a decision, and is lost with a damaged index.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from store import database
from store.database import Database, DatabaseKind
from store.errors import Damaged, StoreError
from store.index import last_seen
from store.index.last_seen import LastSeen
from store.index.rows import COLUMNS, ScriptEntry, ScriptRow, from_columns, to_columns
from store.index.search import SearchHit, search

log = logging.getLogger(__name__)

T = TypeVar("T")
Tick = Callable[[], None]

VERSION = 7
"""Raised with every change of what is below, or of what is read out of a script: another index is made anew."""

_TABLES = f"""
CREATE TABLE script (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, {", ".join(COLUMNS[1:])});
CREATE TABLE script_text (id INTEGER PRIMARY KEY, path, title, tags, body, data);
{last_seen.TABLE}
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
_UPDATE = f"UPDATE script SET {', '.join(f'{name}=?' for name in COLUMNS)} WHERE id=?"  # noqa: S608
_INSERT_TEXT = "INSERT INTO script_text (id, data, path, title, tags, body) VALUES (?, ?, ?, ?, ?, ?)"
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
        gone: Paths that are not there any more; what was last seen of them is kept.
        forgotten: Paths that were removed on purpose: nobody will ask where they are.
        decided: Paths of which what was last seen is not needed any more.
        renamed: From where to where: missing scripts whose content appeared at another place.
        settled: Scripts that were looked at again and are what they were, with their new stamps.
    """

    entries: Sequence[ScriptEntry] = ()
    gone: Sequence[str] = ()
    forgotten: Sequence[str] = ()
    decided: Sequence[str] = ()
    renamed: Sequence[tuple[str, str]] = ()
    settled: Sequence[ScriptRow] = ()

    def __bool__(self) -> bool:
        return any((self.entries, self.gone, self.forgotten, self.decided, self.renamed, self.settled))


class ScriptIndex:
    """The index of one project. Make it with ``open``; one caller at a time changes it."""

    def __init__(self, path: Path, full_text: bool) -> None:
        self.rows: dict[str, ScriptRow] = {}
        """What the index holds, by path, without what is missing. Never changed by others."""
        self.last: dict[str, LastSeen] = {}
        """What was last seen of what is missing or became invalid, by path. Never changed by others."""
        self.changes = 0
        """Grows whenever ``rows`` becomes another one or holds something else."""
        self.full_text = full_text
        self._path = path
        self._kind = DatabaseKind(0x47570000 + 2 * VERSION + full_text, disposable=True)
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
            last = await self._write(partial(_apply, self.full_text, changes))
            self.changes += 1
            self.last = {path: one for path, one in (self.last | last).items() if one is not None}
            for path in (*changes.gone, *changes.forgotten):
                self.rows.pop(path, None)
            for row in (*changes.settled, *(entry.row for entry in changes.entries)):
                self.rows[row.path] = row

    async def replace(self, entries: Sequence[ScriptEntry], renamed: Sequence[tuple[str, str]], tick: Tick) -> None:
        """Put ``entries`` in the place of everything, all or nothing. What was last seen of others is kept.

        Args:
            entries: Every script.
            renamed: As in ``Changes``.
            tick: Called between steps, in the writer's thread; what it raises stops the work, and nothing has changed.

        Raises:
            Renewed: The index was lost; ``rows`` is empty.
        """
        if self._in_memory is not None:
            await self._leave_memory()
        self.rows, self.last = await self._write(partial(_replace, self.full_text, entries, renamed, tick))
        self.changes += 1

    async def search(self, text: str, limit: int) -> list[SearchHit]:
        """Up to ``limit`` scripts with every word of ``text`` (``store.index.search``).

        Raises:
            Renewed: The index was lost; ``rows`` is empty.
        """
        try:
            return await self._database.read(partial(search, text, limit, full_text=self.full_text))
        except StoreError as error:
            await self._renew(error)
            raise Renewed from error

    async def last_content(self, path: str) -> bytes | None:
        """The bytes that were last seen of a script in ``last``; None when they are lost."""
        try:
            return await self._database.read(partial(last_seen.content, path))
        except StoreError as error:
            log.warning("what was last seen of %r cannot be read: %s", path, error)
            return None

    async def lost(self) -> frozenset[str]:
        """Paths in ``last`` whose bytes are lost."""
        try:
            return await self._database.read(last_seen.lost)
        except StoreError as error:
            log.warning("what was last seen of scripts cannot be read: %s", error)
            return frozenset(self.last)

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
        self.rows, self.last = {}, {}
        self.changes += 1
        try:
            if not isinstance(error, Damaged):
                raise error  # by a lock, by a full disk: the file is good, and not all in it is elsewhere
            database.remove(self._path, error)
            await self._open()
        except StoreError as again:
            await self._open_in_memory(again)

    async def _open(self) -> None:
        self._database = await Database.open(self._path, self._schema, self._kind)
        for problem in self._database.problems:
            log.warning("%s", problem)
        try:
            self.rows, self.last = await self._database.read(_load)
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


def _load(connection: sqlite3.Connection) -> tuple[dict[str, ScriptRow], dict[str, LastSeen]]:
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM script")  # noqa: S608
    return {row.path: row for row in map(from_columns, rows)}, last_seen.load(connection)


def _apply(full_text: bool, changes: Changes, connection: sqlite3.Connection) -> dict[str, LastSeen | None]:
    """Make the changes; returns what is kept now of each script that they concern."""
    last_seen.forget([entry.row.path for entry in changes.entries if entry.row.front.problem is None], connection)
    for entry in changes.entries:
        if entry.row.front.problem is not None:
            last_seen.keep_valid(entry.row.path, connection)
        _put(full_text, entry, connection)
    for row in changes.settled:
        values = to_columns(row)
        connection.execute(_UPDATE, (*values, _id_of(row.path, connection)))
    for path in changes.gone:
        last_seen.keep_missing(path, connection)
    for path in (*changes.gone, *changes.forgotten):
        _forget(full_text, path, connection)
    last_seen.forget((*changes.forgotten, *changes.decided), connection)
    last_seen.pair(changes.renamed, connection)
    concerned = {*(entry.row.path for entry in changes.entries), *(old for old, _ in changes.renamed)}
    return last_seen.load_some(concerned.union(changes.gone, changes.forgotten, changes.decided), connection)


def _put(full_text: bool, entry: ScriptEntry, connection: sqlite3.Connection) -> None:
    """Insert or update one script."""
    known = _id_of(entry.row.path, connection)
    if known is None:
        made = connection.execute(_INSERT, to_columns(entry.row)).lastrowid
    else:
        made = known
        if full_text:  # it has to be told what the text was
            connection.execute(_FORGET_TEXT, (made,))
        connection.execute(_UPDATE, (*to_columns(entry.row), made))
        connection.execute("DELETE FROM script_text WHERE id=?", (made,))
    connection.execute(_INSERT_TEXT, (made, entry.data, *entry.searched))
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
    full_text: bool,
    entries: Sequence[ScriptEntry],
    renamed: Sequence[tuple[str, str]],
    tick: Tick,
    connection: sqlite3.Connection,
) -> tuple[dict[str, ScriptRow], dict[str, LastSeen]]:
    rows: dict[str, ScriptRow] = {}
    _keep_last(entries, connection)
    last_seen.pair(renamed, connection)
    connection.execute("DELETE FROM script")
    connection.execute("DELETE FROM script_text")
    for number, entry in enumerate(entries, 1):
        tick()
        connection.execute(_INSERT_AS, (number, *to_columns(entry.row)))
        connection.execute(_INSERT_TEXT, (number, entry.data, *entry.searched))
        rows[entry.row.path] = entry.row
    tick()
    if full_text:
        connection.execute("INSERT INTO script_search (script_search) VALUES ('rebuild')")
    tick()
    return rows, last_seen.load(connection)


def _keep_last(entries: Iterable[ScriptEntry], connection: sqlite3.Connection) -> None:
    """Keep what is there of scripts that ``entries`` has not, or has as invalid; forget what is there again."""
    gone = {path for (path,) in connection.execute("SELECT path FROM script")}
    valid: list[str] = []
    for entry in entries:
        gone.discard(entry.row.path)
        if entry.row.front.problem is None:
            valid.append(entry.row.path)
        else:
            last_seen.keep_valid(entry.row.path, connection)
    for path in gone:
        last_seen.keep_missing(path, connection)
    last_seen.forget(valid, connection)
    last_seen.tell(connection)
