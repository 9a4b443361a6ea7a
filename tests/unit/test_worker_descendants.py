"""Ending everything in a pid namespace at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

FIRST = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from engine.worker.descendants import kill_namespace
for number in range(30):
    if os.fork() == 0:
        if number % 2:
            os.setsid()
        signal.pause()
kill_namespace()
ended = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(30)]
print(ended.count(-signal.SIGKILL), os.getpid())
"""

ELSEWHERE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from engine.worker.descendants import kill_namespace
os.kill = lambda *_: print("it signals")
kill_namespace()
print("nothing happened")
"""


def test_the_first_process_of_a_namespace_ends_all_others_in_one_call() -> None:
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", sys.executable, "-c", FIRST]
    done = subprocess.run([*command, str(REPOSITORY)], capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr:
        pytest.skip("this host has no user namespaces")
    assert done.stdout == "30 1\n", done.stderr


def test_elsewhere_nothing_is_signalled() -> None:
    """To kill(2), -1 is everything that the account has."""
    command = [sys.executable, "-c", ELSEWHERE, str(REPOSITORY)]
    assert (
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout == "nothing happened\n"
    )
