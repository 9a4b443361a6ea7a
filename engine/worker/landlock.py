"""Landlock: which files a process and its children may ever touch (landlock(7), linux/landlock.h).

Everything that this kernel's Landlock can handle is denied; rules allow reading below some paths, and all ordinary work
below a few. What it cannot handle (metadata, connecting to sockets in the file system) is left to seccomp and to the
private view.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from . import kernel

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
"""LANDLOCK_ACCESS_FS_*; REFER since ABI 2, TRUNCATE since ABI 3."""

FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""Those that a rule on a file, not a folder, may have."""

READ = READ_FILE | READ_DIR
WORK = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
"""No programs, devices, sockets, pipes or symbolic links."""

OWN = WORK | MAKE_SYM
"""In a folder that nobody but the run reaches, a symbolic link leads nobody astray."""

HANDLED_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file rights each ABI knows; the fifth added the last one."""

NETWORK = 0b11
"""LANDLOCK_ACCESS_NET_BIND_TCP and CONNECT_TCP, since ABI 4."""

SCOPES = 0b11
"""LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and SIGNAL, since ABI 6: nothing of the kind reaches out of the domain."""

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
QUIET = 1
"""LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF, since ABI 7: a script could flood the host's audit log with refusals."""

TRUNCATES = 3
"""The first ABI that holds back truncate(2) and O_TRUNC: below it Landlock alone does not protect files."""


def abi() -> int:
    """The kernel's version of Landlock, 0 where there is none."""
    try:
        return kernel.syscall(
            kernel.SYS_LANDLOCK_CREATE_RULESET, None, 0, CREATE_RULESET_VERSION, what="landlock_create_ruleset"
        )
    except OSError:
        return 0


class Ruleset:
    """Rules under construction; ``enforce`` puts them on this process for good."""

    def __init__(self, version: int) -> None:
        """``version``: an ABI that this kernel has.

        Raises:
            OSError: The kernel refuses it.
        """
        self._version = version
        self._handled = (1 << HANDLED_BITS.get(version, 16)) - 1
        attributes = struct.pack("<QQQ", self._handled, NETWORK, SCOPES)
        size = 24 if version >= 6 else 16 if version >= 4 else 8
        self._fd = kernel.syscall(
            kernel.SYS_LANDLOCK_CREATE_RULESET,
            ctypes.create_string_buffer(attributes, len(attributes)),
            size,
            0,
            what="landlock_create_ruleset",
        )

    def allow(self, path: str, rights: int) -> None:
        """Allow ``rights`` on ``path`` and below it. A path that is not there needs no rule."""
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return
        try:
            self.allow_descriptor(fd, rights)
        finally:
            os.close(fd)

    def allow_descriptor(self, fd: int, rights: int) -> None:
        """As ``allow``, for what ``fd`` is open on."""
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= FILE_RIGHTS
        rule = ctypes.create_string_buffer(struct.pack("<Qi", rights & self._handled, fd), 12)
        kernel.syscall(kernel.SYS_LANDLOCK_ADD_RULE, self._fd, RULE_PATH_BENEATH, rule, 0, what="landlock_add_rule")

    def enforce(self) -> None:
        """Restrict this process. It must have no_new_privs."""
        flags = QUIET if self._version >= 7 else 0
        kernel.syscall(kernel.SYS_LANDLOCK_RESTRICT_SELF, self._fd, flags, what="landlock_restrict_self")
        os.close(self._fd)
