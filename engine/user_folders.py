"""Where a user's programs keep settings and state (XDG Base Directory Specification): relative values are ignored."""

from __future__ import annotations

import os
from pathlib import Path


def settings_home() -> Path:
    """Return the folder of the user's settings, ``~/.config`` unless ``XDG_CONFIG_HOME`` names another one."""
    return _named("XDG_CONFIG_HOME") or Path.home() / ".config"


def state_home() -> Path:
    """Return the folder of the user's state, ``~/.local/state`` unless ``XDG_STATE_HOME`` names another one."""
    return _named("XDG_STATE_HOME") or Path.home() / ".local" / "state"


def _named(variable: str) -> Path | None:
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else None
