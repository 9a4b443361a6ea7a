"""Who asks, and what they may do (DESIGN 4.4 and 6).

A role is a ladder: each one may do what the ones below it may. A token narrows that further: to the scripts that it
names, and to the mode that its runs get.
"""

from __future__ import annotations

import functools
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from engine.models.base import ErrorBody


class Role(IntEnum):
    VIEWER = 0
    OPERATOR = 1
    AUTHOR = 2
    ADMIN = 3


LONGEST_SENTENCE = 4_000
"""Characters of a refusal's sentence, whatever it quotes of what a client sent; of a longer one the middle is left out.
"""

FROM_RUNS = "script"
"""The source of what runs ask by the scripts' own API: it is on record in sum, with the run."""

NO_ACCOUNT = -1
"""The uid of an actor that is no account of this host."""

MAX_TOLD = 200
"""Characters that a record of a refusal has of what the caller sent, or of a token's patterns."""


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

    def sees(self, path: str) -> bool:
        """Whether it may know of the script at ``path``, whether there is one or not."""
        return not self.scripts or _covered(self.scripts, path)

    @property
    def identity(self) -> str:
        """Tell this caller from every other one, whatever it is called."""
        return f"token:{self.token}" if self.token else f"uid:{self.uid}"


class ServiceError(Exception):
    """An operation said no. It reaches every surface as the same sentence, code and hint.

    Attributes:
        retry_after: Seconds after which it may be asked again, where that is known.
        denied: The caller, where its role or its scripts are why; the surface puts that on record.
        denial: What the record says of that besides: ``what`` was asked for, the role that it
            ``needs``, the ``script``, the patterns of the ``scripts`` that the token is for.
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
        denial: Mapping[str, str] | None = None,
    ) -> None:
        if len(message) > LONGEST_SENTENCE:
            message = f"{message[: LONGEST_SENTENCE // 2]} … {message[3 - LONGEST_SENTENCE // 2 :]}"
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.retry_after = retry_after
        self.denied = denied
        self.denial = denial or {}

    def body(self) -> ErrorBody:
        return ErrorBody(error=self.message, code=self.code, hint=self.hint)


def require(actor: Actor, role: Role, what: str, parts: str = "") -> None:
    """Raise ``forbidden`` unless ``actor`` holds ``role``.

    Args:
        actor: Who asks.
        role: The least that may.
        what: Completes "alice may not …".
        parts: What of it needs ``role`` and what needs more; completes "that needs the role operator …".
    """
    if actor.role < role:
        raise ServiceError(
            "forbidden",
            f"{actor.name} may not {what}: that needs the role {' '.join(filter(None, (role.name.lower(), parts)))}.",
            hint="Ask an administrator of this project for the role.",
            status=403,
            denied=actor,
            denial={"what": what, "needs": role.name.lower()},
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
            denial={"what": what, "scripts": _listed(actor.scripts)},
        )


def require_script(actor: Actor, path: str, what: str = "reach") -> None:
    """Raise ``forbidden`` for a token for other scripts than the one at ``path``, whether there is one or not."""
    if not actor.sees(path):
        raise ServiceError(
            "forbidden",
            f"{actor.name} may not {what} {path}: it is a token for {', '.join(actor.scripts)} only.",
            hint="Ask an administrator of this project for a token for this script.",
            status=403,
            denied=actor,
            denial={"script": path[:MAX_TOLD], "scripts": _listed(actor.scripts)},
        )


def _listed(patterns: tuple[str, ...]) -> str:
    """Patterns as a record names them, the first of many."""
    text = ", ".join(patterns)
    return text if len(text) <= MAX_TOLD else f"{text[:MAX_TOLD]}…"


@functools.lru_cache(maxsize=4096)
def _covered(patterns: tuple[str, ...], path: str) -> bool:
    """Whether the whole path matches a pattern, with or without ``.py``."""
    if {"", ".", ".."} & set(path.split("/")):  # no path of a script, and a pattern could be fooled by it
        return False
    return any(_regex(pattern).fullmatch(text) for pattern in patterns for text in (path, path.removesuffix(".py")))


@functools.lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    """``*`` is any text without a slash, ``**`` any text, ``?`` one character but a slash, ``[ab]`` and ``[a-z]`` one
    of these, ``[!ab]`` one that is none of them nor a slash; all else is itself."""
    parts = []
    for match in re.finditer(r"(\*\*+)|(\*)|(\?)|\[(!?)([^]/]+)\]|(.)", pattern, re.DOTALL):
        if match[1]:
            parts.append(".*")
        elif match[2]:
            parts.append("[^/]*")
        elif match[3]:
            parts.append("[^/]")
        elif match[5]:
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", match[5])
            parts.append(f"(?!/)[{'^' if match[4] else ''}{inside}]")
        else:
            parts.append(re.escape(match[6]))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:  # a range the wrong way round, such as [z-a]
        return re.compile(re.escape(pattern))


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
