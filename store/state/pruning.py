"""Old records go, in transactions so small that nobody who writes has to wait for them.

What is too much is found out by reading. What a transaction then removes is bounded by the time it takes: how many rows
that is, is learnt on the way (``Pace``).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from store.database import Database

DAY = 86_400.0

AIM = 0.005
"""Seconds that a transaction should take; the disk's own time to make it durable comes on top."""

FIRST_ROWS = 16
MOST_ROWS = 2_000
FEW = 32
"""Rows or pages of a transaction whose log must stay small: each may change some pages beside its own."""

VACUUM_PAGES = 128
"""Pages given back to the file system by the first transaction that does so."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept; seconds and bytes."""

    output_age: float = 14 * DAY
    output_bytes: int = 1 << 30
    run_age: float = 90 * DAY
    versions: int = 50
    """Of each script."""
    deleted_age: float = 90 * DAY
    """Of the versions of a script that was deleted, by its deletion."""
    unnamed_age: float = 30 * DAY
    """Of texts in the history that no script's history names: what a crash or an editor left."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What ``prune`` removed: of how many runs the output, and how many runs."""

    outputs: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """What there is now."""

    runs: int
    output_bytes: int
    oldest_run: float | None


class Pace:
    """How many rows at a time: twice as many after a quick transaction, half as many after a slow one.

    Never fewer than ``first``: a slow transaction may have waited for others, and then smaller ones would not help.
    """

    def __init__(
        self, first: int = FIRST_ROWS, clock: Callable[[], float] = time.perf_counter, most: int = MOST_ROWS
    ) -> None:
        self.rows = first
        self._first = first
        self._most = most
        self._clock = clock

    def timed(self, work: Callable[[sqlite3.Connection, int], int]) -> Callable[[sqlite3.Connection], int]:
        """``work`` with the number of rows of the moment; the time it takes decides about the next one."""

        def call(connection: sqlite3.Connection) -> int:
            began = self._clock()
            result = work(connection, self.rows)
            self._learn(self._clock() - began)
            return result

        return call

    def _learn(self, seconds: float) -> None:
        if seconds > AIM:
            self.rows = max(self._first, self.rows // 2)
        elif seconds < AIM / 4:
            self.rows = min(self._most, self.rows * 2)


async def prune(database: Database, now: float, keep: Retention, *, tight: bool = False) -> Pruned:
    """Remove what is older than ``keep`` allows, and the oldest output above its size.

    The bytes of the files that a run left go with its output. Of a run that has not ended nothing goes. ``tight``:
    there is hardly any room for the log of the database.
    """
    if not tight:
        return await _prune(database, now, keep)
    database.may_grow = False
    overwrites = await database.write(partial(_overwrite, False))
    try:
        return await _prune(database, now, keep, tight=True)
    finally:
        database.may_grow = True
        await database.write(partial(_overwrite, overwrites))


def _overwrite(wanted: bool, connection: sqlite3.Connection) -> bool:
    """Set whether freed pages are overwritten, which writes each of them to the log; what was set before."""
    before = bool(connection.execute("PRAGMA secure_delete").fetchone()[0])
    connection.execute(f"PRAGMA secure_delete={int(wanted)}").fetchall()
    return before


async def _prune(database: Database, now: float, keep: Retention, *, tight: bool = False) -> Pruned:
    excess = (await amount(database)).output_bytes - keep.output_bytes
    budget = _Budget(now - min(keep.output_age, keep.run_age), excess)
    outputs = await _repeat(database, budget.shrink, tight=tight)
    prune_runs = partial(_prune_runs, now - keep.run_age)
    runs = await _repeat(database, prune_runs, tight=tight)
    if budget.touched or runs or tight:
        await _repeat(database, _give_back_space, VACUUM_PAGES, tight=tight)
    return Pruned(budget.emptied if outputs else 0, runs)


async def amount(database: Database) -> Amount:
    """How many runs there are, and how much of their output and files."""
    stored = "SELECT coalesce(sum(stored_bytes), 0) FROM run WHERE stored_bytes > 0"
    query = f"SELECT count(*), min(queued_at), ({stored}) FROM run"  # noqa: S608 - our own words
    runs, oldest, size = await database.read(lambda connection: connection.execute(query).fetchone())
    return Amount(runs, size, oldest)


async def _repeat(
    database: Database,
    work: Callable[[sqlite3.Connection, int], int],
    first: int = FIRST_ROWS,
    *,
    tight: bool = False,
) -> int:
    """Transaction by transaction until there is nothing left to do; others write in between."""
    few = min(first // 2, FEW)
    pace, total = (Pace(few, most=few) if tight else Pace(first)), 0
    while done := await database.write(pace.timed(work)):
        total += done
        if tight:
            await database.checkpoint()
        await asyncio.sleep(AIM)
    return total


class _Budget:
    """Which output goes: what ended before ``before``, and then the oldest until ``excess`` bytes are gone."""

    def __init__(self, before: float, excess: int) -> None:
        self._before = before
        self._excess = excess
        self.touched = False
        self.emptied = 0
        """Runs that have no output any more."""

    def shrink(self, connection: sqlite3.Connection, rows: int) -> int:
        """Remove up to ``rows`` pieces of output or files of the oldest runs; how many runs that concerned."""
        runs = connection.execute(
            "SELECT id, finished_at, stored_bytes FROM run WHERE stored_bytes > 0 AND finished_at IS NOT NULL "
            "ORDER BY finished_at LIMIT ?",
            (rows,),
        ).fetchall()
        concerned = 0
        for run_id, finished_at, stored in runs:
            if rows <= 0 or (finished_at >= self._before and self._excess <= 0):
                break
            pieces, freed = _shrink(connection, run_id, rows)
            left = stored - freed if pieces == rows else 0
            connection.execute("UPDATE run SET stored_bytes = ? WHERE id = ?", (max(0, left), run_id))
            self._excess -= stored - max(0, left)
            self.emptied += left <= 0
            rows -= pieces
            concerned += 1
        self.touched = self.touched or concerned > 0
        return concerned


def _shrink(connection: sqlite3.Connection, run_id: int, rows: int) -> tuple[int, int]:
    """Remove up to ``rows`` pieces of one run: how many that were, and their bytes."""
    output = connection.execute(
        "SELECT seq, length(text) FROM output WHERE run_id = ? ORDER BY seq LIMIT ?", (run_id, rows)
    ).fetchall()
    if output:
        connection.execute("DELETE FROM output WHERE run_id = ? AND seq <= ?", (run_id, output[-1][0]))
        connection.execute("UPDATE run SET output_complete = 0 WHERE id = ?", (run_id,))
    files = connection.execute(
        "SELECT rowid, length(data) FROM run_file WHERE run_id = ? AND data IS NOT NULL LIMIT ?",
        (run_id, rows - len(output)),
    ).fetchall()
    connection.executemany("UPDATE run_file SET data = NULL WHERE rowid = ?", [(rowid,) for rowid, _ in files])
    return len(output) + len(files), sum(size for _, size in (*output, *files))


def _prune_runs(before: float, connection: sqlite3.Connection, rows: int) -> int:
    """Remove runs whose output is gone already; their highest id stays known."""
    removed = connection.execute(
        "DELETE FROM run WHERE id IN "
        "(SELECT id FROM run WHERE finished_at < ? AND stored_bytes = 0 ORDER BY finished_at LIMIT ?)",
        (before, rows),
    ).rowcount
    return int(removed)


def _give_back_space(connection: sqlite3.Connection, pages: int) -> int:
    """Return some free pages to the file system: how many; 0 for the last ones, since whoever writes makes new ones."""
    before = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(pages, before)):
        # One page with each call: the pragma has a row but no column, and Python's sqlite3 then steps only once.
        connection.execute("PRAGMA incremental_vacuum(1)")
    after = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int(before - after) if after else 0
