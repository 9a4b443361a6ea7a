"""An approved path on its way to a run."""

from __future__ import annotations

from dataclasses import dataclass

from engine.models.permissions import Access


@dataclass(frozen=True, slots=True)
class OpenedGrant:
    """An approved path as it was found just before the run.

    The file is told by device and inode too: a zygote that was made for the one that lay there before is of no use to
    this run, and a path that is swapped until the zygote opens it is noticed.
    """

    access: Access
    path: str
    """Canonical, absolute."""
    device: int
    inode: int
    folder: bool
    mounts: tuple[int, ...] = ()
    """What was mounted below the folder, by number: a slot sees what was there when it was made for these grants."""
