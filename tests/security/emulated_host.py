"""Run a command on a host that lacks something, emulated by a seccomp filter around it and all its children.

    python emulated_host.py LACK[,LACK…] -- COMMAND…

What can be lacking:

no-userns       user namespaces: CLONE_NEWUSER is refused, as by a sysctl
apparmor-like   the use of one: it can be made, mounting in it is refused, as by Ubuntu's AppArmor profile
container       every kind of namespace, and mounting, as by the usual filter of container engines
no-landlock     Landlock: the kernel has no such call
landlock-off    Landlock: built in, and not switched on at boot
landlock-abi-N  what came after the Landlock ABI N, from 1 on
no-listener     listeners of seccomp filters, as where a container engine has one already
no-seccomp      seccomp for whoever is inside
linux-4.18      every system call that came after Linux 4.18, but for those of pidfds
no-pidfd        descriptors of processes
nested          nothing, but the command is in a user namespace already, as in a container of LXC
userns-limit    user namespaces: user.max_user_namespaces is 0, set in a user namespace around the command
no-id-map       the map of a user namespace: nothing below /proc can be written
masked-proc     a /proc of its own: that of the host is covered in part, as container engines cover it
no-new-privs    nothing, but the command can gain no privileges (PR_SET_NO_NEW_PRIVS), as a service may be started

The command replaces this process, so its exit code, signals and descriptors are its own. Only ``landlock-abi-N`` needs
a second process, which answers for the kernel, holds nothing of the command's, and leaves with the last process inside.
Without rights it cannot read the memory of processes that are not dumpable, and lets what they ask for pass: to be
strict with an ordinary account's engine too, start this as root around whatever drops the rights.

Everything here is x86-64. Numbers are those of linux/seccomp.h, linux/filter.h, linux/landlock.h and asm/unistd_64.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# System calls.
MOUNT, UMOUNT, PIVOT_ROOT = 165, 166, 155
MOUNT_API = (428, 429, 430, 431, 432, 433, 442)
"""open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr."""
CLONE, UNSHARE, SETNS, CLONE3 = 56, 272, 308, 435
PRCTL, SECCOMP = 157, 317
PIDFD_SEND_SIGNAL, PIDFD_OPEN = 424, 434
AFTER_4_18 = range(424, 470)
"""What came later has numbers from 424 on (arch/x86/entry/syscalls/syscall_64.tbl)."""
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNS = 0x0002_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
CLONE_NEW_ANY = 0x7E02_0080
"""User, pid, net, ipc, uts, cgroup, mount and time namespaces."""

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

# Classic BPF, linux/bpf_common.h: load a word of seccomp_data, compare it, return.
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
AUDIT_ARCH_X86_64 = 0xC000_003E
ALLOW, ASK, REFUSE = 0x7FFF_0000, 0x7FC0_0000, 0x0005_0000

SET_MODE_FILTER = 1
FLAG_NEW_LISTENER = 8
NOTIF_RECV = 0xC050_2100
NOTIF_SEND = 0xC018_2101
FLAG_CONTINUE = 1
QUESTION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags, and seccomp_data: number, architecture, instruction, arguments."""
ANSWER = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, value, error, flags."""

VERSION_FLAG = 1
PAGE = 4096


@dataclass(frozen=True)
class Rule:
    """One system call, or those uses of it whose argument passes the test, and what it gets."""

    call: int
    action: int
    argument: int | None = None
    test: int = EQUAL
    value: int = 0


def refused(code: int, *calls: int) -> list[Rule]:
    return [Rule(call, REFUSE | code) for call in calls]


NO_USERNS = [
    Rule(CLONE, REFUSE | errno.EPERM, 0, ANY_BIT, CLONE_NEWUSER),
    Rule(UNSHARE, REFUSE | errno.EPERM, 0, ANY_BIT, CLONE_NEWUSER),
    Rule(SETNS, REFUSE | errno.EPERM, 1, ANY_BIT, CLONE_NEWUSER),
    *refused(errno.ENOSYS, CLONE3),  # its flags are behind a pointer; the C library falls back to clone
]
LACKS: dict[str, list[Rule]] = {
    "no-userns": NO_USERNS,
    "apparmor-like": refused(errno.EACCES, MOUNT, UMOUNT, PIVOT_ROOT, *MOUNT_API),
    "container": [
        Rule(CLONE, REFUSE | errno.EPERM, 0, ANY_BIT, CLONE_NEW_ANY),
        *refused(errno.EPERM, UNSHARE, SETNS, MOUNT, UMOUNT, PIVOT_ROOT, *MOUNT_API),
        *refused(errno.ENOSYS, CLONE3),
    ],
    "no-landlock": refused(errno.ENOSYS, LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT),
    "landlock-off": refused(errno.EOPNOTSUPP, LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT),
    "no-listener": [Rule(SECCOMP, REFUSE | errno.EBUSY, 1, ANY_BIT, FLAG_NEW_LISTENER)],
    "linux-4.18": refused(errno.ENOSYS, *(set(AFTER_4_18) - {PIDFD_SEND_SIGNAL, PIDFD_OPEN})),
    "no-pidfd": refused(errno.ENOSYS, PIDFD_SEND_SIGNAL, PIDFD_OPEN),
    "no-seccomp": [*refused(errno.EINVAL, SECCOMP), Rule(PRCTL, REFUSE | errno.EINVAL, 0, EQUAL, PR_SET_SECCOMP)],
}


@dataclass(frozen=True)
class LandlockAbi:
    """What a kernel with this version of Landlock answers (Documentation/userspace-api/landlock.rst)."""

    version: int

    FILE_RIGHTS = (0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
    """By version: the first, then with REFER, with TRUNCATE, the same, and from the fifth on with IOCTL_DEV."""

    @property
    def known(self) -> tuple[int, ...]:
        """The bits it knows of each field of struct landlock_ruleset_attr: files, network, scopes."""
        files = self.FILE_RIGHTS[min(self.version, len(self.FILE_RIGHTS)) - 1]
        return (files, *((0b11,) if self.version >= 4 else ()), *((0b11,) if self.version >= 6 else ()))

    def rules(self) -> list[Rule]:
        """What the filter can decide by itself, and that rulesets are asked about."""
        rules = [Rule(LANDLOCK_CREATE, ASK)]
        if self.version < 4:  # LANDLOCK_RULE_NET_PORT
            rules.append(Rule(LANDLOCK_ADD, REFUSE | errno.EINVAL, 1, EQUAL, 2))
        if self.version < 7:  # flags about logging
            rules.append(Rule(LANDLOCK_RESTRICT, REFUSE | errno.EINVAL, 1, ANY_BIT, 0xFFFF_FFFF))
        return rules

    def answer(self, pid: int, attr: int, size: int, flags: int) -> tuple[int, int] | None:
        """Value and error for landlock_create_ruleset(2) of process ``pid``; None lets the kernel itself answer."""
        if flags:
            asks_version = flags == VERSION_FLAG and not attr and not size
            return (self.version, 0) if asks_version else (0, -errno.EINVAL)
        if size < 8:
            return 0, -errno.EINVAL
        if size > PAGE:
            return 0, -errno.E2BIG
        content = read_memory(pid, attr, size)
        return None if content is None else self.judge(content)

    def judge(self, content: bytes) -> tuple[int, int] | None:
        """The same for the bytes of a ruleset's attributes."""
        known = self.known
        fields = [int.from_bytes(content[at : at + 8], "little") for at in range(0, len(content), 8)]
        if any(fields[len(known) :]):
            return 0, -errno.E2BIG
        if any(asked & ~bits for asked, bits in zip(fields, known, strict=False)):
            return 0, -errno.EINVAL
        return None


