"""Repeated calls of one saved script by one token, in one record for each minute.

Fifty sessions that call a script each second would fill a disk with records that say the same. What counts as the same
is ``Repeated``: caller, script, its text and its shared code. Of each minute the first run that went well is on record
in full; the others are counted there, with the hashes of what they were given. Whatever did not go well, was asked for
in another way, left files or took long has a record of its own.

Counts are in memory and written every ``WRITE_EVERY`` seconds, into one row: that much is lost with an engine that is
killed. With the minute's end the audit gets one entry of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from msgspec.structs import replace

from engine.models.runs import CondensedRuns, Mode, Outcome, RunInfo, RunKind, RunRequest
from engine.services.access import NO_ACCOUNT, Actor, Role
from engine.services.audit import event_at
from store.errors import StoreError
from store.state.audit import AuditEvent
from store.state.condensed import CondensedRow
from store.state.database import StateDB
from store.state.rows import InputRow

log = logging.getLogger(__name__)

WRITE_EVERY = 5.0
"""Seconds between two writes of counts, and for which a repeated run may go on before it has a record of its own."""

MINUTE = 60

KNOWN_FOR = 2
"""Minutes after which a caller that did not come again is no longer expected to."""

MOST_RANGES = 64
"""Ranges of numbers that a row has; with more of them, the two that are closest become one."""

MOST_DISTINCT = 1_000
"""Different inputs that are counted."""

FIRST_INPUTS = 5
"""Hashes of inputs that are listed."""

MOST_CLOSED = 10_000
"""Minutes that wait to be written while the disk is full."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """What makes one call the same as another, but for its inputs."""

    caller: str
    name: str
    code_sha256: str
    shared: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class HeldRecord:
    """What is kept back of a run's record until it is clear whether it has one of its own.

    Attributes:
        inputs: What the run was given; None for a batch, whose calls have theirs in no record.
        timer: Puts it on record after a while.
        preview: It has none if it goes well.
        listed: It is listed while it goes on.
    """

    inputs: InputRow | None
    timer: asyncio.TimerHandle
    preview: bool = False
    listed: bool = True


def repeated_call(request: RunRequest, info: RunInfo, actor: Actor) -> Repeated | None:
    """Return what a run may be a repetition of; None for a run that has a record of its own in any case.

    A replay, unsaved text and ADMIN always have one, and so has what a person at a terminal asks for.
    """
    by_token = bool(actor.token) and info.source == "rest"
    saved = request.kind is RunKind.SCRIPT and not request.code and not request.own_edits
    if not (by_token and saved and info.mode is Mode.RESTRICTED and info.replay_of is None):
        return None
    shared = tuple((file.path, file.sha256) for file in info.shared)
    return Repeated(actor.identity, info.name, info.code_sha256, shared)


def may_be_condensed(info: RunInfo) -> bool:
    """Whether a record may stand for more than its run."""
    return info.source == "rest" and info.kind is RunKind.SCRIPT and info.outcome is Outcome.OK


class Place(Enum):
    """Where a run that has ended is on record."""

    OWN = auto()
    """In a record and an audit entry of its own."""
    FIRST = auto()
    """In a record of its own, which stands for its minute, as the minute's audit entry does."""
    COUNTED = auto()
    """In the record of another."""
    NONE = auto()
    """Nowhere: a preview that went well, or was not waited for. The audit counts those."""


