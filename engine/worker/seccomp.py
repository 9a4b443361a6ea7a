"""The two seccomp filters of a RESTRICTED run (seccomp(2), Documentation/userspace-api/seccomp_filter.rst).

The template wears the *outer* filter: by default everything is denied; allowed is what scripts need and the few calls
by which the template makes children. Each child puts the *inner* filter on top, which takes those few away again: the
kernel asks both and the stricter answer counts. A run pays only for the small one.

Scripts get no way to make a process, to reach a network, to change the metadata of a file of the host, to make a file
that runs as the account or that everybody may write to, to lock a file that they may only read, or to make memory that
RLIMIT_AS does not count. What a filter denies gives EPERM, mostly, so that Python raises PermissionError; a foreign ABI
ends the process.

Metadata, links and ``truncate`` are asked for by path, which a filter cannot see, and Landlock knows nothing of modes
and times. So the outer filter lets them through only where the files that may be written to are the run's own: in the
private view, every other mount of which is read-only, and without a grant to write (``OWN_FILES``).
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
USER_NOTIF = 0x7FC0_0000
ERRNO = 0x0005_0000
ALLOW = 0x7FFF_0000
"""SECCOMP_RET_* of linux/seccomp.h."""

SET_MODE_FILTER = 1
NEW_LISTENER = 1 << 3
"""SECCOMP_FILTER_FLAG_NEW_LISTENER of linux/seccomp.h."""

MODE_FILTER = 2

ANY_NAMESPACE = 0x7E02_0000
"""CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS of linux/sched.h."""

CLONE_THREAD = 0x0001_0000

FREE = """
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close
    fstat stat lstat newfstatat statx access faccessat faccessat2 getdents64 getdents
    readlink readlinkat getcwd chdir fchdir rmdir unlink unlinkat rename renameat
    ftruncate fsync fdatasync copy_file_range sendfile
    dup dup2 dup3 close_range pipe poll ppoll select pselect6 statfs fstatfs
    munmap mprotect mremap brk msync
    set_robust_list rseq set_tid_address sched_yield sched_getaffinity getcpu
    exit exit_group restart_syscall
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigpending rt_sigsuspend sigaltstack pause
    nanosleep gettimeofday time times getrusage
    setitimer getitimer alarm
    getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid getsid capget
    sysinfo uname getrandom getrlimit setrlimit getpriority
    epoll_create1 epoll_create epoll_ctl epoll_wait epoll_pwait eventfd2
    shutdown getsockname getpeername
"""
"""Allowed whatever the arguments are, because none of their values does more than the call itself.

- Paths and descriptors are the business of Landlock, of the private view and of what the child has open.
- ``preadv2``, ``pwritev2``: RWF_NOAPPEND passes over O_APPEND of a file that is open for writing anyhow; RWF_HIPRI is
  for devices. ``copy_file_range`` has no flags yet. ``unlinkat``, ``statx``, ``faccessat2``: how a path is followed.
- ``mremap``, ``mprotect``: what is mapped counts for RLIMIT_AS already; executable memory is what libffi needs.
- ``dup3``, ``close_range``, ``eventfd2``, ``epoll_create1``: flags of the script's own descriptors; EPOLLWAKEUP needs a
  capability. ``set_robust_list``, ``rseq``, ``set_tid_address``: addresses in the script's own memory.
- ``sched_getaffinity``, ``getpgid``, ``getsid``, ``getpriority``, ``capget`` name a process by its pid. In a pid
  namespace that is the script's own; without one they tell that a process is there, as ``stat`` of /proc does.
- ``setrlimit``, ``setitimer``, signals: this process only, and a hard limit only ever goes down. ``nice`` values only
  rise, because RLIMIT_NICE is 0 (``limits.py``).
"""

TEMPLATE_ONLY = "wait4 sendmsg pidfd_open capset setsid"
"""What only the template does, or a child before its script: the inner filter takes them away."""

FCNTL = (0, 1, 2, 3, 4, 5, 36, 1030, 1032, 1034)
"""linux/fcntl.h: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_OFD_GETLK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ,
F_GET_SEALS. Not F_SETOWN and F_SETSIG, which send any signal to any process of the account; no locks and leases, which
keep others from a file that the script may only read; no larger pipes."""

SETLK, SETLKW, OFD_SETLK, OFD_SETLKW = 6, 7, 37, 38
"""linux/fcntl.h: F_SETLK, F_SETLKW, F_OFD_SETLK and F_OFD_SETLKW."""

LOCKING = (SETLK, SETLKW, OFD_SETLK, OFD_SETLKW)
"""What ``fcntl`` hands over to the lock broker, where there is one (``locks.py``), and refuses elsewhere."""

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

CREATING = 0o100 | 0o20_000_000
"""asm-generic/fcntl.h: O_CREAT and __O_TMPFILE. Without either the kernel does not look at the mode, and some C
libraries leave in its register what was there."""

SPECIAL_MODES = 0o7000
"""sys/stat.h: S_ISUID, S_ISGID and S_ISVTX. A set-user-ID file in a folder that may be written to would let everybody
on the host become the engine's account, long after the run."""

