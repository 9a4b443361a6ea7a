"""Kernel calls that ``os`` lacks: namespaces, mounts, capabilities and process controls, through the C library.

Constants are those of the Linux user-space headers (linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h).
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_REC = 0x4000
MS_SLAVE = 0x8_0000
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39

CAPABILITY_VERSION_3 = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)
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


def prctl(option: int, value: int = 0) -> int:
    """Read or set one of this process's controls (prctl(2))."""
    zero = ctypes.c_ulong(0)
    return int(_check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), "prctl"))


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


def version() -> tuple[int, int]:
    """The running kernel's version, as ``(6, 14)``."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(digit for digit in minor if digit.isdigit()))
