"""Whom the kernel ends first when the host runs out of memory: runs, then what makes them, long before the gateway.

``/proc/self/oom_score_adj`` (proc(5)) adds its thousandths of the host's memory to what a process holds; children get
the value of their parent. Anybody may raise his own, so no right is needed. Whoever raises it with ``CAP_SYS_RESOURCE``
sets the least value, too: what root's launcher sets before its namespaces, no process below it can go under.
"""

from __future__ import annotations

import os

OWN = "/proc/self/oom_score_adj"

ZYGOTE = b"500"
CHILD = b"900"
"""As they are written: a number would be made into text at every fork, in pages that the child would have to copy."""

CLOSED = -1


class OomScore:
    """This process's own, held open: later neither ``/proc`` nor the right to open it is there.

    A host that does not let it be set (a container's read-only ``/proc``) takes away nothing else; the doctor tells.
    """

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        try:
            self._fd = os.open(OWN, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = CLOSED

    def set(self, score: bytes) -> None:
        """Let the kernel think so much of this process, and of children that it forks while this holds."""
        if self._fd == CLOSED:
            return
        try:
            os.write(self._fd, score)
        except OSError:
            return

    def close(self) -> None:
        if self._fd != CLOSED:
            os.close(self._fd)
            self._fd = CLOSED
