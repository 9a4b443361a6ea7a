"""Approved paths, opened again inside the slot: the same file or folder that the engine found, or none at all."""

from __future__ import annotations

import os

from . import landlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .view import View

    Granted = tuple[str, str, int, int]

WRITE = "write"


class GrantChanged(OSError):
    """What lies at an approved path is not what the engine found there a moment ago."""


def open_granted(path: str, device: int, inode: int) -> int:
    """Open an approved path component by component, without following a symbolic link anywhere.

    Raises:
        GrantChanged: Something else lies there now.
        OSError: It cannot be reached.
    """
    here = os.open("/", os.O_PATH | os.O_CLOEXEC)
    for name in path.strip("/").split("/"):
        try:
            following = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = following
    found = os.fstat(here)
    if (found.st_dev, found.st_ino) != (device, inode):
        os.close(here)
        raise GrantChanged(f"the approved path {path} was replaced while the run was being prepared")
    return here


def show_grants(view: View, grants: Sequence[Granted]) -> None:
    """Let the approved paths be seen in the private view; those to write to last, for one may lie in the other."""
    for access, path, device, inode in sorted(grants, key=lambda grant: (grant[0] == WRITE, grant[1])):
        fd = open_granted(path, device, inode)
        view.show_opened(path, fd, writable=access == WRITE)
        os.close(fd)


def allow_grants(rules: landlock.Ruleset, grants: Sequence[Granted]) -> None:
    """Allow the approved paths in a ruleset."""
    for access, path, device, inode in grants:
        fd = open_granted(path, device, inode)
        rules.allow_descriptor(fd, landlock.WORK if access == WRITE else landlock.READ)
        os.close(fd)