def read_memory(pid: int, address: int, size: int) -> bytes | None:
    """What stands there in the process; None if this account may not read it, or there is nothing."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)
    except OSError:
        return None


def assemble(rules: Iterable[Rule]) -> bytes:
    """The filter as an array of struct sock_filter: each rule steps over itself where it does not hold."""
    code = [(LOAD, 0, 0, ARCH_AT), (EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, ALLOW)]
    for rule in rules:
        code.append((LOAD, 0, 0, NUMBER_AT))
        if rule.argument is None:
            code.append((EQUAL, 0, 1, rule.call))
        else:
            code.append((EQUAL, 0, 3, rule.call))
            code.append((LOAD, 0, 0, ARGUMENTS_AT + 8 * rule.argument))
            code.append((rule.test, 0, 1, rule.value))
        code.append((RETURN, 0, 0, rule.action))
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install(program: bytes, flags: int) -> int:
    """Put the filter on this process for good; with FLAG_NEW_LISTENER, the descriptor that questions come from.

    Root keeps no_new_privs as it is, so that what is inside has to set it itself.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count and a pointer.
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))

    def attempt() -> int:
        return int(libc.syscall(SECCOMP, SET_MODE_FILTER, flags, whole))

    answer = attempt()
    if answer < 0 and ctypes.get_errno() == errno.EACCES:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        answer = attempt()
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"the filter was refused: {os.strerror(code)}")
    return answer


