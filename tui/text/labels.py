"""How states of default scripts, kinds of tasks, reasons of versions and permissions are said everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.models.defaults import DefaultState
from engine.models.permissions import Access, Grant
from engine.models.versions import ScriptVersion, VersionReason

STATES: Mapping[DefaultState, str] = MappingProxyType(
    {
        DefaultState.CURRENT: "as it comes",
        DefaultState.OFFERED: "yours, and there is a newer text",
        DefaultState.KEPT: "yours, kept instead of the newer text",
        DefaultState.EDITED: "yours, nothing newer",
        DefaultState.LATER: "of a later version of Gatewright",
        DefaultState.MISSING: "not there",
    }
)

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "rebuild": "rebuild",
        "diff": "scan",
        "decisions": "decisions",
        "render": "render",
        "packages": "packages",
        "environment": "script's packages",
    }
)
"""By kind of a task, as short as the tasks tab has room for."""


def what_replaced(version: ScriptVersion) -> str:
    """What took a version's place, in a few words; names in it may hold anything."""
    match version.reason:
        case VersionReason.RENAMED:
            return f"renamed from {version.path} to {version.new_path}"
        case VersionReason.CONFLICT:
            return "refused: it met another change"
        case VersionReason.SAVED:
            return "a save"
        case VersionReason.RESTORED:
            return "an older version, restored"
        case VersionReason.DELETED:
            return "deleted"


def granted(grant: Grant) -> tuple[str, str]:
    """A permission as a verb and what it is for: ``read``, ``/var/log/x``; ``use``, ``the secret historian``."""
    if grant.access is Access.SECRET:
        return "use", f"the secret {grant.path}"
    if grant.access is Access.ASK:
        return "ask", f"the {grant.path}"
    return grant.access.value, grant.path
