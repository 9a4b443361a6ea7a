"""Whom the kernel ends first when the host runs out of memory: runs, then what makes them, long before the gateway.

``/proc/self/oom_score_adj`` (proc(5)) adds its thousandths of the host's memory to what a process holds; children get
the value of their parent. Anybody may raise his own, so no right is needed. Whoever raises it with ``CAP_SYS_RESOURCE``
sets the least value, too: what root's launcher sets before its namespaces, no process below it can go under.
"""

from __future__ import annotations

import contextlib
import os

OWN = "/proc/self/oom_score_adj"

ZYGOTE = 500
CHILD = 900


class OomScore:
    """This process's own, held open: later neither ``/proc`` nor the right to open it is there.

    A host that does not let it be set (a container's read-only ``/proc``) takes away nothing else; the doctor tells.
    """

    def __init__(self) -> None:
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._fd = os.open(OWN, os.O_WRONLY | os.O_CLOEXEC)

    def set(self, score: int) -> None:
        """Let the kernel think so much of this process, and of children that it forks while this holds."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, b"%d" % score)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
