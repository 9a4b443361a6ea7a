"""What a child of a new template tries, so that the engine need not believe that the layers hold.

A filter with a jump that is off by one installs without complaint, and so does a Landlock rule for the wrong folder.
Each attempt is made for real; its answer is the name of the error, or ``allowed``. Which answers are right is the
engine's judgement (``engine/pool/isolation.py``).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct

from . import kernel
from .seccomp import OFD_SETLK, SETLK
from .syscalls import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED = "allowed"
NO_DESCRIPTOR = -1
"""A call that is let through fails with EBADF for it, and does no harm."""

AF_UNIX, AF_INET, SOCK_STREAM = 1, 2, 1
PTRACE_PEEKDATA = 2
NOBODY = 0
"""No process has this pid: where ptrace is let through, it finds none, and nothing is stopped by being traced."""

HOST_FILE = "/etc/passwd"
NOWHERE = b"/nonexistent/made"
READ_LOCK, WRITE_LOCK = 0, 1
"""F_RDLCK and F_WRLCK of asm-generic/fcntl.h."""
LOCK_SHARED_NOW, LOCK_ALONE_NOW = 1 | 4, 2 | 4
"""LOCK_SH, LOCK_EX and LOCK_NB of flock(2)."""
OWN_FILE = "attempt"
"""In the scratch folder, where the attempts are made."""
SET_USER_ID, SET_GROUP_ID = 0o4755, 0o2755
OPEN_TO_ALL = 0o002
AT_FDCWD = -100
"""linux/fcntl.h."""

LIBRARY, DEVICE = os.__file__, "/dev/null"


def attempts() -> dict[str, str]:
    """Try everything; returns the answer to each attempt by its name."""
    return {name: _answer(attempt) for name, attempt in _ATTEMPTS.items()}


def _answer(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return ALLOWED


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _call(name: str, *arguments: object) -> int:
    return kernel.syscall(NUMBERS[name], *arguments, what=name)


def _clone() -> None:
    if _call("clone", int(signal.SIGCHLD), 0, 0, 0, 0) == 0:
        os._exit(0)


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags))


def _create_outside() -> None:
    path = f"/tmp/gatewright-attempt-{os.getpid()}"  # noqa: S108 - where everybody may write, and this process must not
    _open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.unlink(path)


def _library_mode() -> int:
    return os.stat(LIBRARY).st_mode & 0o775


def _change_mode_of_open_library() -> None:
    with open(LIBRARY, "rb") as library:
        _call("fchmod", library.fileno(), _library_mode())


def _set_times(path: str) -> None:
    """Those that it has: even where it is let through, only its change time is another."""
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _set_times_of_open_library() -> None:
    with open(LIBRARY, "rb") as library:
        status = os.fstat(library.fileno())
        os.utime(library.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _symlink_beside_library() -> None:
    path = os.path.join(os.path.dirname(LIBRARY), f"gatewright-attempt-{os.getpid()}")
    os.symlink("nowhere", path)
    os.unlink(path)


def _link_library() -> None:
    path = f"attempt-{os.getpid()}"
    os.link(LIBRARY, path)
    os.unlink(path)


def _record_lock(fd: int, command: int, kind: int) -> None:
    """Lock a whole file by fcntl(2). The kernel is given struct flock: kind, whence, start, length, owner."""
    lock = struct.pack("@hhqqi4x", kind, 0, 0, 0, 0)
    _call("fcntl", fd, command, ctypes.create_string_buffer(lock, len(lock)))


def _lock_library(lock: Callable[[int], object]) -> None:
    fd = os.open(os.__file__, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lock(fd)
    finally:
        os.close(fd)


def _lock_own_file() -> None:
    """Every kind of lock that there is."""
    fd = os.open(OWN_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        _record_lock(fd, SETLK, WRITE_LOCK)
        _call("flock", fd, LOCK_ALONE_NOW)
        _record_lock(fd, OFD_SETLK, WRITE_LOCK)
    finally:
        os.close(fd)
        os.unlink(OWN_FILE)


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "fork": _fork,
    "clone": _clone,
    "clone3": lambda: _call("clone3", None, 0),
    "execve": lambda: os.execv("/", ["/"]),  # noqa: S606 - a folder: even where it is let through, nothing starts
    "setns": lambda: _call("setns", NO_DESCRIPTOR, kernel.CLONE_NEWPID),
    "unshare": lambda: _call("unshare", kernel.CLONE_NEWPID),
    "unshare_user": lambda: _call("unshare", kernel.CLONE_NEWUSER),
    "capset": lambda: _call("capset", None, None),
    "seccomp": lambda: _call("seccomp", 1, 0, None),
    "prctl": lambda: kernel.prctl(kernel.PR_SET_PDEATHSIG, 0),
    "ptrace": lambda: _call("ptrace", PTRACE_PEEKDATA, NOBODY, 0, 0),
    "wait": lambda: _call("wait4", -1, None, 0, None),
    "sendmsg": lambda: _call("sendmsg", NO_DESCRIPTOR, None, 0),
    "pidfd_open": lambda: _call("pidfd_open", NO_DESCRIPTOR, 0),
    "kill": lambda: os.kill(1, 0),
    "mount": lambda: _call("mount", None, None, None, 0, None),
    "memfd_create": lambda: _call("memfd_create", None, 0),
    "chmod": lambda: _call("chmod", os.fsencode(LIBRARY), _library_mode()),
    "fchmod": _change_mode_of_open_library,
    "fchmodat": lambda: _call("fchmodat", AT_FDCWD, os.fsencode(LIBRARY), _library_mode()),
    "utime": lambda: _set_times(LIBRARY),
    "futimens": _set_times_of_open_library,
    "utime_device": lambda: _set_times(DEVICE),
    "symlink": _symlink_beside_library,
    "link": _link_library,
    "truncate": lambda: os.truncate(LIBRARY, os.stat(LIBRARY).st_size),
    "chown": lambda: _call("chown", NOWHERE, -1, -1),
    "mknod": lambda: _call("mknod", NOWHERE, 0, 0),
    "chmod_set_user_id": lambda: _call("chmod", NOWHERE, SET_USER_ID),
    "fchmod_set_user_id": lambda: _call("fchmod", NO_DESCRIPTOR, SET_USER_ID),
    "fchmodat_set_group_id": lambda: _call("fchmodat", AT_FDCWD, NOWHERE, SET_GROUP_ID),
    "fchmodat2_set_user_id": lambda: _call("fchmodat2", AT_FDCWD, NOWHERE, SET_USER_ID, 0),
    "chmod_open_to_all": lambda: _call("chmod", NOWHERE, OPEN_TO_ALL),
    "fchmod_open_to_all": lambda: _call("fchmod", NO_DESCRIPTOR, OPEN_TO_ALL),
    "fchmodat_open_to_all": lambda: _call("fchmodat", AT_FDCWD, NOWHERE, OPEN_TO_ALL),
    "fchmodat2_open_to_all": lambda: _call("fchmodat2", AT_FDCWD, NOWHERE, OPEN_TO_ALL, 0),
    "open_set_user_id": lambda: _call("open", NOWHERE, os.O_CREAT | os.O_WRONLY, SET_USER_ID),
    "openat_set_user_id": lambda: _call("openat", NO_DESCRIPTOR, NOWHERE, os.O_CREAT | os.O_WRONLY, SET_USER_ID),
    "tmpfile_set_user_id": lambda: _call("openat", NO_DESCRIPTOR, NOWHERE, os.O_TMPFILE | os.O_WRONLY, SET_USER_ID),
    "creat_set_user_id": lambda: _call("creat", NOWHERE, SET_USER_ID),
    "mkdir_set_group_id": lambda: _call("mkdir", NOWHERE, SET_GROUP_ID),
    "mkdirat_set_group_id": lambda: _call("mkdirat", NO_DESCRIPTOR, NOWHERE, SET_GROUP_ID),
    "umask": lambda: _call("umask", 0),
    "socket_inet": lambda: _call("socket", AF_INET, SOCK_STREAM, 0),
    "socket_unix": lambda: _call("socket", AF_UNIX, SOCK_STREAM, 0),
    "flock_library": lambda: _lock_library(lambda fd: _call("flock", fd, LOCK_SHARED_NOW)),
    "record_lock_library": lambda: _lock_library(lambda fd: _record_lock(fd, SETLK, READ_LOCK)),
    "open_file_lock_library": lambda: _lock_library(lambda fd: _record_lock(fd, OFD_SETLK, READ_LOCK)),
    "lock_own_file": _lock_own_file,
    "open_root": lambda: _open("/", os.O_RDONLY),
    "open_host_file": lambda: _open(HOST_FILE, os.O_RDONLY),
    "open_proc": lambda: _open("/proc/self/status", os.O_RDONLY),
    "open_dev": lambda: _open("/dev/tty", os.O_RDWR),
    "overwrite_library": lambda: _open(LIBRARY, os.O_WRONLY),
    "create_outside": _create_outside,
    "stat_host_file": lambda: os.stat(HOST_FILE),
    "list_proc": lambda: _open("/proc", os.O_RDONLY),
}
