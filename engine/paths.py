"""Where the engine of a project keeps what its clients must find: socket, locks, logs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PRIVATE = ".gatewright"

CACHE_SIZE = "cache/uv.size"
"""File in there: how many bytes the cache of fetched packages had when it was tidied last."""


@dataclass(frozen=True, slots=True)
class EnginePaths:
    """The places of one project's engine. ``project`` is absolute and without symlinks."""

    project: Path

    @property
    def home(self) -> Path:
        """Mode 0700; whoever owns it owns the project."""
        return self.project / PRIVATE

    @property
    def read_only(self) -> bool:
        """Whether there is a project that this account cannot write to: its rights, or the file system's state."""
        return self.home.is_dir() and not os.access(self.home, os.W_OK)

    @property
    def private(self) -> Path:
        """``home``, or of a project that cannot be written to a folder of the account's own under /tmp."""
        return self.fallback_socket(os.geteuid()).parent if self.read_only else self.home

    @property
    def socket(self) -> Path:
        return self.private / "engine.sock"

    def fallback_socket(self, owner: int) -> Path:
        """For file systems that hold no sockets: a folder of the owner's under /tmp, named after the project."""
        import hashlib  # rarely needed, and it loads OpenSSL

        digest = hashlib.sha256(os.fsencode(self.project)).hexdigest()[:16]
        return Path("/tmp") / f"gatewright-{owner}-{digest}" / "engine.sock"  # noqa: S108 - owner and mode are checked

    @property
    def start_lock(self) -> Path:
        """Held by the client that starts an engine, so that ten at once start one."""
        return self.private / "start.lock"

    @property
    def lifetime_lock(self) -> Path:
        """Held by the engine as long as it lives: what decides whether there is one."""
        return self.private / "engine.lock"

    @property
    def logs(self) -> Path:
        return self.private / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "engine.log"

    @property
    def start_log(self) -> Path:
        """What an engine prints before its log is open, and where the interpreter itself crashes to."""
        return self.logs / "start.log"