FOREIGN_MODES = SPECIAL_MODES | 0o002
"""What no file of a run's own may become by chmod(2), either: with S_IWOTH, others may write to it."""

MASKED = (0o020, 0o002)
"""sys/stat.h: S_IWGRP and S_IWOTH, which no umask may let through: 0o666 and 0o777 are what Python asks for."""

RENAME_FLAGS = (0, 1, 2)
"""linux/fs.h: none, RENAME_NOREPLACE, RENAME_EXCHANGE. RENAME_WHITEOUT makes a device file, which Landlock does not
see."""

ALLOCATE_ALL = 0
"""fallocate(2): only the mode of posix_fallocate. FALLOC_FL_KEEP_SIZE fills the disk past RLIMIT_FSIZE, with a file
that looks empty."""

MAP_HUGETLB = 0x4_0000
"""asm-generic/mman-common.h: pages that an administrator set aside for other programs."""

ADVICE = (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)
"""asm-generic/mman-common.h: NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, REMOVE, DONTFORK, DOFORK, HUGEPAGE,
NOHUGEPAGE, DONTDUMP, DODUMP, WIPEONFORK, KEEPONFORK, POPULATE_READ, POPULATE_WRITE, GUARD_INSTALL, GUARD_REMOVE. Not
MERGEABLE, whose timing tells what others hold in memory; not COLD, PAGEOUT and COLLAPSE, which make the kernel work on
pages of libraries that others use."""

FUTEX_PLAIN = (0, 1, 3, 4, 5, 9, 10)
"""linux/futex.h: WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET. Not those with priority
inheritance: they attach to whatever process a number names, and nothing in Python needs them."""

FUTEX_PRIVATE, FUTEX_REALTIME = 128, 256

FUTEX = (
    *FUTEX_PLAIN,
    *(operation | FUTEX_PRIVATE for operation in FUTEX_PLAIN),
    *(wait | FUTEX_REALTIME | private for wait in (0, 9) for private in (0, FUTEX_PRIVATE)),
)
"""Only a wait has a clock."""

CLOCKS = 16
"""linux/posix-timers: as many clocks have fixed numbers (MAX_CLOCKS). Others, negative ones, are the processor time of
the process or thread whose pid they hold, anybody's, or what a descriptor of a clock device says."""

O_NOTIFICATION_PIPE = 0o200
"""linux/watch_queue.h: pipes that report events of the kernel."""

SEND_FLAGS = 0x40 | 0x80 | 0x4000 | 0x8000
"""linux/socket.h: MSG_DONTWAIT, MSG_EOR, MSG_NOSIGNAL, MSG_MORE. Not MSG_OOB: urgent bytes on unix sockets have been
a way into kernels, nobody uses them, and they would stand in the way of frames."""

RECEIVE_FLAGS = 0x2 | 0x20 | 0x40 | 0x100 | 0x4000 | 0x4000_0000
"""linux/socket.h: MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL, MSG_CMSG_CLOEXEC."""

WORD = 2**32 - 1

