"""What tests put into a temporary folder goes with them, also where a process ends without cleaning up."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background; whatever a test starts would ignore it too, and never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


_folder = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Give all tests one folder for what is temporary, which other accounts can pass as they can pass /tmp.

    Before anything is collected: some modules make an environment while they are imported.
    """
    folder = config.stash[_folder] = tempfile.TemporaryDirectory(prefix="gwtests-", ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o1777)
    tempfile.tempdir = folder.name


def pytest_unconfigure(config: pytest.Config) -> None:
    tempfile.tempdir = None
    config.stash[_folder].cleanup()
