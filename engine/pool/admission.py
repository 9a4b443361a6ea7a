"""What may run at all, and what may run now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.models.runs import Priority, RunKind
from engine.pool.job import Job, JobRejected
from store.sizes import describe_size

if TYPE_CHECKING:
    from engine.pool.assignment import Assignment
    from engine.pool.memory_room import MemoryRoom

MAX_FILES = 64
"""Descriptors in one message: the kernel takes 253 (unix(7), SCM_MAX_FD), a child's own limit is lower."""


class Admission:
    """Which waiting runs may start, given the jobs that run now and the memory beside them."""

    def __init__(self, busy: Sequence[Job], size: int, memory: MemoryRoom) -> None:
        self._busy = busy
        self._batch_room = max(1, size - 1)
        self._memory = memory

    def blocked_reason(self, assignment: Assignment) -> str | None:
        """Return why ``assignment`` could not start even if a slot were free; None if it could."""
        job = assignment.job
        if job.max_parallel is not None:
            running = sum(other.name == job.name for other in self._busy)
            if running >= job.max_parallel:
                return f"it already runs {running} times at once, as often as it may"
        if job.priority is Priority.BATCH:
            batches = sum(other.priority is Priority.BATCH for other in self._busy)
            if batches >= self._batch_room:
                return "a batch leaves one slot to people"
        if not self._memory.fits(job.limits.memory):
            return self._memory.wait_reason(job.limits.memory)
        return None

    def refusal(self, assignment: Assignment) -> str | None:
        """Return why ``assignment`` cannot run even if nothing else does; None if it could."""
        asked = assignment.job.limits.memory
        return None if self._memory.fits(asked) else self._memory.refusal(asked)


def check(job: Job) -> None:
    """Refuse a job that can never run.

    Raises:
        JobRejected: With the sentence for the user.
    """
    limits = job.limits
    if len(job.source) > limits.code:
        raise JobRejected(
            f"The code has {describe_size(len(job.source))}; the limit is {describe_size(limits.code)}. "
            "Hand large data over as a file."
        )
    if not math.isfinite(limits.wall) or limits.wall <= 0:
        raise JobRejected(f"The wall limit must be a number of seconds above 0, not {limits.wall}.")
    if min(limits.memory, limits.output, limits.result, limits.scratch, limits.inodes) < 1 or limits.open_files < 8:
        raise JobRejected("A limit of the run is too low to run anything.")
    if job.kind is RunKind.CALL and not (job.module and job.function):
        raise JobRejected("A call needs the names of a module and a function.")
    if len(job.inputs) > min(MAX_FILES, limits.open_files - 8):
        raise JobRejected(
            f"A run can take {min(MAX_FILES, limits.open_files - 8)} files and buffers, not {len(job.inputs)}."
        )
    if any("\0" in argument for argument in job.argv):
        raise JobRejected("An argument holds a NUL character; no program can be given that.")
    for name in job.variables:
        if not name.isidentifier() or name.startswith("__"):
            raise JobRejected(f"{name!r} cannot be the name of a variable.")
