"""The part of ``state.db`` that keeps what scripts keep from one run to the next.

It is known by the script's path: it goes along when the script is renamed, stays when it is deleted, since it may be
brought back, and ends with the last version of a deleted one (``store.state.versions``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store.database import Database
from store.errors import StoreError

_COLUMNS = "key, value, version, size, changed_at, changed_by"
_WRITE = (
    "INSERT OR REPLACE INTO script_state (script, key, value, size, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?)"
)


class StateRow(NamedTuple):
    """One value; ``value`` is JSON."""

    key: str
    value: str
    version: int
    size: int
    changed_at: float
    changed_by: str


class StateChanged(StoreError):
    """A value is not the one that the change was meant for. Nothing was changed.

    Attributes:
        key: Of the first such value.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} has changed.")
        self.key = key


class StateFull(StoreError):
    """A script's state would be larger than it may be. Nothing was changed.

    Attributes:
        size: Bytes that it would have.
        keys: Values that it would have.
    """

    def __init__(self, size: int, keys: int) -> None:
        super().__init__("The state is full.")
        self.size = size
        self.keys = keys


@dataclass(frozen=True, slots=True)
class StateChange:
    """What is to be changed at once.

    Attributes:
        values: JSON by key.
        removed: Keys; those that are not there do not count.
        expected: The version that a key must have now, 0 where it must not be there.
        at: Seconds since the epoch.
        by: The actor's name.
        most_bytes: Of keys and values of the script.
        most_keys: Of the script.
    """

    values: Mapping[str, str]
    removed: Sequence[str]
    expected: Mapping[str, int]
    at: float
    by: str
    most_bytes: int
    most_keys: int


class ScriptStates:
    """Values by script and key. Reads see every change that has returned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, script: str, key: str | None = None) -> list[StateRow]:
        """Return all values of a script by key, or the one of ``key``."""
        query, given = f"SELECT {_COLUMNS} FROM script_state WHERE script = ?", [script]  # noqa: S608 - our own columns
        if key is not None:
            query, given = f"{query} AND key = ?", [script, key]
        found = await self._database.read(
            lambda connection: connection.execute(f"{query} ORDER BY key", given).fetchall()
        )
        return [StateRow(*values) for values in found]

    async def size(self, script: str) -> int:
        """Return the bytes of a script's keys and values."""
        return (await self._database.read(lambda connection: _amount(connection, script)))[0]

    async def change(self, script: str, change: StateChange) -> None:
        """Make all of a change durable, or nothing of it.

        Raises:
            StateChanged: A value is not the expected one.
            StateFull: There would be too much.
            StoreError: It cannot be written.
        """
        await self._database.write(lambda connection: _change(connection, script, change))

    async def clear(self, script: str) -> int:
        """Remove all values of a script durably, and say how many there were."""
        query = "DELETE FROM script_state WHERE script = ?"
        return await self._database.write(lambda connection: connection.execute(query, (script,)).rowcount)


def carry_state(connection: sqlite3.Connection, script: str, new_path: str) -> None:
    """Give a script's state to its new path, in place of what a deleted one left there."""
    connection.execute("DELETE FROM script_state WHERE script = ?", (new_path,))
    connection.execute("UPDATE script_state SET script = ? WHERE script = ?", (new_path, script))


def forget_state(connection: sqlite3.Connection, script: str) -> None:
    """Remove the state of a script that is gone for good."""
    connection.execute("DELETE FROM script_state WHERE script = ?", (script,))


def _change(connection: sqlite3.Connection, script: str, change: StateChange) -> None:
    for key, version in change.expected.items():
        query = "SELECT version FROM script_state WHERE script = ? AND key = ?"
        found = connection.execute(query, (script, key)).fetchone()
        if version != (0 if found is None else found[0]):
            raise StateChanged(key)
    connection.executemany(
        "DELETE FROM script_state WHERE script = ? AND key = ?", [(script, key) for key in change.removed]
    )
    connection.executemany(
        _WRITE,
        [
            (script, key, value, len(key.encode()) + len(value.encode()), change.at, change.by)
            for key, value in change.values.items()
        ],
    )
    size, keys = _amount(connection, script)
    if change.values and (size > change.most_bytes or keys > change.most_keys):
        raise StateFull(size, keys)


def _amount(connection: sqlite3.Connection, script: str) -> tuple[int, int]:
    query = "SELECT coalesce(sum(size), 0), count(*) FROM script_state WHERE script = ?"
    size, keys = connection.execute(query, (script,)).fetchone()
    return int(size), int(keys)
