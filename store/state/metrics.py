"""The part of ``state.db`` that has the figures of runs over time: of spans, and by script, caller and kind of failure.

What happened in a minute is added to the spans of every length that hold it, so that a question about a month reads a
few hundred rows. Durations are kept as how many fell into each bin: bins add up, percentiles do not. What a bin is, the
writer knows.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from store.database import Database

MINUTE, TEN_MINUTES, HOUR, DAY = 60, 600, 3_600, 86_400

KEPT = 30 * DAY
"""Seconds that figures are kept."""

SPAN_STEPS = (MINUTE, TEN_MINUTES, HOUR)

GROUP_STEPS = {TEN_MINUTES: 2 * DAY, HOUR: KEPT + DAY, DAY: KEPT + 2 * DAY}
"""How long the groups of each step are kept."""

MOST_NAMES = 2_000
"""Groups of one kind in one span. What is more counts as ``OTHERS``."""

OTHERS = "(others)"

_PRUNED_AT_ONCE = 500


class SpanRow(msgspec.Struct, frozen=True):
    """What happened in a span of time. The fields are the columns of table ``metric_span``, in their order."""

    step: int
    at: int
    total: int = 0
    successful: int = 0
    cancelled: int = 0
    timed: int = 0
    duration: int = 0
    shortest: int | None = None
    longest: int | None = None
    durations: bytes = b""
    contended: int = 0
    waits: int = 0
    waited: int = 0
    longest_wait: int | None = None
    waits_timed_out: int = 0
    busy: float = 0.0
    slots: float = 0.0
    size: int = 0
    samples: int = 0
    engine_cpu: float | None = None
    engine_memory: int | None = None
    gateway_cpu: float | None = None
    gateway_memory: int | None = None
    load: float | None = None


class GroupRow(msgspec.Struct, frozen=True):
    """Runs of one script, caller or kind of failure in a span. The fields are the columns of ``metric_group``."""

    kind: str
    step: int
    at: int
    name: str
    total: int = 0
    successful: int = 0
    cancelled: int = 0
    errors: str = "{}"
    timed: int = 0
    duration: int = 0
    shortest: int | None = None
    longest: int | None = None
    durations: bytes = b""
    last_at: float = 0.0


class EndedRun(msgspec.Struct, frozen=True):
    """What the record of a run that has ended says for the figures, with the repeated runs that it stands for."""

    id: int
    kind: str
    name: str
    actor: str
    outcome: str
    finished_at: float
    started: bool
    duration: float | None
    """Seconds; None of a run that ended with its engine, whose end is not known."""
    repeated: int
    """Runs without a record of their own that are counted in this one."""
    repeated_total: float
    """Sum of their durations, in seconds."""


@dataclass(frozen=True, slots=True)
class SpanRange:
    """Spans of one length that are asked for together."""

    step: int
    since: int
    until: int


_SPAN = SpanRow.__struct_fields__
_GROUP = GroupRow.__struct_fields__
_RUN = (
    "id, kind, name, actor, coalesce(outcome, ''), finished_at, started_at IS NOT NULL, duration, "
    "runs - 1, total FROM run LEFT JOIN run_condensed ON run_id = id"
)
_SUMS = "name, sum(total), sum(successful), sum(cancelled), sum(timed), sum(duration), max(last_at)"


class MetricRecords:
    """Spans and groups: added to once a minute, by one writer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def through(self) -> float | None:
        """Return up to which end of a run everything is counted; None in records that were never counted."""
        row = await self._database.read(
            lambda connection: connection.execute("SELECT at FROM metric_through").fetchone()
        )
        return None if row is None else float(row[0])

    async def add(self, minutes: Sequence[SpanRow], groups: Sequence[GroupRow], through: float, now: float) -> None:
        """Add what happened in some minutes to all spans that hold them, in one transaction.

        Args:
            minutes: What happened.
            groups: The same by script, caller and kind of failure.
            through: When the last of these runs ended.
            now: What is not kept as long as until then is not added.

        Raises:
            StoreError: Nothing of it was added.
        """
        spans, members = await asyncio.to_thread(lambda: (_longer_spans(minutes), _longer_groups(groups, now)))

        def work(connection: sqlite3.Connection) -> None:
            _merge_spans(connection, spans)
            _merge_groups(connection, members)
            connection.execute(
                "INSERT INTO metric_through (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at",
                (through,),
            )

        await self._database.write(work)

    async def spans(self, part: SpanRange) -> list[SpanRow]:
        """Return spans of one length, in the order of time."""
        query = f"SELECT {', '.join(_SPAN)} FROM metric_span WHERE step = ? AND at >= ? AND at < ? ORDER BY at"  # noqa: S608 - our own columns
        values = (part.step, part.since, part.until)
        return await self._database.read(
            lambda connection: [SpanRow(*row) for row in connection.execute(query, values)]
        )

    async def sums(self, kind: str, parts: Iterable[SpanRange]) -> dict[str, GroupRow]:
        """Return counts by name over all ``parts``, without what cannot be summed: extremes, bins, errors."""
        query = f"SELECT {_SUMS} FROM metric_group WHERE kind = ? AND step = ? AND at >= ? AND at < ? GROUP BY name"  # noqa: S608 - our own columns

        def work(connection: sqlite3.Connection) -> dict[str, GroupRow]:
            found: dict[str, GroupRow] = {}
            for part in parts:
                for row in connection.execute(query, (kind, part.step, part.since, part.until)):
                    name, total, successful, cancelled, timed, duration, last_at = row
                    one = GroupRow(
                        kind=kind, step=0, at=0, name=name, total=total, successful=successful, cancelled=cancelled,
                        timed=timed, duration=duration, last_at=last_at,
                    )  # fmt: skip
                    found[name] = one if name not in found else merged_group(found[name], one)
            return found

        return await self._database.read(work)

    async def groups(self, kind: str, parts: Iterable[SpanRange], names: Sequence[str]) -> dict[str, GroupRow]:
        """Return everything about some names over all ``parts``."""
        marks = ", ".join("?" * len(names))
        query = (
            f"SELECT {', '.join(_GROUP)} FROM metric_group "  # noqa: S608 - our own columns
            f"WHERE kind = ? AND step = ? AND at >= ? AND at < ? AND name IN ({marks})"
        )

        def work(connection: sqlite3.Connection) -> dict[str, GroupRow]:
            rows: dict[str, list[GroupRow]] = {}
            for part in parts:
                for values in connection.execute(query, (kind, part.step, part.since, part.until, *names)):
                    row = GroupRow(*values)
                    rows.setdefault(row.name, []).append(row)
            return {name: merged_groups(some) for name, some in rows.items()}

        return await self._database.read(work) if names else {}

    async def ended(self, after: float, until: float, limit: int) -> list[EndedRun]:
        """Return up to ``limit`` runs whose end was recorded after ``after`` and up to ``until``, in that order.

        Runs of the same end come together, so there may be more of them.
        """
        query = f"SELECT {_RUN} WHERE finished_at > ? AND finished_at <= ? ORDER BY finished_at LIMIT ?"
        rest = f"SELECT {_RUN} WHERE finished_at = ?"

        def work(connection: sqlite3.Connection) -> list[EndedRun]:
            rows = connection.execute(query, (after, until, limit)).fetchall()
            if len(rows) == limit:
                last = rows[-1][5]
                rows = [row for row in rows if row[5] != last] + connection.execute(rest, (last,)).fetchall()
            return [_ended(row) for row in rows]

        return await self._database.read(work)

    async def prune(self, now: float) -> int:
        """Remove some of what is older than it is kept, and return how many rows that were."""

        def work(connection: sqlite3.Connection) -> int:
            gone = 0
            for step in SPAN_STEPS:
                gone += connection.execute(
                    "DELETE FROM metric_span WHERE step = ?1 AND at IN (SELECT at FROM metric_span "
                    "WHERE step = ?1 AND at < ?2 ORDER BY at LIMIT ?3)",
                    (step, int(now - KEPT) - step, _PRUNED_AT_ONCE),
                ).rowcount
            for kind in ("script", "caller", "error"):
                for step, kept in GROUP_STEPS.items():
                    gone += connection.execute(
                        "DELETE FROM metric_group WHERE (kind, step, at, name) IN (SELECT kind, step, at, name "
                        "FROM metric_group WHERE kind = ? AND step = ? AND at < ? LIMIT ?)",
                        (kind, step, int(now - kept), _PRUNED_AT_ONCE),
                    ).rowcount
            return gone

        return await self._database.write(work)


