"""The part of ``state.db`` that counts what is asked of the assistant."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from store.database import Database
from store.errors import StoreError

KEPT = 31
"""Days that are kept."""

_SUM = "SELECT coalesce(sum(requests), 0), coalesce(sum(sent), 0), coalesce(sum(received), 0) FROM assistant_use"
_ADD = """
    INSERT INTO assistant_use (day, asker, requests, sent, received) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (day, asker) DO UPDATE SET requests = requests + excluded.requests, sent = sent + excluded.sent,
        received = received + excluded.received
"""
_PRUNE = "DELETE FROM assistant_use WHERE day NOT IN (SELECT DISTINCT day FROM assistant_use ORDER BY day DESC LIMIT ?)"


class DayUse(NamedTuple):
    """What was asked in a day."""

    requests: int
    sent: int
    received: int


class Budget(NamedTuple):
    """What may be asked in a day: requests of one asker and of all, and bytes of all, both ways together."""

    asker: int
    all: int
    bytes: int


class BudgetSpent(StoreError):
    """One more request is too many. Nothing was counted.

    Attributes:
        by: ``asker``, ``all`` or ``bytes``.
    """

    def __init__(self, by: str) -> None:
        super().__init__("The budget is spent.")
        self.by = by


class AssistantUse:
    """Counts by day and asker. A request counts before it is sent, so that a killed engine forgets none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, day: str, asker: str, sent: int, budget: Budget) -> None:
        """Count a request with what it sends, durably, if the budget has room for it.

        Raises:
            BudgetSpent: It has not.
            StoreError: It cannot be counted.
        """
        await self._database.write(lambda connection: _begin(connection, day, asker, sent, budget))

    async def add(self, day: str, asker: str, sent: int, received: int) -> None:
        """Count what more was sent for a request, and what came back."""
        await self._database.write(lambda connection: _add(connection, day, asker, 0, sent, received))

    async def of_day(self, day: str, asker: str | None = None) -> DayUse:
        """Return what was asked on a day, by one asker or by all."""
        query, values = f"{_SUM} WHERE day = ?", [day]
        if asker is not None:
            query, values = f"{query} AND asker = ?", [day, asker]
        return DayUse(*await self._database.read(lambda connection: connection.execute(query, values).fetchone()))


def _begin(connection: sqlite3.Connection, day: str, asker: str, sent: int, budget: Budget) -> None:
    own = DayUse(*connection.execute(f"{_SUM} WHERE day = ? AND asker = ?", (day, asker)).fetchone())
    if own.requests >= budget.asker:
        raise BudgetSpent("asker")
    whole = DayUse(*connection.execute(f"{_SUM} WHERE day = ?", (day,)).fetchone())
    if whole.requests >= budget.all:
        raise BudgetSpent("all")
    if whole.sent + whole.received + sent > budget.bytes:
        raise BudgetSpent("bytes")
    if not whole.requests:
        connection.execute(_PRUNE, (KEPT,))
    _add(connection, day, asker, 1, sent, 0)


def _add(connection: sqlite3.Connection, day: str, asker: str, requests: int, sent: int, received: int) -> None:
    connection.execute(_ADD, (day, asker, requests, sent, received))
