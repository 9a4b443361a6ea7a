"""Killing everything below this process where no pid namespace does it.

The process must be a child subreaper (prctl(2)): daemons that a script leaves behind then become its children and can
be found. A stopped process cannot fork, so each is stopped first; the walk repeats until nothing is left.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def kill_descendants() -> None:
    """Kill and reap every process below this one."""
    me = os.getpid()
    while True:
        found = list(below(me))
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        for pid in found:
            _signal(pid, signal.SIGKILL)
        if not _reap():
            return


def _reap() -> bool:
    """Reap what has died, waiting for one at least; False when there was no child at all."""
    try:
        os.waitpid(-1, 0)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def below(pid: int) -> Iterator[int]:
    """All descendants of ``pid``, nearest first."""
    level = [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        yield from level


def _children(pid: int) -> list[int]:
    """Children of every thread of ``pid`` (proc(5), /proc/pid/task/tid/children)."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                found += map(int, children.read().split())
    except OSError:
        return found  # it has ended meanwhile: what it left is found in the next round
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
