"""The ``/dev/shm`` of an ADMIN slot: its own, empty for each run.

RESTRICTED scripts see none. The host's would keep what an administrator's run leaves there, and nobody would count it.
"""

from __future__ import annotations

import os

from . import kernel


class SharedMemory:
    """The folder in which the C library keeps shared memory and semaphores with names (shm_overview(7))."""

    PLACE = "/dev/shm"  # noqa: S108 - no temporary file: what is to be covered
    FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV
    INODES = 16_384

    def __init__(self, size: int) -> None:
        self._size = size

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """The folder, where the host has one."""
        return (cls.PLACE,) if os.path.isdir(cls.PLACE) else ()

    def mount(self) -> None:
        """Cover the host's by an empty one."""
        for place in self.places():
            options = f"size={self._size},nr_inodes={self.INODES},mode=1777"
            kernel.mount("tmpfs", place, "tmpfs", self.FLAGS, options)

    def replace(self) -> None:
        """Let go of what it holds. Nobody works there now."""
        for place in self.places():
            kernel.detach(place)
        self.mount()
