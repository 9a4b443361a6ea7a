"""What the engine does to its own process before it opens anything."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
from contextlib import suppress

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
    raise_open_files()


def hide_memory() -> None:
    """No core dumps, and no ptrace or /proc/PID/mem by others of this account, such as scripts in ADMIN mode."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")


def raise_open_files() -> None:
    """Use all descriptors that this account may have: connections and inputs of runs take one each.

    The soft limit is low only for programs that use select(2) (systemd.exec(5), LimitNOFILE=), as the engine does not.
    What it starts gets the usual one back.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # fs.nr_open was lowered below it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