@dataclass(slots=True)
class Minute:
    """What is known of the repetitions of one minute. ``first`` is the run that is on record; None before that."""

    repeated: Repeated
    number: int
    first: RunInfo | None = None
    runs: int = 0
    failures: int = 0
    shortest: float = float("inf")
    total: float = 0.0
    longest: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    last_id: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    distinct: set[str] = field(default_factory=set)
    more: bool = False
    first_inputs: list[str] = field(default_factory=list)
    digest: str = ""
    changed: bool = False

    def add(self, info: RunInfo) -> None:
        """Count a run that went well."""
        duration, given = info.duration or 0.0, info.inputs_sha256 or ""
        if self.first is None:
            self.first, self.first_at = info, info.queued_at
        else:
            self._add_id(info.id)
        self.runs += 1
        self.shortest, self.longest = min(self.shortest, duration), max(self.longest, duration)
        self.total += duration
        self.last_at = info.finished_at or info.queued_at
        self.last_id = max(self.last_id, info.id)
        self.digest = hashlib.sha256(f"{self.digest}{given}".encode()).hexdigest()
        if given not in self.distinct:
            if len(self.distinct) < MOST_DISTINCT:
                self.distinct.add(given)
            else:
                self.more = True
            if len(self.first_inputs) < FIRST_INPUTS:
                self.first_inputs.append(given)
        self.changed = True

    def has(self, run_id: int) -> bool:
        return any(first <= run_id <= last for first, last in self.ranges)

    def _add_id(self, run_id: int) -> None:
        """Runs end in nearly the order of their numbers, so what joins is looked for from the end."""
        ranges = self.ranges
        at = len(ranges)
        while at and ranges[at - 1][0] > run_id:
            at -= 1
        ranges.insert(at, (run_id, run_id))
        if at + 1 < len(ranges) and ranges[at + 1][0] == run_id + 1:
            ranges[at : at + 2] = [(run_id, ranges[at + 1][1])]
        if at and ranges[at - 1][1] >= run_id - 1:
            ranges[at - 1 : at + 1] = [(ranges[at - 1][0], max(ranges[at - 1][1], ranges[at][1]))]
        if len(ranges) > MOST_RANGES:
            closest = min(range(1, len(ranges)), key=lambda one: ranges[one][0] - ranges[one - 1][1])
            ranges[closest - 1 : closest + 1] = [(ranges[closest - 1][0], ranges[closest][1])]

    def row(self, *, audited: bool) -> CondensedRow:
        """Return the row of a minute that has a first run."""
        inputs = {
            "distinct": len(self.distinct), "more": self.more, "sha256": self.digest, "first": self.first_inputs,
        }  # fmt: skip
        return CondensedRow(
            run_id=self.first.id if self.first is not None else 0,
            runs=self.runs,
            failures=self.failures,
            shortest=self.shortest,
            total=self.total,
            longest=self.longest,
            first_at=self.first_at,
            last_at=self.last_at,
            last_id=self.last_id,
            inputs=json.dumps(inputs),
            ids=json.dumps(self.ranges),
            audited=audited,
        )

    def entry(self) -> AuditEvent:
        """Return what the audit has of a minute that has a first run."""
        name = self.first.actor if self.first is not None else ""
        source = self.first.source if self.first is not None else ""
        return _entry(self.row(audited=True), name, source, self.repeated.name, self.repeated.code_sha256)


class Condenser:
    """Counts what is repeated, and has it written."""

    def __init__(self, state: StateDB, is_durable: Callable[[int], bool], publish: Callable[[RunInfo], None]) -> None:
        """Begin with nothing.

        Args:
            state: Where the counts are kept.
            is_durable: Whether the record of a finished run is written.
            publish: Tells of a record that has changed.
        """
        self._state = state
        self._is_durable = is_durable
        self._publish = publish
        self._open: dict[Repeated, Minute] = {}
        self._closed: list[Minute] = []
        """Minutes that are over, and not yet written to the end."""
        self._known: dict[Repeated, int] = {}
        """The latest minute in which each call went well."""
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._problem = False

    async def start(self) -> None:
        """Tell the audit what an engine that was killed had counted, and begin."""
        try:
            await self._tell_left()
        except StoreError as error:
            log.warning("what was counted before cannot be put into the audit record: %s", error)
        self._task = asyncio.create_task(self._run(), name="condenser")

    async def close(self) -> None:
        """Write everything, with the minutes that have just begun. The records of their runs are written before."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._close_minutes(lambda _: True)
        await self.write()

    def expects(self, repeated: Repeated) -> bool:
        """Whether it went well a short while ago, so that what comes now may be a repetition."""
        return repeated in self._known

    def ended(self, repeated: Repeated, info: RunInfo, *, on_record: bool) -> Place:
        """Count a run that has ended, and say where it is on record; ``on_record``: it has a record already."""
        minute = self._minute(repeated, info.finished_at or time.time())
        if info.outcome is not Outcome.OK:
            if info.outcome is not Outcome.CANCELLED:  # neither, as in the figures: it was stopped by choice
                minute.failures += 1
                minute.changed = True
            return Place.OWN
        self._known[repeated] = minute.number
        if info.files or info.buffers or (on_record and minute.first is not None):
            return Place.OWN
        minute.add(info)
        return Place.FIRST if minute.first is info else Place.COUNTED

    def shown(self, info: RunInfo, row: CondensedRow | None = None) -> RunInfo:
        """Return a record with what it stands for, as it is now; ``row`` is what was written of that."""
        for minute in self._minutes():
            if minute.first is not None and minute.first.id == info.id:
                row = minute.row(audited=False)
        if row is None or (row.runs == 1 and not row.failures):
            return info
        return replace(info, condensed=condensed_runs(row))

    def holder_of(self, run_id: int) -> int | None:
        """Return the run in whose record another one is counted, as far as that is in memory."""
        found = (minute.first for minute in self._minutes() if minute.has(run_id))
        return next((first.id for first in found if first is not None), None)

    async def write(self) -> None:
        """Write the counts that have changed; what cannot be written waits for the next time."""
        async with self._writing:
            closed = [minute for minute in self._closed if self._writable(minute)]
            changed = [minute for minute in self._open.values() if minute.changed and self._writable(minute)]
            if not closed and not changed:
                return
            rows = [minute.row(audited=True) for minute in closed] + [minute.row(audited=False) for minute in changed]
            for minute in changed:
                minute.changed = False
            entries = [minute.entry() for minute in closed]
            try:
                await self._state.note_condensed(rows, entries)
            except StoreError as error:
                for minute in changed:
                    minute.changed = True
                self._failed(error)
                return
            self._problem = False
            self._closed = [minute for minute in self._closed if minute not in closed]
        for minute in (*closed, *changed):
            if minute.first is not None and minute.runs + minute.failures > 1:
                self._publish(self.shown(minute.first, minute.row(audited=False)))

    def _failed(self, error: StoreError) -> None:
        if not self._problem:
            log.error("the counts of repeated runs cannot be written: %s", error)
        self._problem = True
        if len(self._closed) > MOST_CLOSED:
            lost = len(self._closed) - MOST_CLOSED
            log.error("the counts of %d minutes are lost: they could not be written for too long", lost)
            del self._closed[:lost]

    def _writable(self, minute: Minute) -> bool:
        return minute.first is not None and self._is_durable(minute.first.id)

    def _minutes(self) -> Iterator[Minute]:
        yield from self._open.values()
        yield from self._closed

    def _minute(self, repeated: Repeated, at: float) -> Minute:
        number, minute = int(at // MINUTE), self._open.get(repeated)
        if minute is None or minute.number != number:
            if minute is not None:
                self._close_minutes(lambda other: other is minute)
            minute = self._open[repeated] = Minute(repeated, number)
        return minute

    def _close_minutes(self, is_over: Callable[[Minute], bool]) -> None:
        for minute in [minute for minute in self._open.values() if is_over(minute)]:
            del self._open[minute.repeated]
            if minute.first is not None:  # what only failed is on record run by run
                self._closed.append(minute)

    def _leave_past(self, now: int) -> None:
        """Close the minutes that are over, and expect those no longer that have not come again."""
        self._close_minutes(lambda minute: minute.number != now)
        for repeated in [one for one, number in self._known.items() if abs(now - number) > KNOWN_FOR]:
            del self._known[repeated]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            self._leave_past(int(time.time() // MINUTE))
            try:
                await asyncio.shield(self.write())
            except Exception:  # a mistake of ours must not end the counting
                log.exception("the counts of repeated runs could not be written")

    async def _tell_left(self) -> None:
        rows = await self._state.condensed.unaudited()
        entries, told = [], []
        for row in rows:
            if (run := await self._state.run(row.run_id)) is not None:
                entries.append(_entry(row, run.actor, run.source, run.name, run.code_sha256))
                told.append(replace(row, audited=True))
        if told:
            await self._state.note_condensed(told, entries)


def condensed_runs(row: CondensedRow) -> CondensedRuns:
    """Return what a row says, as records show it."""
    inputs: dict[str, Any] = json.loads(row.inputs)
    return CondensedRuns(
        runs=row.runs,
        failures=row.failures,
        shortest=row.shortest,
        average=row.total / row.runs,
        longest=row.longest,
        first_at=row.first_at,
        last_at=row.last_at,
        last_run=row.last_id,
        inputs_distinct=inputs["distinct"],
        inputs_more=inputs["more"],
        inputs_sha256=inputs["sha256"],
        inputs_first=inputs["first"],
    )


def _entry(row: CondensedRow, actor: str, source: str, name: str, code_sha256: str) -> AuditEvent:
    """Return the one entry that the audit has of a minute's runs."""
    found = condensed_runs(row)
    return event_at(
        found.last_at,  # it is written when the minute is over
        Actor(actor, NO_ACCOUNT, Role.OPERATOR),
        source,
        "run",
        f"#{row.run_id} {name}",
        outcome=Outcome.OK.value,
        code_sha256=code_sha256,
        runs=found.runs,
        failures=found.failures,
        first_at=round(found.first_at, 3),
        last_at=round(found.last_at, 3),
        last_run=found.last_run,
        inputs_distinct=found.inputs_distinct,
        inputs_sha256=found.inputs_sha256,
    )
