"""Tokens, denials and callers on a real database, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.models.access import TokenRequest
from engine.services.access import Actor, Role
from engine.services.audit import AuditService
from engine.services.callers import Callers
from engine.services.denials import Denials
from engine.services.sessions import Sessions
from engine.services.throttle import LoginThrottle
from engine.services.tokens import TokenService
from store.disk_space import ReadOnlySpace
from store.state.database import StateDB

OWNER = Actor(name="olga", uid=4711, role=Role.ADMIN)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Room:
    """A disk with room."""

    hint = ""
    read_only = False

    def short(self) -> str | None:
        return None


@dataclass
class AccessKit:
    state: StateDB
    audit: AuditService
    tokens: TokenService
    denials: Denials
    callers: Callers
    clock: Clock

    async def token(self, name: str = "ci", role: str = "operator", **fields: object) -> str:
        request = TokenRequest(name=name, role=role, **fields)  # type: ignore[arg-type]
        return (await self.tokens.create(request, OWNER, "cli")).token

    async def audited(self, action: str) -> list[tuple[str, str, dict[str, object]]]:
        """Actor, subject and detail of the records of an action, oldest first."""
        found = (await self.audit.list(OWNER, limit=500)).records
        return [(each.actor, each.subject, each.detail) for each in reversed(found) if each.action == action]


@asynccontextmanager
async def access_kit(folder: Path, space: Room | ReadOnlySpace | None = None) -> AsyncIterator[AccessKit]:
    state = await StateDB.open(folder / "state.db")
    try:
        clock = Clock()
        audit = AuditService(state.audit, None)
        tokens = TokenService(state.tokens, audit, space or Room(), clock)
        await tokens.load()
        denials = Denials(audit, clock, clock)
        callers = Callers(OWNER, tokens, denials, sessions=Sessions(clock), throttle=LoginThrottle(clock))
        yield AccessKit(state, audit, tokens, denials, callers, clock)
    finally:
        await state.close()
