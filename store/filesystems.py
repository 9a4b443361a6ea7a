"""What kind of file system a folder is on, as far as watching it is concerned (statfs(2))."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_REMOTE = {
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x65735546: "FUSE",
    0x01021997: "9p",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x19830326: "BeeGFS",
    0x47504653: "GPFS",
    0x0BD00BD0: "Lustre",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x786F4256: "a VirtualBox shared folder",
    0xBACBACBC: "a VMware shared folder",
}
"""Where others than this kernel can change files. Magic numbers: statfs(2) and linux/magic.h."""

_BUFFER = 256
"""Bytes; a struct statfs has 120 on x86-64 and aarch64. Its first member is the magic number."""

_libc = ctypes.CDLL(None, use_errno=True)


def remote_kind(folder: Path) -> str | None:
    """What a network file system is called; None for one that only this kernel changes.

    Raises:
        OSError: The folder cannot be examined.
    """
    return _REMOTE.get(magic(folder))


def magic(folder: Path) -> int:
    """The number that says what kind of file system a folder is on.

    Raises:
        OSError: The folder cannot be examined.
    """
    buffer = ctypes.create_string_buffer(_BUFFER)
    if _libc.statfs(os.fsencode(folder), buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(folder))
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
