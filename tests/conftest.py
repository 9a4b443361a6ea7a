"""What tests put into a temporary folder goes with them, also where a process ends without cleaning up."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background; whatever a test starts would ignore it too, and never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """One folder for all of them, which other accounts can pass as they can pass /tmp."""
    with tempfile.TemporaryDirectory(prefix="gwtests-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o1777)
        before, tempfile.tempdir = tempfile.tempdir, folder
        yield
        tempfile.tempdir = before
