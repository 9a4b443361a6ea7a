"""The run that goes on in a slot: its clocks, the first cause to end it, and the ending that follows."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from msgspec.structs import replace

from engine.models.runs import Mode, Outcome
from engine.pool.assignment import Assignment, RunningJob
from engine.pool.child import Child
from engine.pool.frames import cpu_seconds
from engine.pool.leftovers import ended_with_it, left_by, left_on_purpose, not_ended
from engine.pool.memory_watch import NOWHERE, MemoryPlaces, MemoryWatch, private
from engine.pool.outcome import Ending, ExitReport, Intervention, from_exit, from_intervention, from_result
from engine.pool.output import Output
from engine.pool.timer import DeadlineTimer
from store.sizes import describe_size


class RunMonitor:
    """At most one run at a time. Decides nothing: the slot kills and reaps.

    Attributes:
        run: What goes on, or None.
    """

    def __init__(self, overdue: Callable[[Intervention], None]) -> None:
        """``overdue`` is called with the reason when the run passes a limit that is watched from here."""
        self.run: RunningJob | None = None
        self._overdue = overdue
        self._wall = DeadlineTimer(self._wall_over)
        self._watch: MemoryWatch | None = None
        self._isolation = ""
        self._has_cgroup = False
        self._left: str | None = None
        self._told: Ending | None = None
        """How the run has ended by its own word, until its process is gone."""

    def begin(
        self,
        child: Child,
        assignment: Assignment,
        isolation: str,
        watched_memory: int | None,
        places: MemoryPlaces = NOWHERE,
    ) -> None:
        """Send ``assignment`` to ``child`` and start the clocks.

        Args:
            child: Parked, greeted and fit.
            assignment: What to run.
            isolation: What its HELLO has proven.
            watched_memory: Bytes held by the run's whole tree above which it is overdue; None watches nothing.
            places: Where else to look for what it holds.
        """
        limits = assignment.job.limits
        output = Output(assignment.job.sink, limits.output, stops=limits.output_stop)
        job = assignment.job
        child.run(assignment.frame, job.inputs, limits, output, job.calls, job.batch)
        self.run = RunningJob(assignment, child, time.perf_counter())
        self._isolation = isolation
        self._has_cgroup = places.cgroup is not None
        self._left = None
        self._told = None
        self._wall.set(limits.wall)
        if watched_memory is not None:
            exceeded = functools.partial(self._memory_over, limit=watched_memory)
            self._watch = MemoryWatch(child.tree, watched_memory, exceeded, places)

    def memory_held(self) -> int:
        """Bytes that the run holds, of an ADMIN run at the last look."""
        if self.run is None:
            return 0
        if self._watch is not None:
            return self._watch.held
        outputs = self.run.assignment.job.outputs
        return private(self.run.child.pid) + (0 if outputs is None else outputs.held())

    def blame(self, cause: Intervention) -> bool:
        """Note why the run is being ended; False when it has been for another reason already."""
        if self.run is None or self.run.cause is not None:
            return False
        self.run.cause = cause
        return True

    @property
    def ends_run(self) -> bool:
        """Whether the engine is ending what goes on, for a reason of its own."""
        return self.run is not None and self.run.cause is not None

    @property
    def awaits_exit(self) -> bool:
        """Whether the run has told its result and ends when its process is gone."""
        return self._told is not None

    def end_by_result(self, payload: bytes) -> None:
        """End as the RESULT tells, with the files that came before it.

        A run that can still write to its buffers ends when its process is gone.

        Raises:
            ProtocolError: It is not what it should be; the run goes on.
        """
        run = self.run
        assert run is not None, "a result without a run"  # noqa: S101
        ending = from_result(payload, run.assignment.job.limits.result, self._elapsed(run), self._isolation)
        run.child.end_output()
        self.note_leftovers()
        ending = run.child.returned.added_to(ending)
        outputs = run.assignment.job.outputs
        if outputs is not None and not outputs.seal():
            self._wall.clear()
            self._told = ending
        else:
            self.end(ending)

    def note_leftovers(self) -> None:
        """See what an ADMIN run that ends by itself leaves running: what of that ends with it is gone soon."""
        run = self.run
        if run is None or run.cause is not None or run.assignment.job.profile.mode is not Mode.ADMIN:
            return
        left = left_by(run.child)
        if run.assignment.job.profile.leaves:
            self._left = left_on_purpose(left, has_cgroup=self._has_cgroup)
        else:
            self._left = ended_with_it(left)

    def end_by_exit(self, report: ExitReport) -> None:
        """End as its process did, or as the engine decided before."""
        if (run := self.run) is not None and not self._end_as_told():
            if run.cause is not None and run.assignment.job.profile.leaves and not self._has_cgroup:
                self._left = not_ended(left_by(run.child))
            cpu = cpu_seconds(run.assignment.job.limits.wall)
            self.end(_whole(run, self._decided(run) or from_exit(report, cpu, self._elapsed(run), self._isolation)))

    def end_without(self, otherwise: Callable[[float], Ending]) -> None:
        """End as the engine decided before, or as ``otherwise`` says, which gets the seconds that it took."""
        if (run := self.run) is not None and not self._end_as_told():
            self.end(_whole(run, self._decided(run) or otherwise(self._elapsed(run))))

    def end(self, ending: Ending) -> None:
        """Stop the clocks and tell whoever waits."""
        run, self.run = self.run, None
        self._wall.clear()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if run is not None:
            left, self._left = self._left, None
            for sentence in (left, _memory_limit(run, ending)):
                if sentence is not None:
                    ending = replace(ending, note=f"{ending.note} {sentence}" if ending.note else sentence)
            run.assignment.end(ending)

    def close(self) -> None:
        """Leave nothing scheduled."""
        self._wall.close()
        if self._watch is not None:
            self._watch.stop()

    def _end_as_told(self) -> bool:
        told, self._told = self._told, None
        if told is not None:
            self.end(told)
        return told is not None

    def _decided(self, run: RunningJob) -> Ending | None:
        return None if run.cause is None else from_intervention(run.cause, self._elapsed(run), self._isolation)

    def _elapsed(self, run: RunningJob) -> float:
        # Not the loop's clock, which has whole milliseconds only: most runs are shorter.
        return time.perf_counter() - run.started

    def _wall_over(self) -> None:
        if self.run is not None:
            wall = self.run.assignment.job.limits.wall
            self._overdue(Intervention(Outcome.TIMEOUT, f"The run took longer than {wall:g} s."))

    def _memory_over(self, held: int, limit: int) -> None:
        held_by = f"The run and what it started held {describe_size(held)} of memory"
        self._overdue(Intervention(Outcome.MEMORY, f"{held_by}; the limit is {describe_size(limit)}."))


def _memory_limit(run: RunningJob, ending: Ending) -> str | None:
    """Say the limit that a run has met; the memory watch of an ADMIN run says it itself."""
    job = run.assignment.job
    if ending.outcome is not Outcome.MEMORY or job.profile.mode is Mode.ADMIN:
        return None
    return f"The run may use {describe_size(job.limits.memory)} of memory; limits.memory in its header asks for more."


def _whole(run: RunningJob, ending: Ending) -> Ending:
    """Return ``ending`` with what the run has told of itself, if it waited for its threads."""
    return ending if run.child.waiting is None else run.child.waiting.added_to(ending)
