"""What the engine tells a template: which child to reap, and what kind of child to fork."""

from __future__ import annotations

from typing import NamedTuple

from engine.pool.frames import cpu_seconds
from engine.pool.job import Job, Limits
from engine.worker.wire import ORDER


class Order(NamedTuple):
    """As ``engine.worker.wire.ORDER`` lays it out; ``engine.worker.order`` explains the fields."""

    reap: int
    fork: bool
    urgent: bool
    warm: bool
    cpu: int
    memory: int
    scratch: int
    inodes: int
    open_files: int
    files: int

    def pack(self) -> bytes:
        return ORDER.pack(*self)

    def same_child(self, other: Order) -> bool:
        """Whether both ask for the same kind of child."""
        return self[4:] == other[4:]


def parked_child(limits: Limits, *, warm: bool) -> Order:
    """A child that can wait for any run of these limits."""
    return Order(
        reap=0,
        fork=True,
        urgent=False,
        warm=warm,
        cpu=cpu_seconds(limits.wall),
        memory=limits.memory,
        scratch=limits.scratch,
        inodes=limits.inodes,
        open_files=limits.open_files,
        files=0,
    )


def own_child(job: Job) -> Order:
    """The child that this very run needs. It is not warmed: the run starts at once."""
    files = job.files.values()
    order = parked_child(job.limits, warm=False)
    return order._replace(memory=job.limits.memory + sum(file.size for file in files), files=len(files))
