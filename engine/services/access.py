"""Who asks, and what they may do (DESIGN 4.4 and 6).

A role is a ladder: each one may do what the ones below it may. In this slice the owner of the project is ``admin`` and
nobody else gets in; mapped groups and tokens hang in here later.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from enum import IntEnum

from engine.models.base import ErrorBody


class Role(IntEnum):
    VIEWER = 0
    OPERATOR = 1
    AUTHOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller as the kernel or a token names it."""

    name: str
    uid: int
    role: Role


class ServiceError(Exception):
    """An operation said no. It reaches every surface as the same sentence, code and hint."""

    def __init__(self, code: str, message: str, *, hint: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status

    def body(self) -> ErrorBody:
        return ErrorBody(error=self.message, code=self.code, hint=self.hint)


def require(actor: Actor, role: Role, what: str) -> None:
    """Raise ``forbidden`` unless ``actor`` holds ``role``. ``what`` completes "alice may not …"."""
    if actor.role < role:
        raise ServiceError(
            "forbidden",
            f"{actor.name} may not {what}: that needs the role {role.name.lower()}.",
            hint="Ask an administrator of this project for the role.",
            status=403,
        )


def user_name(uid: int) -> str:
    """The account's name, or ``uid 1234`` where the host knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def owner_actor() -> Actor:
    """The account this process runs as: it owns the project, so it is its administrator."""
    uid = os.geteuid()
    return Actor(name=user_name(uid), uid=uid, role=Role.ADMIN)
