"""What may run at all, and what may run now."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.models.runs import Priority, RunKind
from engine.pool.job import Job, JobRejected
from store.sizes import describe_size

if TYPE_CHECKING:
    from engine.pool.assignment import Assignment

MAX_FILES = 64
"""Descriptors in one message: the kernel takes 253 (unix(7), SCM_MAX_FD), a child's own limit is lower."""


class Admission:
    """Which waiting runs may start, given the jobs that run now."""

    def __init__(self, busy: Sequence[Job], size: int) -> None:
        self._names = Counter(job.name for job in busy)
        self._batches = sum(job.priority is Priority.BATCH for job in busy)
        self._batch_room = max(1, size - 1)

    def blocked_reason(self, assignment: Assignment) -> str | None:
        """Return why ``assignment`` could not start even if a slot were free; None if it could."""
        job = assignment.job
        if job.max_parallel is not None and self._names[job.name] >= job.max_parallel:
            return f"it already runs {self._names[job.name]} times at once, as often as it may"
        if job.priority is Priority.BATCH and self._batches >= self._batch_room:
            return "a batch leaves one slot to people"
        return None


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
    if len(job.files) > min(MAX_FILES, limits.open_files - 8):
        raise JobRejected(f"A run can take {min(MAX_FILES, limits.open_files - 8)} files, not {len(job.files)}.")
    for name in job.variables:
        if not name.isidentifier() or name.startswith("__"):
            raise JobRejected(f"{name!r} cannot be the name of a variable.")
