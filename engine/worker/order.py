"""The template's reading of the engine's orders."""

from __future__ import annotations

from .wire import ORDER


class Order:
    """One order, taken apart."""

    __slots__ = (
        "cpu",
        "files",
        "fork",
        "inodes",
        "memory",
        "open_files",
        "reap",
        "scratch",
        "urgent",
        "warm",
    )

    reap: int
    """Pid in the template's own namespace, 0 for none."""

    fork: bool
    urgent: bool
    """Somebody waits to hear how the reaped child ended: say so before the fork, not with it."""

    warm: bool
    cpu: int
    memory: int
    """Bytes of address space beyond what the template itself has mapped."""

    scratch: int
    inodes: int
    open_files: int
    files: int
    """How many descriptors come with the RUN; the child then reads frame by frame."""

    def __init__(self, packet: bytes) -> None:
        (
            self.reap,
            self.fork,
            self.urgent,
            self.warm,
            self.cpu,
            self.memory,
            self.scratch,
            self.inodes,
            self.open_files,
            self.files,
        ) = ORDER.unpack(packet)