_SHARED: dict[str, tuple[Condition, ...]] = {
    # Number of the argument, test, constants; all conditions must hold. Those behind "where_bits" count only where one
    # of its bits is set.
    "open": ((1, "where_bits", (CREATING,)), (2, "none_of_bits", (SPECIAL_MODES,))),
    "openat": ((2, "where_bits", (CREATING,)), (3, "none_of_bits", (SPECIAL_MODES,))),
    "creat": ((1, "none_of_bits", (SPECIAL_MODES,)),),
    "mkdir": ((1, "none_of_bits", (SPECIAL_MODES,)),),
    "mkdirat": ((2, "none_of_bits", (SPECIAL_MODES,)),),
    "umask": ((0, "all_of_bits", MASKED),),
    "renameat2": ((4, "one_of", RENAME_FLAGS),),
    "fallocate": ((1, "one_of", (ALLOCATE_ALL,)),),
    "mmap": ((3, "none_of_bits", (MAP_HUGETLB,)),),
    "madvise": ((2, "one_of", ADVICE),),
    "futex": ((1, "one_of", FUTEX),),
    "clock_gettime": ((0, "below", (CLOCKS,)),),
    "clock_getres": ((0, "below", (CLOCKS,)),),
    "clock_nanosleep": ((0, "below", (CLOCKS,)),),
    "pipe2": ((1, "none_of_bits", (O_NOTIFICATION_PIPE,)),),
    "fcntl": ((1, "one_of", FCNTL),),
    "ioctl": ((1, "one_of", IOCTL),),
    "socketpair": ((0, "one_of", (AF_UNIX,)),),
    "sendto": ((4, "null", ()), (3, "none_of_bits", (WORD ^ SEND_FLAGS,))),
    "recvfrom": ((3, "none_of_bits", (WORD ^ RECEIVE_FLAGS,)),),
    "recvmsg": ((2, "none_of_bits", (WORD ^ RECEIVE_FLAGS,)),),
    "getsockopt": ((1, "one_of", (SOL_SOCKET,)), (2, "one_of", SOCKET_OPTIONS)),
    "prlimit64": ((0, "one_of", (0,)),),
    "setpriority": ((0, "one_of", (PRIO_PROCESS,)), (1, "one_of", (0,))),
}
"""Calls that both a script and the template may make with some arguments only.

What no rule looks at: ``open`` with other flags (Landlock judges them), the memory that ``mmap`` asks for (RLIMIT_AS),
the third argument of ``fcntl`` (flags of the script's own descriptors; O_ASYNC signals nobody without F_SETOWN), the
kind of a ``socketpair``, the limits of ``prlimit64``, which are this process's, and the higher ``nice`` value of
``setpriority``.
"""

OWN_FILES_FREE = "utime utimes futimesat utimensat symlink symlinkat link linkat truncate"
"""What a script may do to its own files, whatever the arguments are. A link across mounts fails with EXDEV, anything on
a read-only one with EROFS; where a symbolic link leads to is looked for in the view."""

OWN_FILES: dict[str, tuple[Condition, ...]] = {
    "chmod": ((1, "none_of_bits", (FOREIGN_MODES,)),),
    "fchmod": ((1, "none_of_bits", (FOREIGN_MODES,)),),
    "fchmodat": ((2, "none_of_bits", (FOREIGN_MODES,)),),
    "fchmodat2": ((2, "none_of_bits", (FOREIGN_MODES,)),),
}
"""The same, for what depends on a mode. There are no other owners, devices, pipes or sockets."""

EXTENDED_ATTRIBUTES = """
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    removexattr lremovexattr fremovexattr
"""
"""Answered as by a file system that has none (xattr(7)): ``shutil`` passes over that, and not over EPERM."""

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
    "openat2": errno.ENOSYS,  # the same, and with it a file's mode
    "io_uring_setup": errno.ENOSYS,
    "socket": errno.EACCES,
    "connect": errno.EACCES,
    "bind": errno.EACCES,
    "sendto": errno.EACCES,
    "socketpair": errno.EACCES,
    "ioctl": errno.ENOTTY,
    "fallocate": errno.EOPNOTSUPP,
    "madvise": errno.EINVAL,
    "futex": errno.ENOSYS,
    "clock_gettime": errno.EINVAL,
    "clock_getres": errno.EINVAL,
    "clock_nanosleep": errno.EINVAL,
}
"""Other answers than EPERM, where programs expect them."""

FICLONE = 0x4004_9409
"""linux/fs.h: a copy that shares its blocks. Answered as by a file system that knows none, ioctl_ficlone(2): only then
does ``pathlib`` of Python 3.14 copy by other means."""

MARK = 0x4D41_524B
"""Stands in for a pid while its place in the program is looked for."""