def packed(bins: Mapping[int, int]) -> bytes:
    """Return counts by bin as the columns ``durations`` have them."""
    pairs = array("I", [number for pair in sorted(bins.items()) for number in pair])
    if sys.byteorder == "big":
        pairs.byteswap()
    return pairs.tobytes()


def unpacked(data: bytes, into: dict[int, int] | None = None) -> dict[int, int]:
    """Add the counts of a column ``durations`` to ``into``, and return that."""
    found = {} if into is None else into
    pairs = array("I")
    pairs.frombytes(data)
    if sys.byteorder == "big":
        pairs.byteswap()
    numbers = iter(pairs)
    if not found:  # the usual case, in a third of the time
        found.update(zip(numbers, numbers, strict=True))
        return found
    for bin_, count in zip(numbers, numbers, strict=True):
        found[bin_] = found.get(bin_, 0) + count
    return found


def merged_spans(rows: Sequence[SpanRow]) -> SpanRow:
    """Return one span for several, in the order of time, with step and beginning of the first."""
    first = rows[0]
    if len(rows) == 1:
        return first
    return SpanRow(
        step=first.step,
        at=first.at,
        total=sum(row.total for row in rows),
        successful=sum(row.successful for row in rows),
        cancelled=sum(row.cancelled for row in rows),
        timed=sum(row.timed for row in rows),
        duration=sum(row.duration for row in rows),
        shortest=_least(row.shortest for row in rows),
        longest=_most(row.longest for row in rows),
        durations=_bins(row.durations for row in rows),
        contended=sum(row.contended for row in rows),
        waits=sum(row.waits for row in rows),
        waited=sum(row.waited for row in rows),
        longest_wait=_most(row.longest_wait for row in rows),
        waits_timed_out=sum(row.waits_timed_out for row in rows),
        busy=sum(row.busy for row in rows),
        slots=sum(row.slots for row in rows),
        size=next((row.size for row in reversed(rows) if row.size), 0),
        samples=sum(row.samples for row in rows),
        engine_cpu=_average((row.engine_cpu, row.samples) for row in rows),
        engine_memory=_most(row.engine_memory for row in rows),
        gateway_cpu=_average((row.gateway_cpu, row.samples) for row in rows),
        gateway_memory=_most(row.gateway_memory for row in rows),
        load=_average((row.load, row.samples) for row in rows),
    )


