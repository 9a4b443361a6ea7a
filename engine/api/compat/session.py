"""The session that Designers ask for before their calls: a token that stands for the one that they came with."""

from __future__ import annotations

import uuid
from typing import Any

from engine.api.host import EngineHost
from engine.models.base import Model
from engine.registry.engine import ENGINE_INFO
from engine.registry.operation import Operation
from engine.services.access import Actor
from engine.services.operations import implements

LIFETIME = 28_800
"""Seconds, as these clients expect."""


class SessionRequest(Model, frozen=True):
    """``client_id`` is the client's own word for itself and means nothing here."""

    client_id: str = ""


class Session(Model, frozen=True):
    """``token`` is what these clients send back against forged requests. Here it counts for nothing."""

    success: bool
    token: str
    expires_in: int
    security_mode: str
    api_token: str | None = None


SESSION = Operation(
    "compat.session",
    "POST",
    "/auth/session",
    Session,
    ENGINE_INFO.role,
    "Open a session with the rights of the caller",
    body=SessionRequest,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (SESSION,)


class Sessions:
    def __init__(self, host: EngineHost) -> None:
        self._host = host

    @implements(SESSION)
    def open(self, request: SessionRequest, actor: Actor) -> Session:  # noqa: ARG002 - its client_id counts for nothing
        return Session(success=True, token=str(uuid.uuid4()), expires_in=LIFETIME, security_mode=actor.default_mode)
