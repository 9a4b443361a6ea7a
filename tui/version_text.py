"""How a script's versions are told of."""

from __future__ import annotations

from engine.models import ScriptVersion, VersionReason


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
