"""What scripts were before."""

from __future__ import annotations

from enum import StrEnum

from engine.models.base import Model


class RestoreRequest(Model, frozen=True):
    """``sha256`` None: the newest version that differs from what is there. ``base_sha256`` as for a deletion."""

    sha256: str | None = None
    base_sha256: str | None = None


class VersionReason(StrEnum):
    """What took the place of a version. ``conflict``: nothing did, it is a text that was refused itself."""

    SAVED = "saved"
    DELETED = "deleted"
    RENAMED = "renamed"
    RESTORED = "restored"
    CONFLICT = "conflict"


class ScriptVersion(Model, frozen=True):
    """A version of a script that something took the place of; its bytes are kept."""

    path: str
    """The path that it had."""
    sha256: str
    size: int
    reason: VersionReason
    at: float
    """When it was replaced."""
    uid: int
    name: str
    """Who replaced it."""
    new_path: str | None = None
    """Only with ``renamed``."""


class ScriptHistory(Model, frozen=True):
    path: str
    versions: list[ScriptVersion]
    """Newest first; also those it had under earlier names."""
    sha256: str | None = None
    """What it holds now; None when there is no such script now."""


class DeletedScripts(Model, frozen=True):
    """Scripts that were deleted and are not there now, the last one first."""

    versions: list[ScriptVersion]
    """What each of them held."""


class VersionText(Model, frozen=True):
    path: str
    sha256: str
    text: str
