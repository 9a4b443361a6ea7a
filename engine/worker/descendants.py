"""Finding and killing what is below a process where no pid namespace does it.

The process must be a child subreaper (prctl(2)): daemons that a script leaves behind then become its children and can
be found. A stopped process cannot fork, so each is stopped first; the walk repeats until nothing is left.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


EVERYBODY = -1
"""To kill(2): all that this process may signal and its pid namespace shows, but for itself and the first in it."""

PATIENCE = 0.5
"""Seconds for what was killed to be gone; a process that hangs in the kernel must not hold up the slot's report."""

LOOK_EVERY = 0.001


def kill_namespace() -> None:
    """Kill every process of the pid namespace that this process is the first of, in one call; elsewhere do nothing.

    The kernel does that too when the first process ends (pid_namespaces(7)), but only once that one has had the
    processor and has given its memory back: beside a fork bomb of thousands both take their time, and meanwhile all of
    them go on.
    """
    if os.getpid() == 1:
        _signal(EVERYBODY, signal.SIGKILL)


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


def kill_session(session: int | None) -> None:
    """Kill the processes below this one that are of ``session``, or all of them; the others go on.

    Returns when they are gone, or with some of them left after ``PATIENCE``. Not all are children of this process to
    wait for: one that had children and then detached itself still has them.
    """
    me, deadline = os.getpid(), time.monotonic() + PATIENCE
    while True:
        found = [pid for pid in below(me) if is_alive(pid) and session in (None, session_of(pid))]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                _signal(pid, number)
        _reap_ended()
        if not found or time.monotonic() > deadline:
            return
        time.sleep(LOOK_EVERY)


def is_alive(pid: int) -> bool:
    """Whether a process goes on: one that has ended and waits to be reaped does not."""
    return _stat(pid)[0] not in ("", "Z", "X")


def session_of(pid: int) -> int:
    """The session of a process, 0 when it has ended."""
    return int(_stat(pid)[3] or 0)


def _stat(pid: int) -> list[str]:
    """State, parent, group and session (proc(5), /proc/pid/stat); the name before them may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[:4]
    except OSError:
        return ["", "", "", ""]


def _reap_ended() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
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
    """Yield all descendants of ``pid``, nearest first. Looks no further than the caller goes on."""
    level = [pid]
    while level:
        following: list[int] = []
        for parent in level:
            children = _children(parent)
            following += children
            yield from children
        level = following


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
    except (ProcessLookupError, PermissionError):
        return  # it has ended; or it has become another account's, by a program that may do that
