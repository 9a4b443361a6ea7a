"""What could be left on the host beside one folder's files: elsewhere, as IPC objects, as keys, in compiled modules."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sysconfig
import time
from pathlib import Path

HOME = os.path.expanduser("~")
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/lock", HOME, os.path.dirname(HOME), "/")
FOLDERS = tuple(dict.fromkeys(PLACES))
COLLECTED_WITHIN = 5.0
"""Seconds that the kernel may take to forget a key that nothing links to."""

SYSV = {"shm": "-M", "msg": "-Q", "sem": "-S"}


def tag_of(folder: Path) -> str:
    """What is in the names of all that the attacks of the trial in ``folder`` make elsewhere."""
    return "gwattack-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]


class Outside:
    """Watches the host for what carries the trial's tag or key.

    Args:
        elsewhere: A folder of the trial's that is nobody's place.
    """

    def __init__(self, tag: str, key: int, elsewhere: Path) -> None:
        self._tag = tag
        self._key = key
        self._folders = (*FOLDERS, str(elsewhere))

    def signs(self) -> list[str]:
        """What is there now; it is removed."""
        return [f"host:outside {path}" for path in self.files()] + [f"host:ipc {kind}" for kind in self._objects()]

    def files(self) -> list[str]:
        """The files among it; they are removed."""
        found = [os.path.join(folder, name) for folder in self._folders for name in _names(folder) if self._tag in name]
        for path in found:
            # Sockets of the trial itself are no files; what attacks make carries the tag and nothing else.
            with contextlib.suppress(OSError):
                os.unlink(path)
        return found

    def _objects(self) -> list[str]:
        found = []
        for kind, flag in SYSV.items():
            with open(f"/proc/sysvipc/{kind}") as listing:
                keys = [int(line.split()[0]) & 0xFFFFFFFF for line in listing.readlines()[1:]]
            if self._key in keys:
                found.append(kind)
                subprocess.run(["ipcrm", flag, str(self._key)], check=False, timeout=20)
        if self._has_key():
            found.append("key")
            # An unlinked key is listed until the kernel collects it, and must not be held against the next run.
            deadline = time.monotonic() + COLLECTED_WITHIN
            while self._has_key() and time.monotonic() < deadline:
                time.sleep(0.01)
        return found

    def _has_key(self) -> bool:
        with open("/proc/keys") as keys:
            return self._tag in keys.read()


def compiled_library() -> str:
    """A hash over the standard library's compiled modules: names, modes, times and bytes."""
    total = hashlib.sha256()
    for path in sorted(Path(sysconfig.get_path("stdlib"), "__pycache__").iterdir()):
        status = path.stat()
        total.update(f"{path.name} {status.st_mode} {status.st_uid} {status.st_size} {status.st_mtime_ns}".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []
