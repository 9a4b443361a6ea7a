"""Kernel calls that ``os`` lacks: namespaces, mounts, capabilities and process controls, through the C library.

Constants are those of the Linux user-space headers (linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h).
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MS_SLAVE = 0x8_0000
MS_RELATIME = 0x20_0000
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_GET_SECCOMP = 21
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2

AF_INET = 2
SOCK_DGRAM = 2

CAPABILITY_VERSION_3 = 0x2008_0522

SYS_PIVOT_ROOT = 155
SYS_PROCESS_VM_READV = 310
SYS_SECCOMP = 317
SYS_CLOSE_RANGE = 436
SYS_PIDFD_GETFD = 438
SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
"""Numbers on x86-64; from close_range on they are the same on every architecture."""

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_bare_libc = ctypes.CDLL(None)
"""For calls of every child: keeping errno makes ctypes touch pages that a child would have to copy."""


# struct __user_cap_header_struct and two struct __user_cap_data_struct of linux/capability.h. Made once, so that a
# child only passes them: every object that it need not make is a page that it need not copy.
_cap_header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
_no_caps = (ctypes.c_uint32 * 6)()
_read_caps = (ctypes.c_uint32 * 6)()
_read_caps_bytes = memoryview(_read_caps).cast("B")
_cap_header_ref = ctypes.byref(_cap_header)
_no_caps_ref = ctypes.byref(_no_caps)
_read_caps_ref = ctypes.byref(_read_caps)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named in ``flags`` for new ones (unshare(2))."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind ``fd`` (setns(2))."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount ``source`` on ``target`` (mount(2))."""
    result = _libc.mount(
        source.encode() if source else None,
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    _check(result, f"mount {target}")


def detach(target: str) -> None:
    """Take a mount out of the tree at once; it goes when its last user has gone (umount2(2), MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root of this mount namespace and hang the one before on ``old`` (pivot_root(2))."""
    _check(_libc.syscall(SYS_PIVOT_ROOT, os.fsencode(new), os.fsencode(old)), "pivot_root")


def syscall(number: int, *arguments: object, what: str = "system call") -> int:
    """Any system call. Integers are passed as 64 bits.

    Raises:
        OSError: The kernel refuses; the message begins with ``what``.
    """
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(_check(_syscall(ctypes.c_long(number), *passed), what))


def prctl(option: int, value: int = 0) -> int:
    """Read or set one of this process's controls (prctl(2))."""
    zero = ctypes.c_ulong(0)
    return int(_check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), "prctl"))


def umask(mask: int) -> int:
    """Set the mask of files to come and return the one before, past whatever ``os.umask`` has become (umask(2))."""
    return int(_bare_libc.umask(mask))


def keep_capabilities() -> None:
    """Let a program that this process executes have its capabilities, too (capabilities(7), ambient)."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, sets), "capget")
    for word in (0, 3):  # twice effective, permitted, inheritable
        sets[word + 2] = sets[word + 1]
    _check(_libc.capset(header, sets), "capset")
    for capability in range(64):
        if sets[1 + 3 * (capability // 32)] >> capability % 32 & 1:
            passed = map(ctypes.c_ulong, (PR_CAP_AMBIENT_RAISE, capability, 0, 0))
            _check(_libc.prctl(PR_CAP_AMBIENT, *passed), "prctl")


def drop_capabilities() -> None:
    """Give up every capability, effective, permitted and inheritable (capset(2))."""
    if _bare_libc.capset(_cap_header_ref, _no_caps_ref):
        raise OSError("capset was refused")


def capabilities() -> bool:
    """Whether this process has any capability in any set (capget(2))."""
    if _bare_libc.capget(_cap_header_ref, _read_caps_ref):
        raise OSError("capget was refused")
    return any(_read_caps_bytes)


def no_new_privs() -> int:
    """1 once this process can gain no privileges any more."""
    return int(_bare_libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))


def seccomp_mode() -> int:
    """2 while filters judge this process's calls, 0 without (prctl(2), PR_GET_SECCOMP)."""
    return int(_bare_libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0))


