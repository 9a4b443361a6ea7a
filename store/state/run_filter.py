"""Which runs of the history are wanted, and by which of its indexes they are found."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

MANY = 10_000
"""Runs above which it does not matter how many there are of a kind."""

MOST_NAMES = 2_000
"""Names that are looked through for a part of one."""

MOST_FOUND = 500
"""Names that are looked up at once; old versions of SQLite take 999 values."""

SLACK = 3_600.0
"""Seconds by which the clock of the host may have been wrong."""

_FIRST = "(SELECT id FROM run WHERE queued_at >= ? ORDER BY queued_at LIMIT 1)"
_LAST = "(SELECT id FROM run WHERE queued_at < ? ORDER BY queued_at DESC LIMIT 1)"

# One look into the index of names for each: SQLite has no way of its own to skip to the next one.
_NAMES = """
    WITH RECURSIVE known (name) AS (
        SELECT (SELECT min(name) FROM run)
        UNION ALL
        SELECT (SELECT min(name) FROM run WHERE run.name > known.name) FROM known WHERE known.name IS NOT NULL
        LIMIT ?
    )
    SELECT name, instr(lower(name), lower(?)) > 0 FROM known WHERE name IS NOT NULL
"""

Term = tuple[str, tuple[object, ...]]
"""A condition and the values of its marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Every field that is not None narrows the choice. Times are seconds since the epoch."""

    name: str | None = None
    """Exactly this name."""
    part: str | None = None
    """A part of the name; capitals of ASCII count as small letters."""
    outcome: str | None = None
    actor: str | None = None
    since: float | None = None
    until: float | None = None

    def where(self, connection: sqlite3.Connection, before: int | None) -> tuple[str, tuple[object, ...]]:
        """Return the WHERE clause, empty for none, and its values. ``before``: only runs with a smaller id.

        Of several kinds that are asked for, the one with the fewest runs is looked up, and its runs are tried for the
        others. Numbers grow with time, so that a time is a range of numbers; a run whose time is off by more than
        ``SLACK`` from those beside it is not found by its time.
        """
        terms: list[Term] = []
        if before is not None:
            terms.append(("id < ?", (before,)))
        # With a plus sign a term is only tried: what the index of times finds would have to be sorted.
        if self.since is not None:
            terms += [(f"id >= {_FIRST}", (self.since - SLACK,)), ("+queued_at >= ?", (self.since,))]
        if self.until is not None:
            terms += [(f"id <= {_LAST}", (self.until + SLACK,)), ("+queued_at < ?", (self.until,))]
        terms += self._of_kinds(connection)
        clause = " WHERE " + " AND ".join(term for term, _ in terms) if terms else ""
        return clause, tuple(value for _, values in terms for value in values)

    def _of_kinds(self, connection: sqlite3.Connection) -> list[Term]:
        asked = [("name", self.name), ("outcome", self.outcome), ("actor", self.actor)]
        terms: list[Term] = [(f"{column} = ?", (value,)) for column, value in asked if value is not None]
        names = None if self.part is None else _names_with(connection, self.part)
        if names is not None:
            terms.append((f"name IN ({', '.join('?' * len(names))})", names))
        tried: list[Term] = []
        if self.part is not None and names is None:
            tried.append(("instr(lower(name), lower(?)) > 0", (self.part,)))
        if len(terms) < 2 and names is None:
            return terms + tried
        sizes = [_up_to_many(connection, term) for term in terms]
        fewest = min(range(len(terms)), key=sizes.__getitem__)
        looked_up, values = terms.pop(fewest)
        if values is names:
            # Of many names the newest runs are found sooner by trying all runs.
            few = sizes[fewest] < MANY
            looked_up = f"id IN (SELECT id FROM run WHERE {looked_up})" if few else f"+{looked_up}"  # noqa: S608 - our own words
        return [(looked_up, values), *((f"+{term}", values) for term, values in terms), *tried]


def _names_with(connection: sqlite3.Connection, part: str) -> tuple[object, ...] | None:
    """Return the names with a part; None where there are too many names to look through, or to look up."""
    rows = connection.execute(_NAMES, (MOST_NAMES + 1, part)).fetchall()
    found = tuple(name for name, has in rows if has)
    return None if len(rows) > MOST_NAMES or len(found) > MOST_FOUND else found


def _up_to_many(connection: sqlite3.Connection, term: Term) -> int:
    """Return how many runs of a kind there are."""
    query = f"SELECT count(*) FROM (SELECT 1 FROM run WHERE {term[0]} LIMIT {MANY})"  # noqa: S608 - our own words
    return int(connection.execute(query, term[1]).fetchone()[0])
