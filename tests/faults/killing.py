"""Start a process that changes files, let it acknowledge some changes, and kill it in the middle of the next ones."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_PATHS = (str(_TESTS.parent), str(_TESTS / "unit"))


def killed_after(changes: Path, root: Path, seed: int, *, at_least: int, delay: float) -> int:
    """Start it, let it acknowledge a few changes, wait a moment longer, kill it; how many it acknowledged in all."""
    reading, writing = os.pipe()
    command = [sys.executable, str(changes), str(root), str(seed), str(writing)]
    process = subprocess.Popen(command, pass_fds=[writing], env=os.environ | {"PYTHONPATH": os.pathsep.join(_PATHS)})
    os.close(writing)
    count = 0
    try:
        while count < at_least:
            assert select.select([reading], [], [], 60)[0], "it does nothing"
            got = len(os.read(reading, at_least - count))
            assert got, "it ended by itself"
            count += got
        time.sleep(delay)  # where in its loop it dies is left to chance
    finally:
        process.kill()
        ended = process.wait(60)
    assert ended == -signal.SIGKILL
    while got := len(os.read(reading, 4096)):
        count += got
    os.close(reading)
    return count