def merged_groups(rows: Sequence[GroupRow]) -> GroupRow:
    """Return one group for several of the same name, with kind, step and beginning of the first."""
    first = rows[0]
    if len(rows) == 1:
        return first
    errors: dict[str, int] = {}
    for row in rows:
        if row.errors != "{}":
            for kind, count in json.loads(row.errors).items():
                errors[kind] = errors.get(kind, 0) + count
    return GroupRow(
        kind=first.kind,
        step=first.step,
        at=first.at,
        name=first.name,
        total=sum(row.total for row in rows),
        successful=sum(row.successful for row in rows),
        cancelled=sum(row.cancelled for row in rows),
        errors=json.dumps(errors, sort_keys=True),
        timed=sum(row.timed for row in rows),
        duration=sum(row.duration for row in rows),
        shortest=_least(row.shortest for row in rows),
        longest=_most(row.longest for row in rows),
        durations=_bins(row.durations for row in rows),
        last_at=max(row.last_at for row in rows),
    )


def merged_group(one: GroupRow, other: GroupRow) -> GroupRow:
    """Return one group for two of the same name."""
    return merged_groups((one, other))


def _bins(columns: Iterable[bytes]) -> bytes:
    filled = [column for column in columns if column]
    if len(filled) < 2:
        return filled[0] if filled else b""
    bins: dict[int, int] = {}
    for column in filled:
        unpacked(column, bins)
    return packed(bins)


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _average(values: Iterable[tuple[float | None, int]]) -> float | None:
    read = [(value, weight) for value, weight in values if value is not None and weight]
    weights = sum(weight for _, weight in read)
    return sum(value * weight for value, weight in read) / weights if weights else None


