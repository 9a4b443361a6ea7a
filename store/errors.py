"""What the store says when it cannot do what it was asked: one sentence for people, and a hint what to do."""

from __future__ import annotations

import errno
import os

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write says for which there is no room."""


class StoreError(Exception):
    """The store refused or failed. Nothing was changed unless the sentence says so.

    Attributes:
        sentence: What happened, one sentence for people.
        hint: What to do about it, if there is something to do.
    """

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class BadName(StoreError):
    """A script cannot have this name."""


class NotFound(StoreError):
    """There is no such script."""


class NoVersion(StoreError):
    """This version is not in the history."""


class Conflict(StoreError):
    """The file is not what its author loaded, or its name is taken; nothing was done.

    Attributes:
        current: The bytes on disk.
        sha256: Their hash, the base of a save that has seen them.
    """

    def __init__(self, sentence: str, hint: str | None, current: bytes, sha256: str) -> None:
        super().__init__(sentence, hint)
        self.current = current
        self.sha256 = sha256


class ProjectError(StoreError):
    """The folder cannot be used as a project."""


class NotAllowed(StoreError):
    """The file system refuses this account, or is read-only."""


class LowDisk(StoreError):
    """The disk, or this account's share of it, is full."""


class Damaged(StoreError):
    """A database is not readable as what it should be."""


def from_os_error(error: OSError, doing: str) -> StoreError:
    """The sentence for a failed system call.

    Args:
        error: What the call raised.
        doing: What was being done, to follow "cannot": ``"save tour.py"``.
    """
    if error.errno in FULL:
        return LowDisk(f"Cannot {doing}: the disk is full.", "Free some space, then try again.")
    if error.errno == errno.EROFS:
        return NotAllowed(f"Cannot {doing}: the file system is read-only.", "Remount it writable, then try again.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotAllowed(f"Cannot {doing}: permission denied.", "Check the owner and mode of the file and its folder.")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StoreError(f"Cannot {doing}: {reason}.")
