"""Which kind of child the engine asks a template for."""

from __future__ import annotations

from engine.pool.frames import cpu_seconds
from engine.pool.job import Job, Limits
from engine.worker.wire import ForkRequest


def parked_child(limits: Limits, *, warm: bool) -> ForkRequest:
    """Ask for a child that can wait for any run of these limits."""
    return ForkRequest(
        warm=warm,
        cpu=cpu_seconds(limits.wall),
        memory=limits.memory,
        scratch=limits.scratch,
        inodes=limits.inodes,
        open_files=limits.open_files,
    )


def dedicated_child(job: Job) -> ForkRequest:
    """Ask for the child that this very run needs. It is not warmed: the run starts at once."""
    request = parked_child(job.limits, warm=False)
    request.memory += sum(file.size for file in job.mapped)
    request.files = len(job.inputs)
    return request
