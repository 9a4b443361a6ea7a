"""Refused calls and logins for the audit, condensed: a flood of them does not become a flood of records."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.services.access import NO_ACCOUNT, Actor, Role
from engine.services.audit import AuditService

WINDOW = 60.0
"""Seconds within which further refusals of the same kind are counted instead of recorded one by one."""

KINDS = 256
"""Different refusals within a window that are told apart; all others are counted together."""

DENIED = "denied"
"""The action, as the audit names it. The subject is the operation, or where a login came from."""

OF_ONE = 16
"""Of these those of one actor, or of all callers whose login was refused: an address is cheap."""

OTHERS = "other refusals"
"""The subject of what is counted together."""


@dataclass(slots=True)
class _Repeats:
    """Refusals of one kind after the first, within one window."""

    actor: Actor
    source: str
    subject: str
    began: float
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    detail: dict[str, object] = field(default_factory=dict)


class Denials:
    """Records the first refusal of a kind at once, and how many followed when a minute is over.

    A kind is an actor, an operation and the role that it needed.

    Args:
        audit: Where they are recorded.
        clock: Monotonic, in seconds.
        wall: The wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        audit: AuditService,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._wall = wall
        self._windows: dict[tuple[str, str], _Repeats] = {}

    def note(self, actor: Actor, source: str, subject: str, **detail: object) -> None:
        """Put a refusal on record. ``detail`` never holds a token's text."""
        kind = f"{subject} {detail.get('needs', '')}{detail.get('token', '')}"
        key = actor.identity, kind
        repeats = self._windows.get(key)
        if repeats is None and not self._has_room(actor):
            self.settle()
            if not self._has_room(actor):
                actor = actor if len(self._windows) < KINDS else Actor("several", NO_ACCOUNT, Role.VIEWER)
                subject, detail = OTHERS, {}
                key = actor.identity, OTHERS
                repeats = self._windows.get(key)
        if repeats is not None and self._clock() - repeats.began < WINDOW:
            repeats.count += 1
            repeats.last_at = self._wall()
            repeats.first_at = repeats.first_at or repeats.last_at
            return
        if repeats is not None:
            self._tell(repeats)
        self._windows[key] = _Repeats(actor, source, subject, self._clock(), detail=dict(detail))
        self._audit.tell(actor, source, DENIED, subject, **detail)

    def _has_room(self, actor: Actor) -> bool:
        of_one = sum(identity == actor.identity for identity, _ in self._windows)
        return len(self._windows) < KINDS and of_one < OF_ONE

    def settle(self, *, everything: bool = False) -> None:
        """Record what was counted in windows that are over, or in all of them."""
        now = self._clock()
        for key, repeats in list(self._windows.items()):
            if everything or now - repeats.began >= WINDOW:
                self._tell(repeats)
                del self._windows[key]

    def _tell(self, repeats: _Repeats) -> None:
        if repeats.count:
            self._audit.tell_at(
                repeats.last_at,  # they are written when their window is over, and did not happen then
                repeats.actor,
                repeats.source,
                DENIED,
                repeats.subject,
                **repeats.detail,
                repeated=repeats.count,
                first_at=round(repeats.first_at, 3),
                last_at=round(repeats.last_at, 3),
            )