def _longer_spans(minutes: Sequence[SpanRow]) -> list[SpanRow]:
    """Return what is to be added to the spans of each length, each of them once."""
    found: dict[tuple[int, int], list[SpanRow]] = {}
    for row in minutes:
        for step in SPAN_STEPS:
            found.setdefault((step, row.at - row.at % step), []).append(row)
    return [replace(merged_spans(rows), step=step, at=at) for (step, at), rows in found.items()]


def _longer_groups(groups: Sequence[GroupRow], now: float) -> list[GroupRow]:
    """Return what is to be added to the groups of each length, each of them once, without what is not kept so long."""
    found: dict[tuple[int, int, str, str], list[GroupRow]] = {}
    for row in groups:
        for step, kept in GROUP_STEPS.items():
            if row.at >= now - kept:
                found.setdefault((step, row.at - row.at % step, row.kind, row.name), []).append(row)
    return [replace(merged_groups(rows), step=step, at=at) for (step, at, _, _), rows in found.items()]


def _merge_spans(connection: sqlite3.Connection, rows: Iterable[SpanRow]) -> None:
    find = f"SELECT {', '.join(_SPAN)} FROM metric_span WHERE step = ? AND at = ?"  # noqa: S608 - our own columns
    put = f"INSERT OR REPLACE INTO metric_span VALUES ({', '.join('?' * len(_SPAN))})"  # noqa: S608 - marks only
    for row in rows:
        found = connection.execute(find, (row.step, row.at)).fetchone()
        connection.execute(put, astuple(row if found is None else merged_spans((SpanRow(*found), row))))


def _merge_groups(connection: sqlite3.Connection, rows: Iterable[GroupRow]) -> None:
    find = f"SELECT {', '.join(_GROUP)} FROM metric_group WHERE kind = ? AND step = ? AND at = ? AND name = ?"  # noqa: S608 - our own columns
    count = "SELECT count(*) FROM metric_group WHERE kind = ? AND step = ? AND at = ?"
    put = f"INSERT OR REPLACE INTO metric_group VALUES ({', '.join('?' * len(_GROUP))})"  # noqa: S608 - marks only
    names: dict[tuple[str, int, int], int] = {}
    for asked in rows:
        row, place = asked, (asked.kind, asked.step, asked.at)
        found = connection.execute(find, (*place, row.name)).fetchone()
        if found is None:
            if place not in names:
                names[place] = connection.execute(count, place).fetchone()[0]
            if names[place] >= MOST_NAMES:
                row = replace(row, name=OTHERS)
                found = connection.execute(find, (*place, OTHERS)).fetchone()
            names[place] += found is None
        connection.execute(put, astuple(row if found is None else merged_group(GroupRow(*found), row)))


def _ended(row: Sequence[Any]) -> EndedRun:
    run_id, kind, name, actor, outcome, finished_at, started, duration, repeated, sum_ = row
    more, total = max(0, repeated or 0), max(0.0, (sum_ or 0.0) - (duration or 0.0))
    return EndedRun(run_id, kind, name, actor, outcome, finished_at, bool(started), duration, more, total)
