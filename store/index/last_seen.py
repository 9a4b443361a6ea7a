"""The part of ``index.db`` that keeps what was last seen of scripts whose file went away outside, or became invalid.

Such a script waits for a decision, and until then its values and its very bytes are here.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store.files.save import sha256
from store.index.rows import COLUMNS, ScriptRow, from_columns

TABLE = f"""
CREATE TABLE script_last (
    {", ".join(COLUMNS)}, body, data, since REAL NOT NULL, missing INTEGER NOT NULL, renamed_to TEXT,
    told INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (path)
);
"""

_NAMES = ", ".join(COLUMNS)
_KEEP = f"""
    INSERT OR REPLACE INTO script_last ({_NAMES}, body, data, since, missing)
    SELECT {", ".join(f"script.{name}" for name in COLUMNS)}, script_text.body, script_text.data, ?, ?
    FROM script JOIN script_text ON script_text.id = script.id WHERE script.path = ? AND script.sha256 <> ''
"""  # noqa: S608 - names of our own columns
_LOAD = f"SELECT {_NAMES}, since, missing, renamed_to, told FROM script_last"  # noqa: S608


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What was last seen of a script that is not there any more, or not valid any more.

    Attributes:
        row: As it was: the last time it was there, or the last time it was valid.
        since: When that ended, in seconds since the epoch.
        missing: Its file is gone; else it is there and invalid.
        renamed_to: Where a file of the same content appeared.
        told: A rebuild has reported it as removed.
    """

    row: ScriptRow
    since: float
    missing: bool
    renamed_to: str | None = None
    told: bool = False


def keep_missing(path: str, connection: sqlite3.Connection) -> None:
    """The file went away. What could not be read when it was there leaves nothing to keep."""
    connection.execute(_KEEP, (time.time(), True, path))


def keep_valid(path: str, connection: sqlite3.Connection) -> None:
    """The file is about to be taken in as invalid: keep what it was, unless that was invalid too."""
    is_valid = connection.execute("SELECT problem IS NULL FROM script WHERE path = ?", (path,)).fetchone()
    if is_valid == (1,):
        connection.execute(_KEEP, (time.time(), False, path))
    elif is_valid is None:  # it was missing, and is there again
        forget([path], connection, "missing AND problem IS NOT NULL")
        connection.execute("UPDATE script_last SET missing = 0, renamed_to = NULL WHERE path = ?", (path,))


def forget(paths: Iterable[str], connection: sqlite3.Connection, only: str = "1") -> None:
    """Nobody needs to decide about these any more."""
    connection.executemany(f"DELETE FROM script_last WHERE path = ? AND {only}", [(path,) for path in paths])  # noqa: S608


def pair(renamed: Iterable[tuple[str, str]], connection: sqlite3.Connection) -> None:
    """Note where missing files appeared again."""
    pairs = [(new, old) for old, new in renamed]
    connection.executemany("UPDATE script_last SET renamed_to = ? WHERE path = ? AND missing", pairs)


def tell(connection: sqlite3.Connection) -> None:
    """A rebuild reports all that is missing now."""
    connection.execute("UPDATE script_last SET told = 1 WHERE missing")


def load(connection: sqlite3.Connection) -> dict[str, LastSeen]:
    """All of them, by path."""
    return {one.row.path: one for one in map(_last_seen, connection.execute(_LOAD))}


def load_some(paths: Iterable[str], connection: sqlite3.Connection) -> dict[str, LastSeen | None]:
    """Those of these paths, None where nothing is kept."""
    found = ((path, connection.execute(f"{_LOAD} WHERE path = ?", (path,)).fetchone()) for path in paths)
    return {path: None if values is None else _last_seen(values) for path, values in found}


def lost(connection: sqlite3.Connection) -> frozenset[str]:
    """Paths whose bytes are not here, or not what they were."""
    paths = [path for (path,) in connection.execute("SELECT path FROM script_last")]
    return frozenset(path for path in paths if content(path, connection) is None)


def content(path: str, connection: sqlite3.Connection) -> bytes | None:
    """The bytes that were last seen; None when they are not here, or not what they were."""
    query = "SELECT body, data, sha256 FROM script_last WHERE path = ?"
    found = connection.execute(query, (path,)).fetchone()
    if found is None:
        return None
    body, data, digest = found
    try:
        kept: bytes = body.encode() if data is None else zlib.decompress(data)
    except (zlib.error, UnicodeEncodeError):
        return None
    return kept if sha256(kept) == digest else None


def _last_seen(values: Sequence[Any]) -> LastSeen:
    *columns, since, missing, renamed_to, told = values
    return LastSeen(from_columns(columns), since, bool(missing), renamed_to, bool(told))