def start_supervisor(abi: LandlockAbi) -> socket.socket:
    """A process of nobody's family that answers for the kernel; the socket to give it the listener by."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        if os.fork():
            os._exit(0)
        ours.close()
        try:
            supervise(theirs, abi)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    theirs.close()
    return ours


def supervise(channel: socket.socket, abi: LandlockAbi) -> NoReturn:
    """Answer until nobody is left who could ask."""
    os.setsid()
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    nothing = os.open(os.devnull, os.O_RDWR)
    # By way of numbers that nobody has, since what is to be 4 may now be 2 or the other way round.
    for number, kept in enumerate((nothing, nothing, nothing, channel.fileno(), descriptors[0])):
        os.dup2(kept, number + 100)
    for number in range(5):
        os.dup2(number + 100, number)
    os.closerange(5, 2**31 - 1)
    os.write(3, b"!")
    os.close(3)
    poll = select.poll()
    poll.register(4, select.POLLIN)
    while True:
        for _, event in poll.poll():
            if not event & select.POLLIN:
                os._exit(0)
            answer_one(4, abi)


def answer_one(listener: int, abi: LandlockAbi) -> None:
    question = bytearray(QUESTION.size)
    try:
        fcntl.ioctl(listener, NOTIF_RECV, question)
        key, pid, _, _, _, _, *arguments = QUESTION.unpack(question)
        # Flags are 32 bits; the rest of the register is whatever it was.
        answer = abi.answer(pid, arguments[0], arguments[1], arguments[2] & 0xFFFF_FFFF)
        value, error, flags = (0, 0, FLAG_CONTINUE) if answer is None else (*answer, 0)
        fcntl.ioctl(listener, NOTIF_SEND, bytearray(ANSWER.pack(key, value, error, flags)))
    except FileNotFoundError:
        return  # who asked has been killed meanwhile


def nest() -> None:
    """Go into a user namespace that has this account and no other one."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "no user namespace to nest in")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def limit_namespaces() -> None:
    """Be in one that allows no further ones (user_namespaces(7), /proc/sys/user)."""
    nest()
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def nest_with_mounts(*mounts: tuple[str | None, str, int]) -> None:
    """Go into a user namespace with mounts of its own: source, place and flags of each."""
    nest()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no mounts of its own")
    for source, place, flags in mounts:
        if libc.mount(source and source.encode(), place.encode(), None, ctypes.c_ulong(flags), None):
            raise OSError(ctypes.get_errno(), f"{place} cannot be mounted")


def forbid_maps() -> None:
    """Be where /proc can only be read, so that a user namespace can be made and given no map."""
    read_only = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    nest_with_mounts(("/proc", "/proc", MS_BIND | MS_REC), (None, "/proc", read_only))


def mask_proc() -> None:
    """Cover a part of /proc: the kernel then refuses a new one to namespaces inside (mount_namespaces(7))."""
    nest_with_mounts((os.devnull, "/proc/timer_list", MS_BIND))


def give_up_privileges() -> None:
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


SURROUNDINGS: dict[str, Callable[[], None]] = {
    "nested": nest,
    "userns-limit": limit_namespaces,
    "no-id-map": forbid_maps,
    "masked-proc": mask_proc,
    "no-new-privs": give_up_privileges,
}
"""What is around the command without a filter; put on first."""


def enter(lacks: Sequence[str]) -> None:
    """Make this process and all its children live on a host without these.

    Raises:
        ValueError: There is no such lack.
    """
    rules: list[Rule] = []
    abi = None
    for lack, surround in SURROUNDINGS.items():
        if lack in lacks:
            surround()
    for lack in [lack for lack in lacks if lack not in SURROUNDINGS]:
        if match := re.fullmatch(r"landlock-abi-([1-9]\d*)", lack):
            abi = LandlockAbi(int(match[1]))
            rules += abi.rules()
        elif lack in LACKS:
            rules += LACKS[lack]
        else:
            known = ", ".join((*LACKS, *SURROUNDINGS))
            raise ValueError(f"no host lacks {lack!r}; there are: {known}, landlock-abi-N")
    if abi is None:
        if rules:
            install(assemble(rules), 0)
        return
    channel = start_supervisor(abi)
    listener = install(assemble(rules), FLAG_NEW_LISTENER)
    socket.send_fds(channel, [b"!"], [listener])
    os.close(listener)
    if channel.recv(1) != b"!":
        raise OSError("nobody answers for the kernel")
    channel.close()


def main(arguments: Sequence[str]) -> NoReturn:
    if len(arguments) < 3 or arguments[1] != "--":
        sys.exit(__doc__)
    try:
        enter(arguments[0].split(","))
    except ValueError as error:
        sys.exit(str(error))
    os.execvp(arguments[2], arguments[2:])


if __name__ == "__main__":
    main(sys.argv[1:])
