"""Starts the console: what ``gatewright`` calls when it is given no command."""

from __future__ import annotations

import gc
import os
from pathlib import Path


def run_console(project: Path, open_script: str | None = None) -> int:
    """Show the console until the user leaves; the exit code.

    Args:
        project: Its folder; made a project if it is none yet.
        open_script: Script to open first.
    """
    # The start makes many objects that live as long as the console: looking for garbage among them costs 30 ms.
    # The app turns collection on again when it is ready.
    gc.disable()
    # No frames are spent on movement: over a slow line each one is seen.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from tui.app import GatewrightApp
    from tui.preferences import Preferences

    app = GatewrightApp(project, open_script, preferences=Preferences.of(os.environ))
    app.run()
    return app.return_code or 0
