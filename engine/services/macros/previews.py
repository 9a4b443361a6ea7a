"""Previews for the audit: whoever looks at a text while typing runs code, of which no record is left that went well.

One entry for each actor and minute says how many there were, of which texts, with which macros. It is written when the
minute is over or the engine stops; an engine that is killed loses that much.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.services.access import Actor
from engine.services.audit import AuditService

WINDOW = 60.0
"""Seconds that are counted together, from the first preview on."""

NAMED = 5
"""Texts, and sets of macros, that are named; others are counted only."""


@dataclass(slots=True)
class _Minute:
    actor: Actor
    source: str
    timer: asyncio.TimerHandle
    first_at: float
    last_at: float = 0.0
    previews: int = 0
    texts: list[str] = field(default_factory=list)
    code_sha256: list[str] = field(default_factory=list)


class PreviewAudit:
    """Counts the previews that called a macro, and tells the audit."""

    def __init__(self, audit: AuditService, wall: Callable[[], float] = time.time) -> None:
        """``wall`` tells the seconds since the epoch."""
        self._audit = audit
        self._wall = wall
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def note(self, actor: Actor, source: str, path: str, code_sha256: str) -> None:
        """Count a preview of the text ``path``, with macros of that hash."""
        key = actor.identity, source
        now = self._wall()
        minute = self._minutes.get(key)
        if minute is None:
            timer = asyncio.get_running_loop().call_later(WINDOW, self._tell, key)
            minute = self._minutes[key] = _Minute(actor, source, timer, now)
        minute.previews += 1
        minute.last_at = now
        for named, one in ((minute.texts, path), (minute.code_sha256, code_sha256)):
            if one not in named and len(named) < NAMED:
                named.append(one)

    def close(self) -> None:
        """Tell what was counted so far."""
        for key in list(self._minutes):
            self._tell(key)

    def _tell(self, key: tuple[str, str]) -> None:
        minute = self._minutes.pop(key)
        minute.timer.cancel()
        self._audit.tell_at(
            minute.last_at,  # it is written when the minute is over, and nothing happened then
            minute.actor,
            minute.source,
            "preview",
            ", ".join(filter(None, minute.texts)),
            previews=minute.previews,
            code_sha256=minute.code_sha256,
            first_at=round(minute.first_at, 3),
            last_at=round(minute.last_at, 3),
        )
