"""The difference of a file that git does not know yet, in the form of ``git diff``.

``git diff --no-index`` is not asked: it follows a link that leads to a folder, out of the repository.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from store import disk
from store.errors import StoreError, from_os_error

_BINARY_WITHIN = 8000
"""Bytes in which a NUL makes a file binary, as for git."""


def new_file(root: Path, name: bytes, limit: int) -> tuple[bytes, bool]:
    """The difference, and whether it is cut.

    Args:
        root: The repository's folder.
        name: Relative to it; no component may be a link, the last one is shown and not followed.
        limit: Bytes of the file that are shown.

    Raises:
        StoreError: It cannot be read, or is neither a file nor a link.
    """
    data = content(root, name, limit + 1)
    head = b"diff --git a/%b b/%b\nnew file\n" % (name, name)
    if b"\0" in data[:_BINARY_WITHIN]:
        return head + b"Binary file b/%b\n" % name, False
    cut = len(data) > limit
    if cut:
        data = data[: data.rfind(b"\n", 0, limit) + 1]
    return head + _added(name, data), cut


def content(root: Path, name: bytes, size: int) -> bytes:
    """The first bytes of a file of the repository; of a link where it leads; of what is gone, none.

    Raises:
        StoreError: It cannot be read, or is neither a file nor a link.
    """
    *folders, last = os.fsdecode(name).split("/")
    try:
        with disk.open_folder(root) as top, disk.walk_to(top, folders) as folder:
            return _content(folder, last, size)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise from_os_error(error, f"read {name.decode('utf-8', 'backslashreplace')}") from error


def _content(folder: int, name: str, size: int) -> bytes:
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return os.fsencode(os.readlink(name, dir_fd=folder))
    if not stat.S_ISREG(mode):
        raise StoreError(f"{name!r} is neither a file nor a link.")
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(size)


def _added(name: bytes, data: bytes) -> bytes:
    if not data:
        return b""
    lines = data.split(b"\n")
    end = b"\n\\ No newline at end of file\n" if lines[-1] else b"\n"
    if not lines[-1]:
        lines.pop()
    count = b"1" if len(lines) == 1 else b"1,%d" % len(lines)
    text = b"\n".join(b"+" + line for line in lines)
    return b"--- /dev/null\n+++ b/%b\n@@ -0,0 +%b @@\n" % (name, count) + text + end
