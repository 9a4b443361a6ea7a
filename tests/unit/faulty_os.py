"""The store's system calls with one that fails: each in turn, until nothing fails any more."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from store import disk
from store.errors import LowDisk, NotAllowed

FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EMFILE)
KINDS = {errno.ENOSPC: LowDisk, errno.EDQUOT: LowDisk, errno.EROFS: NotAllowed, errno.EACCES: NotAllowed}
CALLS = ("open", "write", "fsync", "fchmod", "link", "unlink", "rename", "mkdir", "stat", "fstat", "close", "listdir")
MODULES = ("disk", "files.save", "files.versioned", "files.scripts", "files.listing", "files.documents")


class FaultyOs:
    """The ``os`` module of the store with one failing call: the ``at``-th of all."""

    def __init__(self, code: int, at: int) -> None:
        self._code = code
        self._at = at
        self.calls = 0
        self.hit: str | None = None

    def step(self, name: str) -> None:
        self.calls += 1
        if self.calls == self._at:
            self.hit = name
            raise OSError(self._code, os.strerror(self._code))

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*args: object, **kwargs: object) -> object:
            if name == "close":  # the descriptor is closed even when close(2) fails
                real(*args, **kwargs)
                return self.step(name)
            self.step(name)
            return real(*args, **kwargs)

        return call


@contextmanager
def one_fault(code: int, at: int) -> Iterator[FaultyOs]:
    """Let the ``at``-th call of the store fail with ``code``; ``hit`` names it, if there were so many."""
    faulty = FaultyOs(code, at)
    real = disk._renameat2

    def renameat2(source: int, first: str, target: int, second: str, flags: int) -> None:
        faulty.step("renameat2")
        real(source, first, target, second, flags)

    with pytest.MonkeyPatch.context() as patch:
        for module in MODULES:
            patch.setattr(f"store.{module}.os", faulty)
        patch.setattr("store.disk._renameat2", renameat2)
        yield faulty
