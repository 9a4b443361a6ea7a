"""Run a command as a container engine would: in namespaces, with masked /proc, without rights, as an account inside.

    python container.py [rootless] [no-userns] -- COMMAND…

rootless    the container is in a user namespace of an ordinary account's, whose ids 0 to 65535 are others outside
no-userns   no user namespace can be made in it, as where the host's limit is 0 (user_namespaces(7))

Called by root; COMMAND has process 1 of the container as its parent, which leaves with its exit code. The filter of
system calls is ``emulated_host.py``'s. What is masked is what runc masks (OCI runtime specification, Linux default
filesystems; moby, oci/defaults.go).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import NoReturn

UID = 10_001
OUTSIDE = 1_000_000
"""What id 0 of a rootless container is for the host."""

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x0002_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000
CLONE_NEWPID, CLONE_NEWNET = 0x2000_0000, 0x4000_0000
"""linux/sched.h"""

MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
KEPT = """
chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write
"""
LIMIT = "/proc/sys/user/max_user_namespaces"

libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def enter_rootless() -> None:
    """Go on as root of a user namespace, all of whose ids are others outside (user_namespaces(7), uid_map)."""
    ready, mapped = os.pipe(), os.pipe()
    mapper = os.fork()
    if mapper == 0:
        os.read(ready[0], 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{os.getppid()}/{name}", "w") as file:
                file.write(f"0 {OUTSIDE} 65536\n")
        os.write(mapped[1], b"!")
        os._exit(0)
    unshare(CLONE_NEWUSER)
    os.write(ready[1], b"!")
    os.read(mapped[0], 1)
    os.waitpid(mapper, 0)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def mask(*, no_userns: bool) -> None:
    """Make the container's /proc, as much of it as a container shows."""

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)

    mount("--make-rprivate", "/")
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", "/proc")
    if no_userns:
        with open(LIMIT, "w") as file:
            file.write("0\n")
    for path in filter(os.path.exists, MASKED):
        mount("--bind", "/dev/null", path)
    for path in filter(os.path.exists, READ_ONLY):
        mount("--bind", path, path)
        mount("-o", "remount,bind,ro,nosuid,nodev,noexec", path)


def become_process_1(command: list[str]) -> NoReturn:
    """Start the command as the container's account and wait for it, as a small init does."""
    drop = [
        "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all",
        f"--bounding-set=-all{''.join(f',+{name}' for name in KEPT.split())}", "--",
    ]  # fmt: skip
    main = subprocess.Popen([*drop, *command])
    while True:
        pid, status = os.wait()
        if pid == main.pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def main(arguments: list[str]) -> NoReturn:
    split = arguments.index("--")
    how, command = set(arguments[:split]), arguments[split + 1 :]
    if "rootless" in how:
        enter_rootless()
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
    first = os.fork()
    if first == 0:
        mask(no_userns="no-userns" in how)
        become_process_1(command)
    _, status = os.waitpid(first, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main(sys.argv[1:])
