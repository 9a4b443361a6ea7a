"""Entering the namespaces of a slot, and the trial that finds out whether this host allows it."""

from __future__ import annotations

import os
import signal

from . import kernel


def enter() -> None:
    """Move this process into a new user namespace of which it owns the mount and pid namespaces to come.

    Ids map to themselves: the account stays what it was (user_namespaces(7)). Mounts become slaves, so that ours never
    reach the host while the host's still reach us, which an unmounting administrator relies on.
    """
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as table:
            table.write(text)
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_SLAVE)


def own_pid_namespace() -> int:
    """A descriptor of the pid namespace this process lives in."""
    return os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


def next_child_in_new_pid_namespace(own: int) -> None:
    """Make the next fork the first process of a new pid namespace below ``own``.

    ``setns`` first: a process may not unshare twice, and the namespace of a child that has ended can no longer fork.
    """
    kernel.setns(own, kernel.CLONE_NEWPID)
    kernel.unshare(kernel.CLONE_NEWPID)


def trial(folder: str) -> str | None:
    """Do all of it for real in a child; None if it works, else what failed.

    Reading sysctls is not enough: Ubuntu 24.04 lets ``unshare`` succeed and refuses the id map, containers refuse the
    mount.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            enter()
            _try_inside(folder)
        except BaseException as error:  # noqa: BLE001 - reported to the parent, the process ends here
            os.write(write_end, (str(error) or type(error).__name__).encode()[:500])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as report:
        problem = report.read()
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status):
        return f"the trial ended with status {status}"
    return problem.decode() or None


def _try_inside(folder: str) -> None:
    _in_child(lambda: _try_as_first(folder))


def _try_as_first(folder: str) -> None:
    kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k,nr_inodes=4")
    own = own_pid_namespace()
    for _ in range(2):
        next_child_in_new_pid_namespace(own)
        _in_child(_expect_first)


def _expect_first() -> None:
    if os.getpid() != 1:
        raise OSError("a forked process is not the first of its pid namespace")


def _in_child(work: object) -> None:
    """Run ``work`` in a forked child and raise here what failed there."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - reported to the parent, the process ends here
            os.write(write_end, (str(error) or type(error).__name__).encode()[:500])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as report:
        problem = report.read()
    os.waitpid(pid, 0)
    if problem:
        raise OSError(problem.decode())
