"""The two seccomp filters of a RESTRICTED run (seccomp(2), Documentation/userspace-api/seccomp_filter.rst).

The template wears the *outer* filter: by default everything is denied; allowed is what scripts need and the few calls
by which the template makes children. Each child puts the *inner* filter on top, which takes those few away again: the
kernel asks both and the stricter answer counts. A run pays only for the small one.

Scripts get no way to make a process, to reach a network, to change the metadata of a file by its path, to lock a file
that they may only read, or to make memory that RLIMIT_AS does not count. What a filter denies gives EPERM, mostly, so
that Python raises PermissionError; a foreign ABI ends the process.
"""

from __future__ import annotations

import ctypes
import errno

from . import bpf, kernel
from .syscalls import AUDIT_ARCH_X86_64, NUMBERS, X32_SYSCALL_BIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Condition = tuple[int, str, tuple[int, ...]]

KILL_PROCESS = 0x8000_0000
ERRNO = 0x0005_0000
ALLOW = 0x7FFF_0000
"""SECCOMP_RET_* of linux/seccomp.h."""

SET_MODE_FILTER = 1
MODE_FILTER = 2

ANY_NAMESPACE = 0x7E02_0000
"""CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS of linux/sched.h."""

CLONE_THREAD = 0x0001_0000

FREE = """
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close
    fstat stat lstat newfstatat statx access faccessat faccessat2 open openat creat getdents64 getdents
    readlink readlinkat getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2
    ftruncate fallocate fsync fdatasync copy_file_range sendfile
    dup dup2 dup3 close_range pipe pipe2 poll ppoll select pselect6 statfs fstatfs umask
    mmap munmap mprotect mremap madvise brk msync
    futex set_robust_list rseq set_tid_address sched_yield sched_getaffinity getcpu
    exit exit_group restart_syscall
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigpending rt_sigsuspend sigaltstack pause
    nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times getrusage
    setitimer getitimer alarm
    getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid getsid capget
    sysinfo uname getrandom getrlimit setrlimit getpriority
    epoll_create1 epoll_create epoll_ctl epoll_wait epoll_pwait eventfd2
    recvfrom recvmsg shutdown getsockname getpeername
"""
"""Allowed whatever the arguments are. Files are Landlock's or the private view's business."""

TEMPLATE_ONLY = "wait4 sendmsg pidfd_open capset setsid"
"""What only the template does, or a child before its script: the inner filter takes them away."""

FCNTL = (0, 1, 2, 3, 4, 5, 36, 1030, 1032, 1034)
"""linux/fcntl.h: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_OFD_GETLK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ,
F_GET_SEALS. Not F_SETOWN and F_SETSIG, which send any signal to any process of the account; no locks and leases, which
keep others from a file that the script may only read; no larger pipes."""

IOCTL = (0x5401, 0x5421, 0x541B, 0x5450, 0x5451)
"""asm-generic/ioctls.h: TCGETS (isatty), FIONBIO, FIONREAD, FIONCLEX, FIOCLEX. No TIOCSTI."""

SOL_SOCKET = 1
SOCKET_OPTIONS = (3, 4, 30, 38, 39)
"""asm-generic/socket.h: SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN. Not SO_PEERCRED and SO_PEERPIDFD,
which tell of the process at the other end and hand out a descriptor of it."""

PRCTL_READ = (3, 16, 21, 39)
"""linux/prctl.h: PR_GET_DUMPABLE, PR_GET_NAME, PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS."""

PR_SET_NAME = 15

AF_UNIX = 1
PRIO_PROCESS = 0

_SHARED: dict[str, tuple[Condition, ...]] = {
    # Number of the argument, test, constants; all conditions must hold.
    "fcntl": ((1, "one_of", FCNTL),),
    "ioctl": ((1, "one_of", IOCTL),),
    "socketpair": ((0, "one_of", (AF_UNIX,)),),
    "sendto": ((4, "null", ()),),
    "getsockopt": ((1, "one_of", (SOL_SOCKET,)), (2, "one_of", SOCKET_OPTIONS)),
    "prlimit64": ((0, "one_of", (0,)),),
    "setpriority": ((0, "one_of", (PRIO_PROCESS,)), (1, "one_of", (0,))),
}
"""Calls that both a script and the template may make with some arguments only."""

_OUTER: dict[str, tuple[Condition, ...]] = {
    "clone": ((0, "none_of_bits", (ANY_NAMESPACE,)),),
    "setns": ((1, "one_of", (kernel.CLONE_NEWPID,)),),
    "unshare": ((0, "one_of", (kernel.CLONE_NEWPID,)),),
    "seccomp": ((0, "one_of", (SET_MODE_FILTER,)), (1, "one_of", (0,))),
    "prctl": ((0, "one_of", (*PRCTL_READ, PR_SET_NAME, kernel.PR_SET_PDEATHSIG)),),
    "tgkill": (),
}
"""What the template may do beyond that. The inner filter judges the same calls more strictly."""

_INNER: dict[str, tuple[Condition, ...]] = {
    "clone": ((0, "any_of_bits", (CLONE_THREAD,)),),
    "prctl": ((0, "one_of", (*PRCTL_READ, PR_SET_NAME)),),
}

_REFUSALS = {
    "clone3": errno.ENOSYS,  # its arguments lie behind a pointer; the C library then uses clone
    "openat2": errno.ENOSYS,
    "io_uring_setup": errno.ENOSYS,
    "socket": errno.EACCES,
    "connect": errno.EACCES,
    "bind": errno.EACCES,
    "sendto": errno.EACCES,
    "socketpair": errno.EACCES,
    "ioctl": errno.ENOTTY,
}
"""Other answers than EPERM, where programs expect them."""

