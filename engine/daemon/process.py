"""What the engine does to its own process before it opens anything."""

from __future__ import annotations

import ctypes
import faulthandler
import os

from engine.client.starter import daemon_environment

PR_SET_DUMPABLE = 4
"""prctl(2), linux/prctl.h."""


def settle(path: str) -> None:
    """Make this process independent of whoever started it.

    Args:
        path: The PATH of the engine and everything it starts.
    """
    environment = {**daemon_environment(), "PATH": path}
    os.environ.clear()
    os.environ.update(environment)
    os.umask(0o077)
    os.chdir("/")
    faulthandler.enable()
    hide_memory()


def hide_memory() -> None:
    """No core dumps, and no ptrace or /proc/PID/mem by others of this account, such as scripts in ADMIN mode."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
