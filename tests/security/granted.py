"""A folder that is approved for writing, and what must never be left in it."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from engine.models.permissions import Access
from engine.sandbox.grants import OpenedGrant


def approved(access: Access, path: Path) -> OpenedGrant:
    """A grant of ``path`` as it lies there now."""
    found = path.stat()
    return OpenedGrant(access, str(path), found.st_dev, found.st_ino, path.is_dir())


ALLOCATED_BOUND = 24 << 20
"""More than the largest file that a run's limits let it make."""


class GrantedFolder:
    """The folder, in the state in which runs find it: empty, and open to every reader of the host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        path.chmod(0o755)
        self.grant = approved(Access.WRITE, path)

    def signs(self) -> list[str]:
        """What lies in it that no run may leave; it is emptied."""
        found = []
        for entry in sorted(self.path.iterdir()):
            found += _signs(entry)
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return found


def _signs(entry: Path) -> list[str]:
    status = entry.lstat()
    kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return [f"host:no file {entry.name} {oct(kind)}"]
    signs = {
        "special": bool(mode & 0o7000),
        "writable": bool(mode & 0o022),
        "allocated": status.st_blocks * 512 > ALLOCATED_BOUND,
    }
    return [f"host:{sign} {entry.name} {oct(mode)}" for sign, is_so in signs.items() if is_so]