def prepare_seccomp(
    operation: int, program: ctypes.Array[ctypes.c_char], length: int, flags: int = 0
) -> Callable[[], int]:
    """Prepare a call of seccomp(2) with ``program``, ``length`` instructions, so that a child need only make it.

    It returns what the kernel answers: 0, or the descriptor that ``flags`` ask for.
    """
    header = _FilterProgram(length, ctypes.addressof(program))
    arguments = (ctypes.c_long(SYS_SECCOMP), ctypes.c_long(operation), ctypes.c_long(flags), ctypes.byref(header))
    call = _bare_libc.syscall

    def install(_keep: object = (header, program)) -> int:
        answer = int(call(*arguments))
        if answer < 0:
            raise OSError("seccomp was refused")
        return answer

    return install


def can_open_root() -> bool:
    """Whether this process can open ``/``, which nobody but root's owner and the sandbox would refuse (open(2))."""
    fd = int(_bare_libc.open(b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def can_make_socket() -> bool:
    """Whether this process can make a socket for a network (socket(2))."""
    fd = int(_bare_libc.socket(AF_INET, SOCK_DGRAM, 0))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def close_from(first: int) -> bool:
    """Close every descriptor from ``first`` on in one call; False before Linux 5.9 (close_range(2))."""
    return not _bare_libc.syscall(SYS_CLOSE_RANGE, first, ctypes.c_uint(2**32 - 1), 0)


def prepare_poll(first: int, count: int) -> Callable[[], int]:
    """Prepare a count of the closed ones among ``count`` descriptors from ``first`` on: one poll(2), no look at /proc.

    A descriptor that is closed is ready with POLLNVAL; one that is open, and asked for nothing, is ready with an error
    only, which those of a child that has just begun do not have.
    """
    descriptors = (_PollDescriptor * count)(*(_PollDescriptor(number, 0, 0) for number in range(first, first + count)))
    arguments = (ctypes.byref(descriptors), ctypes.c_ulong(count), 0)
    poll = _bare_libc.poll

    def count_closed(_keep: object = descriptors) -> int:
        return int(poll(*arguments))

    return count_closed


def fetch_descriptor(pidfd: int, number: int) -> int:
    """Return a descriptor of the same open file as ``number`` of another process (pidfd_getfd(2)).

    Raises:
        OSError: EBADF if it has no such descriptor, ESRCH if it has gone, EPERM without the right to trace it.
    """
    # The kernel looks at 32 bits of each of these.
    return int(_check(_syscall(SYS_PIDFD_GETFD, pidfd, number, 0), "pidfd_getfd"))


def prepare_memory_read(size: int) -> Callable[[int, int], bytes]:
    """Prepare reads of ``size`` bytes of other processes' memory (process_vm_readv(2)), by pid and address.

    They raise OSError: EFAULT if not all can be read, ESRCH if the process has gone, EPERM without the right to trace.
    """
    buffer = ctypes.create_string_buffer(size)
    here, there = _Stretch(ctypes.addressof(buffer), size), _Stretch(0, size)
    to, what = ctypes.byref(here), ctypes.byref(there)
    number, one, zero = ctypes.c_long(SYS_PROCESS_VM_READV), ctypes.c_ulong(1), ctypes.c_ulong(0)  # all 64 bits count

    def read(pid: int, address: int) -> bytes:
        there.base = address
        if _check(_syscall(number, ctypes.c_long(pid), to, one, what, one, zero), "process_vm_readv") != size:
            raise OSError(errno.EFAULT, "process_vm_readv: not all of it can be read")
        return buffer.raw

    return read


class _Stretch(ctypes.Structure):
    """struct iovec of process_vm_readv(2)."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _PollDescriptor(ctypes.Structure):
    """struct pollfd of poll(2)."""

    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


def version() -> tuple[int, int]:
    """The running kernel's version, as ``(6, 14)``."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(digit for digit in minor if digit.isdigit()))