MARK = 0x4D41_524B
"""Stands in for a pid while its place in the program is looked for."""


def outer_filter() -> bytes:
    """The template's program."""
    code = bpf.Assembler()
    code.load(bpf.ARCHITECTURE)
    code.jump(bpf.JUMP_EQUAL, AUDIT_ARCH_X86_64, other="kill")
    code.load(bpf.NUMBER)
    code.jump(bpf.JUMP_AT_LEAST, X32_SYSCALL_BIT, other="native")
    code.label("kill")
    code.leave(KILL_PROCESS)
    code.label("native")
    _judge(code, _SHARED | _OUTER)
    for name, number in _REFUSALS.items():
        if name not in _SHARED:
            code.jump(bpf.JUMP_EQUAL, NUMBERS[name], other=f"not {name}")
            code.leave(ERRNO | number)
            code.label(f"not {name}")
    allowed = bpf.ranges([NUMBERS[name] for name in (FREE + TEMPLATE_ONLY).split()])
    _search(code, _borders(allowed), "all")
    return code.assemble()


def inner_filter(pid: int) -> bytes:
    """A child's program. ``pid``: its own, the only process it may signal."""
    code = bpf.Assembler()
    code.load(bpf.NUMBER)
    for name in (*TEMPLATE_ONLY.split(), "setns", "unshare", "seccomp"):
        code.jump(bpf.JUMP_EQUAL, NUMBERS[name], then="refuse")
    own_signals: Condition = (0, "one_of", (pid,))
    _judge(code, {"tgkill": (own_signals,), **_INNER})
    code.leave(ALLOW)
    code.label("refuse")
    code.leave(ERRNO | errno.EPERM)
    return code.assemble()


class InnerFilter:
    """The inner filter, made once by the template, so that a child only passes it to the kernel."""

    def __init__(self) -> None:
        self._program = ctypes.create_string_buffer(code := inner_filter(1), len(code))
        marked = inner_filter(MARK)
        self._pid_place = marked.index(MARK.to_bytes(4, "little"))
        self._call = kernel.prepare_seccomp(SET_MODE_FILTER, self._program, len(code) // bpf.INSTRUCTION.size)

    def install(self, pid: int) -> None:
        """Put it on this process for good. ``pid``: of this process, in its own pid namespace."""
        if pid != 1:
            memoryview(self._program).cast("B")[self._pid_place : self._pid_place + 4] = pid.to_bytes(4, "little")
        self._call()


def install_outer() -> None:
    """Put the outer filter on this process for good. It must have no_new_privs.

    Raises:
        OSError: The kernel refuses, or has no seccomp filters.
    """
    code = outer_filter()
    program = ctypes.create_string_buffer(code, len(code))
    kernel.prepare_seccomp(SET_MODE_FILTER, program, len(code) // bpf.INSTRUCTION.size)()


def _judge(code: bpf.Assembler, rules: Mapping[str, Sequence[Condition]]) -> None:
    """Allow each call if all its conditions hold, refuse it if one does not, go on for all other calls."""
    for name, conditions in rules.items():
        code.jump(bpf.JUMP_EQUAL, NUMBERS[name], other=f"not {name}")
        for index, condition in enumerate(conditions):
            _condition(code, condition, f"{name} {index}", f"{name} refused")
        code.leave(ALLOW)
        if conditions:
            code.label(f"{name} refused")
            code.leave(ERRNO | _REFUSALS.get(name, errno.EPERM))
        code.label(f"not {name}")


def _condition(code: bpf.Assembler, condition: Condition, place: str, refused: str) -> None:
    index, test, constants = condition
    code.load(bpf.argument(index))
    if test == "one_of":  # the kernel reads 32 bits of each of these arguments, so the upper ones are of no interest
        for constant in constants[:-1]:
            code.jump(bpf.JUMP_EQUAL, constant, then=f"{place} holds")
        code.jump(bpf.JUMP_EQUAL, constants[-1], other=refused)
    elif test == "any_of_bits":
        code.jump(bpf.JUMP_ANY_BIT, constants[0], other=refused)
    elif test == "none_of_bits":
        code.jump(bpf.JUMP_ANY_BIT, constants[0], then=refused)
    else:
        code.jump(bpf.JUMP_EQUAL, 0, other=refused)
        code.load(bpf.argument(index, high=True))
        code.jump(bpf.JUMP_EQUAL, 0, other=refused)
    code.label(f"{place} holds")


def _borders(allowed: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where the answer changes, ascending: from that number on, this action."""
    borders = [(0, ERRNO | errno.EPERM)]
    for first, last in allowed:
        borders += [(first, ALLOW), (last + 1, ERRNO | errno.EPERM)]
    return borders[1:] if allowed and allowed[0][0] == 0 else borders


def _search(code: bpf.Assembler, borders: list[tuple[int, int]], place: str) -> None:
    """A binary search for the stretch that the number in the accumulator lies in."""
    if len(borders) == 1:
        code.leave(borders[0][1])
        return
    half = len(borders) // 2
    code.jump(bpf.JUMP_AT_LEAST, borders[half][0], then=f"{place}+")
    _search(code, borders[:half], f"{place}-")
    code.label(f"{place}+")
    _search(code, borders[half:], f"{place}+")
