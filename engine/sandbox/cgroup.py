"""A cgroup for the runs beside that of their engine, where the host's manager has handed one over to it.

Weights count among siblings only, and a cgroup that has controllers below it may hold no process itself
(Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint"). So an engine that alone has a delegated
cgroup makes two in it, moves itself into one and puts its zygotes into the other. Anybody else's tree is left alone:
it has one writer, and that is systemd (systemd.io/CGROUP_DELEGATION).
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from engine.sandbox.host_memory import cgroups

ENGINE = "gatewright-engine"
RUNS = "gatewright-runs"

MARKS = ("user.delegate", "trusted.delegate")
"""Extended attributes by which systemd marks what it has handed over."""

CONTROLLERS = ("cpu", "memory")
WEIGHT = 20
"""Of the runs, against 100 that everybody else has by default (cpu.weight)."""

COUNTED = ("anon", "shmem")
"""Of memory.stat: what only an end frees. Shared memory, memfds and private ``/dev/shm`` are among it."""


class NoCgroup(Exception):
    """The runs get none of their own. The message says why, as a clause."""


def divide(controllers: Sequence[str] = CONTROLLERS) -> None:
    """Move this process into a cgroup of its own beside one for its runs.

    Raises:
        NoCgroup: Nothing has changed.
    """
    own = next(cgroups(), None)
    if own is None:
        raise NoCgroup("there is no cgroup v2 here")
    if not _delegated(own):
        raise NoCgroup(f"its cgroup {own} is not delegated to it")
    try:
        _divide(own, controllers)
    except OSError as error:
        raise NoCgroup(f"its cgroup {own} cannot be divided: {error.strerror}") from None


def runs_cgroup(own: Path | None = None) -> Path | None:
    """Return the cgroup for the runs of this process, or of the one whose cgroup is ``own``; None if there is none."""
    own = own or next(cgroups(), None)
    if own is None or own.name != ENGINE:
        return None
    runs = own.with_name(RUNS)
    return runs if runs.is_dir() else None


def place(runs: Path, pid: int) -> Path | None:
    """Put a process, and whatever it will fork, into a cgroup of its own; None where that fails."""
    for left in runs.glob("zygote-*"):
        remove(left)  # unless what a script left on purpose still goes on in it
    group = runs / f"zygote-{pid}-{time.monotonic_ns()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        remove(group)
        return None
    return group


def remove(group: Path) -> None:
    """Remove a cgroup in which no process is left."""
    with contextlib.suppress(OSError):
        group.rmdir()


def kill(group: Path) -> None:
    """Kill every process in a cgroup at once (cgroup-v2.rst, cgroup.kill; Linux 5.14)."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")


def held(group: Path) -> int | None:
    """Bytes of memory that the processes of a cgroup hold together; None where nobody counts."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    figures = dict(line.split() for line in lines)
    return sum(int(figures.get(name, 0)) for name in COUNTED)


def _divide(own: Path, controllers: Sequence[str]) -> None:
    if (own / "cgroup.procs").read_text().split() != [str(os.getpid())]:
        raise OSError(errno.EBUSY, "other processes are in it")
    offered = (own / "cgroup.controllers").read_text().split()
    chosen = " ".join(f"+{name}" for name in controllers if name in offered)
    if not chosen:
        raise OSError(errno.ENOENT, "it has no controller to use")
    engine, runs = own / ENGINE, own / RUNS
    engine.mkdir(exist_ok=True)
    runs.mkdir(exist_ok=True)
    try:
        (engine / "cgroup.procs").write_text(str(os.getpid()))
        (own / "cgroup.subtree_control").write_text(chosen)
        (runs / "cgroup.subtree_control").write_text(chosen)
        if "+cpu" in chosen:
            (runs / "cpu.weight").write_text(str(WEIGHT))
    except OSError:
        _undo(own, chosen.replace("+", "-"))
        raise


def _undo(own: Path, controllers: str) -> None:
    for folder in (own / RUNS, own):
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(controllers)
    with contextlib.suppress(OSError):
        (own / "cgroup.procs").write_text(str(os.getpid()))
    for folder in (own / RUNS, own / ENGINE):
        remove(folder)


def _delegated(own: Path) -> bool:
    """Whether the manager of the tree has handed this part of it to the account of this process."""
    if not os.access(own, os.W_OK) or not os.access(own / "cgroup.procs", os.W_OK):
        return False
    for mark in MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(own, mark) == b"1":
                return True
    return False