def outer_filter(*, own_files: bool = False, locks: bool = False) -> bytes:
    """The template's program.

    Args:
        own_files: What can be written to at all is a run's own, modes and times included.
        locks: Calls that lock files wait for the lock broker's answer.
    """
    code = bpf.Assembler()
    code.load(bpf.ARCHITECTURE)
    code.jump(bpf.JUMP_EQUAL, AUDIT_ARCH_X86_64, other="kill")
    code.load(bpf.NUMBER)
    code.jump(bpf.JUMP_AT_LEAST, X32_SYSCALL_BIT, other="native")
    code.label("kill")
    code.leave(KILL_PROCESS)
    code.label("native")
    if locks:
        _hand_over_locks(code)
    _judge(code, _SHARED | _OUTER | (OWN_FILES if own_files else {}))
    for name, number in _REFUSALS.items():
        if name not in _SHARED:
            code.jump(bpf.JUMP_EQUAL, NUMBERS[name], other=f"not {name}")
            code.leave(ERRNO | number)
            code.label(f"not {name}")
    free = FREE + TEMPLATE_ONLY + (f" {OWN_FILES_FREE}" if own_files else "")
    _search(code, _borders({ALLOW: free, ERRNO | errno.EOPNOTSUPP: EXTENDED_ATTRIBUTES}), "all")
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


def install_outer(*, own_files: bool = False, locks: bool = False) -> int | None:
    """Put the outer filter on this process for good. It must have no_new_privs.

    Returns:
        The descriptor that calls which lock files come from; None without ``locks``.

    Raises:
        OSError: The kernel refuses, or has no seccomp filters, or somebody listens to a filter of this process already.
    """
    code = outer_filter(own_files=own_files, locks=locks)
    program = ctypes.create_string_buffer(code, len(code))
    flags = NEW_LISTENER if locks else 0
    listener = kernel.prepare_seccomp(SET_MODE_FILTER, program, len(code) // bpf.INSTRUCTION.size, flags)()
    return listener if locks else None


def _hand_over_locks(code: bpf.Assembler) -> None:
    """Let the lock broker answer the calls that lock files; go on for all others."""
    code.jump(bpf.JUMP_EQUAL, NUMBERS["flock"], then="lock")
    code.jump(bpf.JUMP_EQUAL, NUMBERS["fcntl"], other="no lock")
    code.load(bpf.argument(1))
    for command in LOCKING[:-1]:
        code.jump(bpf.JUMP_EQUAL, command, then="lock")
    code.jump(bpf.JUMP_EQUAL, LOCKING[-1], other="number again")
    code.label("lock")
    code.leave(USER_NOTIF)
    code.label("number again")
    code.load(bpf.NUMBER)
    code.label("no lock")


def _judge(code: bpf.Assembler, rules: Mapping[str, Sequence[Condition]]) -> None:
    """Allow each call if all its conditions hold, refuse it if one does not, go on for all other calls."""
    for name, conditions in rules.items():
        code.jump(bpf.JUMP_EQUAL, NUMBERS[name], other=f"not {name}")
        for index, condition in enumerate(conditions):
            _condition(code, condition, f"{name} {index}", f"{name} refused", f"{name} allowed")
        code.label(f"{name} allowed")
        code.leave(ALLOW)
        if conditions:
            code.label(f"{name} refused")
            if name == "ioctl":  # the request was looked at last
                code.jump(bpf.JUMP_EQUAL, FICLONE, other="not a clone of a file")
                code.leave(ERRNO | errno.EOPNOTSUPP)
                code.label("not a clone of a file")
            code.leave(ERRNO | _REFUSALS.get(name, errno.EPERM))
        code.label(f"not {name}")


def _condition(code: bpf.Assembler, condition: Condition, place: str, refused: str, allowed: str) -> None:
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
    elif test == "all_of_bits":
        for bit in constants:
            code.jump(bpf.JUMP_ANY_BIT, bit, other=refused)
    elif test == "where_bits":
        code.jump(bpf.JUMP_ANY_BIT, constants[0], other=allowed)
    elif test == "below":
        code.jump(bpf.JUMP_AT_LEAST, constants[0], then=refused)
    else:
        code.jump(bpf.JUMP_EQUAL, 0, other=refused)
        code.load(bpf.argument(index, high=True))
        code.jump(bpf.JUMP_EQUAL, 0, other=refused)
    code.label(f"{place} holds")


def _borders(answers: Mapping[int, str]) -> list[tuple[int, int]]:
    """Where the answer changes, ascending: from that number on, this action. ``answers``: the calls of each action."""
    borders = {0: ERRNO | errno.EPERM}
    for action, names in answers.items():
        for first, last in bpf.ranges([NUMBERS[name] for name in names.split()]):
            borders[first] = action
            borders.setdefault(last + 1, ERRNO | errno.EPERM)
    return sorted(borders.items())


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
