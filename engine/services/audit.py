"""Who did what, for the record: one writer, which others tell in a word what was done."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from engine.models.engine import AuditCheck, AuditList, AuditRecord
from engine.registry.engine import AUDIT_LIST, AUDIT_VERIFY
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements
from engine.services.redaction import Redactor
from engine.services.system_log import TAG, SystemLog
from store.errors import StoreError
from store.state.audit import Audit, AuditEvent, AuditRow
from store.state.audit_export import AuditExport
from store.state.audit_filter import AuditFilter

log = logging.getLogger(__name__)

AT_START = 1_000
"""Records that are looked at when the engine starts."""

HEAD_EVERY = 60.0
"""Seconds between two notes of the newest record, and two looks whether something is to be exported."""

RESEND_EVERY = 3_600.0
"""Seconds after which the system's log gets a head again that it has already."""

SETTINGS = "settings"
"""The action of a record that tells what is set besides the defaults."""


class AuditService:
    """Implemented on ``store.state.audit``.

    What is told here is written within an instant; what must come first, awaits.
    """

    def __init__(self, audit: Audit, export: AuditExport | None, system_log: SystemLog | None = None) -> None:
        self._audit = audit
        self._export = export
        self._system_log = system_log
        self._sent = (0, float("-inf"))
        """Number of the head that the system's log got last, and when that was, by the monotonic clock."""
        self._redactor = Redactor()
        audit.redact = self._redactor.event
        self._waiting: deque[AuditEvent] = deque()
        self._work = asyncio.Event()
        self._writing = asyncio.Lock()
        self._broken: str | None = None
        self._unwritten: str | None = None
        self.before_look: Callable[[], Awaitable[None]] | None = None
        """Has written what others put on record with what it tells of; put in place when runs are recorded."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the record, one sentence."""
        return self._broken or self._unwritten

    @property
    def unwritten(self) -> str | None:
        """Why what was told is not on record, one sentence; None where it is."""
        return self._unwritten

    async def start(self, actor: Actor) -> None:
        """Look whether the newest records are in order, and begin."""
        self._broken = await self._audit.verify(AT_START)
        if self._broken is not None:
            log.error("audit: %s", self._broken)
        self.tell(actor, "engine", "start")
        await self.flush()

    async def stop(self, actor: Actor) -> None:
        """Write what is left and note where the record ends."""
        self.tell(actor, "engine", "stop")
        await self.flush()
        await self._note_head()
        await self.send_head()

    async def run(self) -> None:
        """Write what is told, and export what is a day old, until cancelled."""
        noted = float("-inf")
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAD_EVERY):
                    await self._work.wait()
            self._work.clear()
            try:
                await self.flush()
                if time.monotonic() - noted >= HEAD_EVERY:
                    noted = time.monotonic()
                    await self._note_head()
                    await self._send_changed_head()
                    await self._export_old()
            except Exception:  # a mistake of ours must not leave the rest of the day without a record
                log.exception("the audit record could not be kept up")

    def know_secrets(self, values: Iterable[str]) -> None:
        """Keep these values out of every record from here on."""
        self._redactor.know(values)

    def without_secrets(self, text: str) -> str:
        """Return a text with these values hidden, in every spelling that is looked for."""
        return self._redactor.hidden(text)

    def tell(self, actor: Actor, source: str, action: str, subject: str = "", **detail: object) -> None:
        """Record something that has happened now."""
        self.tell_at(time.time(), actor, source, action, subject, **detail)

    def tell_at(self, at: float, actor: Actor, source: str, action: str, subject: str = "", **detail: object) -> None:
        """Record something that happened ``at`` an earlier time; its place is behind what was told before it."""
        self._waiting.append(event_at(at, actor, source, action, subject, **detail))
        self._work.set()

    async def tell_settings(self, actor: Actor, settings: Mapping[str, object]) -> None:
        """Record what holds besides the defaults, if that is not what the newest such record says."""
        detail = json.dumps(settings, sort_keys=True)
        told = self._redactor.event(AuditEvent(time.time(), actor.name, actor.uid, "engine", SETTINGS, detail=detail))
        found = await self._audit.find(AuditFilter(action=SETTINGS), 1)
        if json.loads(told.detail) != (found[0].details if found else {}):
            self._waiting.append(told)
            self._work.set()

    async def send_head(self, run: str = "") -> None:
        """Send the newest record's hash to the system's log. ``run``: the ADMIN run before which that is done."""
        if self._system_log is None:
            return
        try:
            newest = await self._audit.newest(1)
        except StoreError as error:  # an intent that is on record is not undone by that
            log.warning("the head of the audit record was not sent: %s", error)
            return
        if newest and self._system_log.send(newest[0].seq, newest[0].sha256, self._redactor.subject(run)):
            self._sent = (newest[0].seq, time.monotonic())

    async def flush(self) -> None:
        """Write what was told so far; what cannot be written waits for the next time."""
        await asyncio.shield(self._flush())  # half of it done would be done again

    async def _flush(self) -> None:
        async with self._writing:
            events = list(self._waiting)
            if not events:
                return
            try:
                await self._audit.append(events)
            except StoreError as error:
                self._unwritten = f"Audit records cannot be written: {error}"
                log.warning("audit records cannot be written: %s", error)
                return
            self._unwritten = None
            for _ in events:
                self._waiting.popleft()

    @implements(AUDIT_LIST)
    async def list(
        self,
        actor: Actor,  # noqa: ARG002 - its role is checked
        limit: int = 50,
        before: int | None = None,
        *,
        who: str = "",
        what: str = "",
        action: str = "",
        subject: str = "",
        since: float | None = None,
        until: float | None = None,
        text: str = "",
    ) -> AuditList:
        """Return the newest of the records that are wanted, newest first."""
        if not 1 <= limit <= 500:
            raise ServiceError("bad_request", "limit must be 1 to 500.")
        await self._write_all()
        wanted = AuditFilter(who=who, what=what, action=action, subject=subject, since=since, until=until, text=text)
        rows = await self._audit.find(wanted, limit + 1, before)
        more = rows[limit - 1].seq if len(rows) > limit else None
        return AuditList(records=[_record(row) for row in rows[:limit]], next_before=more)

    @implements(AUDIT_VERIFY)
    async def verify(
        self,
        actor: Actor,  # noqa: ARG002 - its role is checked
        after: int = 0,
        most: int | None = None,
        head: str = "",
    ) -> AuditCheck:
        """Look at every record, or at a piece of them, and for a head that was noted elsewhere."""
        await self._write_all()
        found = await self._audit.check(after, most)
        more = found.problem is None and found.last < found.newest
        problem, head_at = found.problem, None
        if head and problem is None and not more:
            head_at = await self._audit.with_hash(head)
            if head_at is None:
                problem = (
                    "No audit record has that head: records were removed or changed after it was noted, or it is of "
                    "another project."
                )
        return AuditCheck(
            records=found.newest,
            head=found.head,
            problem=problem,
            checked=found.last,
            next_after=found.last if more else None,
            head_at=head_at,
            copies=self._copies(),
        )

    async def _write_all(self) -> None:
        """Write what has happened so far, the ends of runs included."""
        await self.flush()
        if self.before_look is not None:
            await asyncio.shield(self.before_look())

    def _copies(self) -> str:
        """Say where copies of the head are."""
        if self._system_log is None:
            return (
                "No copies of the head are sent anywhere: [audit] in the settings, or this project, does not let them."
            )
        if self._system_log.problem is not None:
            return f"No copy of the head could be sent: {self._system_log.problem} Keep one elsewhere yourself."
        place = f"journalctl -t {TAG} _UID={os.geteuid()}"
        return f"The system's log has a head of each minute: {place}, or grep {TAG} in /var/log."

    async def _send_changed_head(self) -> None:
        """Send a head that is new; one that is not, once an hour: logs forget."""
        seq, at = self._sent
        newest = await self._audit.newest(1)
        if newest and (newest[0].seq != seq or time.monotonic() - at >= RESEND_EVERY):
            problem = self._system_log.problem if self._system_log is not None else None
            await self.send_head()
            if self._system_log is not None and self._system_log.problem not in (None, problem):
                log.warning("the head of the audit record was not sent: %s", self._system_log.problem)

    async def _note_head(self) -> None:
        try:
            await self._audit.note_head()
        except StoreError as error:
            log.warning("the newest audit record was not noted: %s", error)

    async def _export_old(self) -> None:
        if self._export is None:
            return
        try:
            await self._export.bring_up_to_date(time.time())
        except StoreError as error:
            log.warning("audit records were not exported: %s", error)


