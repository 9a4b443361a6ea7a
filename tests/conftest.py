"""What tests put into a temporary folder goes with them, also where a process ends without cleaning up."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", parent=settings(), deadline=None)  # a busy machine is no fault
settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background; whatever a test starts would ignore it too, and never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the same with nohup


# Engines of tests have all their slots however busy the machine is; the tests of yielding switch it on themselves.
os.environ.setdefault("GATEWRIGHT_YIELD_ENABLED", "false")

_folder = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Give all tests one folder for what is temporary, which other accounts can pass as they can pass /tmp.

    Before anything is collected: some modules make an environment while they are imported.
    """
    # The tests' own folders stay where they are: names of sockets in them may have no more than 107 bytes (unix(7)).
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = config.stash[_folder] = tempfile.TemporaryDirectory(prefix="gwtests-", ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o1777)
    tempfile.tempdir = folder.name


def pytest_unconfigure(config: pytest.Config) -> None:
    tempfile.tempdir = None
    config.stash[_folder].cleanup()
