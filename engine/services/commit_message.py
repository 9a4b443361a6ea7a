"""A commit's message as it is stored: what the user wrote, and who asked."""

from __future__ import annotations

import re

from engine.services.access import Actor, ServiceError

MAX_MESSAGE = 64 << 10
"""Bytes."""

UID_TRAILER = "Gatewright-Uid"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_TRAILER = re.compile(r"[A-Za-z0-9-]+: .+")
_FORGED = re.compile(rf"^\s*{UID_TRAILER}\s*[:=]", re.IGNORECASE | re.MULTILINE)


def commit_message(text: str, actor: Actor) -> str:
    """The message with its trailer (git-interpret-trailers(1)): ``Gatewright-Uid: 1000 (alice)``.

    git is not asked to add it: that could run what the repository configures for trailers.

    Raises:
        ServiceError: ``bad_request``: it is empty, too long, or cannot be written down.
    """
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    message = "\n".join(lines).strip("\n")
    _check(message)
    name = "".join(character if character.isprintable() else "?" for character in actor.name)
    separator = "\n" if _ends_in_trailers(message) else "\n\n"
    return f"{message}{separator}{UID_TRAILER}: {actor.uid} ({name})\n"


def _check(message: str) -> None:
    if not message.strip():
        raise ServiceError("bad_request", "A commit needs a message.")
    if _CONTROL.search(message):
        raise ServiceError("bad_request", "A commit's message holds no control characters.")
    if _FORGED.search(message):
        raise ServiceError("bad_request", f"The line {UID_TRAILER} is written by the engine.", hint="Leave it out.")
    try:
        size = len(message.encode("utf-8"))
    except UnicodeEncodeError:
        raise ServiceError("bad_request", "A commit's message must be UTF-8 text.") from None
    if size > MAX_MESSAGE:
        raise ServiceError("too_large", f"A commit's message may have {MAX_MESSAGE >> 10} KiB.", status=413)


def _ends_in_trailers(message: str) -> bool:
    """Whether the last paragraph, which is not the first, is trailers only."""
    _, blank, last = message.rpartition("\n\n")
    return bool(blank) and all(_TRAILER.fullmatch(line) for line in last.split("\n"))
