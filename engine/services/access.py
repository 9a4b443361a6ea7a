"""Who asks, and what they may do (DESIGN 4.4 and 6).

A role is a ladder: each one may do what the ones below it may. A token narrows that further: to the scripts that it
names, and to the mode that its runs get.
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


NO_ACCOUNT = -1
"""The uid of an actor that is no account of this host."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller as the kernel or a token names it.

    Attributes:
        name: An account's name, or a token's behind ``token:``, which no account's name can begin with.
        uid: An account's; ``NO_ACCOUNT`` of a token.
        role: What it may do.
        token: A token's id; empty for an account.
        default_mode: The mode of a run that names none.
        scripts: Patterns of the paths that a token may run and see; empty means every script.
    """

    name: str
    uid: int
    role: Role
    token: str = ""
    default_mode: str = "RESTRICTED"
    scripts: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Tell this caller from every other one, whatever it is called."""
        return f"token:{self.token}" if self.token else f"uid:{self.uid}"


class ServiceError(Exception):
    """An operation said no. It reaches every surface as the same sentence, code and hint.

    Attributes:
        retry_after: Seconds after which it may be asked again, where that is known.
        denied: The caller, where its role or its scripts are why; the surface puts that on record.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        status: int = 400,
        retry_after: float | None = None,
        denied: Actor | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.retry_after = retry_after
        self.denied = denied

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
            denied=actor,
        )


def require_every_script(actor: Actor, what: str) -> None:
    """Raise ``forbidden`` for a token for some scripts only. ``what`` completes "token:ci may not …"."""
    if actor.scripts:
        raise ServiceError(
            "forbidden",
            f"{actor.name} may not {what}: it is a token for some scripts only ({', '.join(actor.scripts)}).",
            hint="Ask an administrator of this project for a token without patterns of scripts.",
            status=403,
            denied=actor,
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
