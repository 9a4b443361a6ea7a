"""Resource limits of a child (getrlimit(2)). The engine's timers come first; these hold when a script outwits them."""

from __future__ import annotations

import os
import resource

from . import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .wire import ForkRequest

MEMORY_RESERVE = 16 << 20
"""Address space beyond the soft limit that a child takes to tell that its script ran out of memory."""

ZYGOTE_NICENESS = 2
"""The gateway and the engine go first, then what makes the next child: that is done for whoever waits for it."""

RUN_NICENESS = 5
"""Of a run, beyond its zygote's."""

MSGQUEUE = 12
"""RLIMIT_MSGQUEUE of asm-generic/resource.h, which ``resource`` does not name."""

PENDING_SIGNALS = 64
"""Queued real-time signals are counted for the whole account: a script could use up what the engine needs."""

LEFTOVERS = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_MEMLOCK,
    MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RTPRIO,
)
"""The last two, if the account has them, would let a script go ahead of the gateway."""

PID_MAX = 400
"""The kernel does not give numbers below 300 again once it has been round (RESERVED_PIDS), so a hundred are left."""

ADMIN_PID_MAX = 4_400

USUAL_FILES = 1024
"""The soft limit of descriptors that programs are started with, and all that select(2) can take."""

PROCESSES = 64
"""Only set inside the own user namespace: elsewhere the kernel counts every process of the account."""


class OwnFigures:
    """What the kernel tells of this process (proc(5), /proc/pid/stat), held open: later there is no ``/proc``."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)

    def threads(self) -> int:
        return int(self._fields()[17])

    def mapped(self) -> int:
        """Return the bytes of address space, as RLIMIT_AS counts them."""
        return int(self._fields()[20])

    def close(self) -> None:
        os.close(self._fd)

    def _fields(self) -> list[bytes]:
        """Return the fields from the third on: the second one is a name, which may hold anything."""
        return os.pread(self._fd, 4096, 0).rpartition(b")")[2].split()


def mapped() -> int:
    """Bytes of address space that this process has mapped, as RLIMIT_AS counts them (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def forbid_leftovers() -> None:
    """What no run may have, set once in the template: core files, locked memory, message queues, a higher priority."""
    for kind in LEFTOVERS:
        resource.setrlimit(kind, (0, 0))
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (PENDING_SIGNALS, PENDING_SIGNALS))


def cap_processes(proc: str, most: int) -> None:
    """Let processes of the own pid namespace, at all levels below it together, have no number above ``most``.

    Unlike RLIMIT_NPROC this holds for root too, so a fork bomb stays small. Linux 6.14 made the file one per namespace;
    before that it is the host's own and must not be touched. ``proc`` is a mount of the namespace's own.
    """
    if kernel.version() >= (6, 14):
        with open(f"{proc}/sys/kernel/pid_max", "w") as pid_max:
            pid_max.write(str(most))


def leftovers() -> int:
    """The largest of those limits; 0 when all are forbidden."""
    return max(resource.getrlimit(kind)[1] & 2**64 - 1 for kind in LEFTOVERS)


def umask() -> int:
    """The mask of files to come, as the kernel has it."""
    return kernel.umask(0o077)


def usual_files() -> None:
    """Take back what the engine may have above the usual soft limit of descriptors; everything below inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft > USUAL_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_FILES, hard))


def apply(request: ForkRequest, template_size: int, *, own_user_namespace: bool) -> None:
    """Set the limits of one run on this process."""
    space = template_size + request.memory
    resource.setrlimit(resource.RLIMIT_AS, (space, space + MEMORY_RESERVE))
    set_cpu(request.cpu)
    resource.setrlimit(resource.RLIMIT_NOFILE, (request.open_files, request.open_files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.scratch, request.scratch))
    if own_user_namespace:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def set_cpu(seconds: int) -> None:
    """SIGXCPU at ``seconds`` of processor time; SIGKILL, which pid 1 of a namespace cannot ignore, one later."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
