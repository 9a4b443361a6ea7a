"""The session that Designers ask for before their calls: a token that stands for the one that they came with."""

from __future__ import annotations

import uuid
from typing import Any

from engine.api.host import EngineHost
from engine.models.base import Model
from engine.registry.access import ACCESS_SELF
from engine.registry.operation import Operation
from engine.services.access import Actor
from engine.services.operations import implements


class SessionRequest(Model, frozen=True):
    """``client_id`` is the client's own word for itself and means nothing here."""

    client_id: str = ""


class SessionAnswer(Model, frozen=True):
    """``api_token`` does what the caller's own token does, and ends with it or after ``expires_in`` seconds.

    ``token`` is what these clients send back against forged requests. Here it counts for nothing.
    """

    success: bool
    token: str
    expires_in: int
    security_mode: str
    api_token: str


SESSION = Operation(
    "compat.session",
    "POST",
    "/auth/session",
    SessionAnswer,
    ACCESS_SELF.role,
    "Open a session with the rights of the caller",
    body=SessionRequest,
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (SESSION,)


class CompatSessions:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(SESSION)
    def open(self, request: SessionRequest, actor: Actor) -> SessionAnswer:  # noqa: ARG002 - its client_id counts for nothing
        text, lifetime = self._host.engine.callers.session_of(actor)
        return SessionAnswer(
            success=True,
            token=str(uuid.uuid4()),
            expires_in=round(lifetime),
            security_mode=actor.default_mode,
            api_token=text,
        )
