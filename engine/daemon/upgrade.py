"""Notice that another version was installed over the one that runs: its files are no longer what it has loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.models import base

_VERSION = re.compile(rb'^VERSION = "([0-9A-Za-z.+!-]{1,60})"$', re.MULTILINE)

Stamp = tuple[int, int, int]


class InstalledVersion:
    """Looks at the file that has the version; reads it only when it has changed.

    Args:
        file: That file.
    """

    def __init__(self, file: Path = Path(base.__file__)) -> None:
        self._file = file
        self._started = self._stamp = self._look()
        self._version = base.VERSION

    @property
    def replaced(self) -> bool:
        """Whether it was installed again since this engine started, with whatever version."""
        return self._look() not in (self._started, None)

    def problem(self) -> str | None:
        """Say which other version is installed now; None while it is the one that runs, or none can be read."""
        stamp = self._look()
        if stamp != self._stamp and stamp is not None:
            self._stamp = stamp
            self._version = self._read() or self._version
        if self._version == base.VERSION:
            return None
        return (
            f"Gatewright {self._version} was installed, and this engine is still {base.VERSION}. The next command "
            "replaces it when no run goes on; one of a service manager must be restarted there."
        )

    def _look(self) -> Stamp | None:
        try:
            found = os.stat(self._file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> str | None:
        try:
            with open(self._file, "rb") as file:
                found = _VERSION.search(file.read(64 << 10))
        except OSError:
            return None
        return None if found is None else found[1].decode()