def event(actor: Actor, source: str, action: str, subject: str = "", **detail: object) -> AuditEvent:
    """Return what ``store.state.audit`` records of something that happens now."""
    return event_at(time.time(), actor, source, action, subject, **detail)


def event_at(at: float, actor: Actor, source: str, action: str, subject: str = "", **detail: object) -> AuditEvent:
    """Return what ``store.state.audit`` records of something that happened ``at`` an earlier time."""
    text = json.dumps(detail, sort_keys=True)
    return AuditEvent(at, actor.name, actor.uid, source, action, subject, text)


def _record(row: AuditRow) -> AuditRecord:
    """Return a record as it can be shown, also one of which somebody else made something that none of ours is."""
    return AuditRecord(
        seq=row.seq,
        at=row.at if isinstance(row.at, float) and math.isfinite(row.at) else 0.0,
        actor=_text(row.actor),
        uid=row.uid if isinstance(row.uid, int) else -1,
        source=_text(row.source),
        action=_text(row.action),
        subject=_text(row.subject),
        detail=_details(row),
        sha256=_text(row.sha256),
        prev=_text(row.prev),
    )


def _details(row: AuditRow) -> dict[str, Any]:
    """Return the detail read, or under ``text`` as it stands where it cannot go over the wire."""
    try:
        found = row.details
        msgspec.json.encode(found)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {"text": _text(row.detail)}
    return found


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
