"""A new file of the user's that a screen writes: for its owner alone, whole or not there, in no other file's place."""

from __future__ import annotations

import os
from collections.abc import Iterable

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_new(path: str, pieces: Iterable[bytes]) -> None:
    """Write a file, and leave nothing of it if that fails. ``~`` is the user's home. Blocks.

    Raises:
        FileExistsError: Something has that name.
        OSError: It cannot be written.
    """
    path = os.path.expanduser(path)
    fd = os.open(path, _NEW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(path)
        raise
