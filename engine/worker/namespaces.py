"""Entering the namespaces of a slot, and those of each run in it (namespaces(7))."""

from __future__ import annotations

import os

from . import kernel

CONTAINED = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
CONTAINED_KINDS = ("mnt", "pid", "net", "ipc", "uts")
"""What a RESTRICTED slot has of its own: mounts, processes, a network without any device that is up, IPC, host name."""

OWN_TREE = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID
OWN_TREE_KINDS = ("mnt", "pid")
"""What an ADMIN slot has of its own: enough to have an empty scratch and to kill whole process trees."""


def enter_user_namespace() -> None:
    """Move this process into a new user namespace. Ids map to themselves (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as table:
            table.write(text)


def begin_in_user_namespace() -> None:
    """Move this process into a new user namespace, so that the program it executes next belongs there.

    The kernel lets a process that is not dumpable be looked into by those who have the right in the user namespace in
    which its program was executed (ptrace(2), PTRACE_MODE). Executed outside, children of a launcher were out of its
    reach, and so was what the lock broker has to see.
    """
    enter_user_namespace()
    kernel.keep_capabilities()


def enter(kinds: int) -> None:
    """Move this process into new namespaces of these kinds; processes that it forks are in the new pid namespace.

    Mounts become slaves, so that ours never reach the host while the host's still reach us, which an unmounting
    administrator relies on.
    """
    kernel.unshare(kinds)
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


def next_child_in_own_pid_namespace(own: int) -> None:
    """Take that back. Without it this process can start no threads either (clone(2), EINVAL of CLONE_THREAD)."""
    kernel.setns(own, kernel.CLONE_NEWPID)
