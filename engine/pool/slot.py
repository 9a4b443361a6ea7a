"""One slot: its zygote, the child that is parked or runs, and the state it is in.

    starting ─ ready ─▶ preparing ─ HELLO ─▶ ready ─ run ─▶ running ─ end ─▶ stopping ─ exit ─▶ preparing …
        ▲                                         any ─ zygote lost ─▶ failed
        ├──────────────────────── back-off ──────────────────────────────┘
        └─ wake ─ resting ◀─ rest, when nothing runs ─ any

The request to reap one child and to fork the next goes out as soon as a run has ended: no run waits for the making.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

from engine.models.engine import SlotInfo, SlotState
from engine.models.runs import Mode, Outcome
from engine.pool.assignment import Assignment
from engine.pool.child import Child
from engine.pool.fork_request import dedicated_child, parked_child
from engine.pool.frames import ProtocolError
from engine.pool.isolation import Promise, UnfitChild
from engine.pool.job import Environment, Limits, Profile
from engine.pool.outcome import ExitReport, Intervention, from_failed_profile, from_intervention, from_lost_slot
from engine.pool.run_monitor import RunMonitor
from engine.pool.settings import PoolSettings
from engine.pool.timer import DeadlineTimer
from engine.pool.zygote import NewChild
from engine.pool.zygote_supervisor import ZygoteSupervisor
from engine.worker.wire import ForkRequest

EXIT_GRACE = 1.0
"""Seconds for a killed child to be reported as gone, for each 512 MiB it may have held; then its zygote is replaced.

It takes itself apart at its own niceness, so beside a busy gateway it may wait for its turn."""

EXIT_GRACE_MEMORY = 512 << 20

READ_SIZE = 64 << 10
"""Bytes taken at once from a child: thirteen thousand of the smallest frames, which keep the loop for some 10 ms."""

_OUTPUT_FULL = "The script wrote more than its limits.output, and limits.output_stop in its header ends it there."

LEAVING_GRACE = 0.1
"""Seconds from the end of a process's connection to the end of the process; one that stays has closed it on purpose."""


class SlotOwner(Protocol):
    """The pool, as its slots see it."""

    def slot_ready(self, slot: Slot) -> None:
        """A parked child waits for a run."""

    def slot_changed(self) -> None: ...

    def slot_run_exited(self, cpu: float) -> None:
        """The process of a run, no probe, is gone; it used ``cpu`` seconds of a processor."""

    def slot_left(self, slot: Slot) -> None:
        """The slot was told to leave and has nothing more to do."""

    def slot_lost_zygote(self) -> None: ...

    def slot_expired(self, slot: Slot) -> bool:
        """Whether runs no longer come for what an idle slot of another profile has."""

    @property
    def usual(self) -> Profile:
        """What slots are made for unless a run needs something else."""

    def awaited(self, profile: Profile) -> bool:
        """Whether a run waits for a slot of just this profile."""

    def dedicated_child_wanted(self, profile: Profile) -> Assignment | None:
        """A waiting run that needs a child of its own of this profile, handed over to be run by the next one."""

    def give_back(self, assignment: Assignment) -> None:
        """Queue a run again that was handed over and has not started."""

    @property
    def demand(self) -> bool:
        """Whether runs wait: then the next child is not warmed, for it would only make them wait longer."""


class Slot:
    """Implements ``ZygoteOwner`` and ``ChildOwner``.

    Attributes:
        profile: What its zygote is made for; a run of another one has it replaced.
        leaving: It goes as soon as nothing runs here.
        resting: It does not go for good then: it rests, without a process, until it is woken.
        settled: Set once it has been ready, or has failed, for the first time.
    """

    def __init__(self, number: int, settings: PoolSettings, scratch: Path, owner: SlotOwner) -> None:
        self.number = number
        self.profile = owner.usual
        self.state = SlotState.STARTING
        self.leaving = False
        self.resting = False
        self.isolation = ""
        self.problem: str | None = None
        self.settled = asyncio.Event()
        self._settings = settings
        self._supervisor = ZygoteSupervisor(settings, scratch, self)
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._since = time.time()
        self._used = 0.0
        self._runs = 0
        self._promise: Promise | None = None
        self._request: ForkRequest | None = None
        self._succession: asyncio.Future[str | None] | None = None
        self._buffer = bytearray(READ_SIZE)
        self._child: Child | None = None
        self._monitor = RunMonitor(self._intervene)
        self._attached: Assignment | None = None
        self._deadline = DeadlineTimer(self._missed)
        self._missed_what = ""

    # -- what the pool asks ------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> int | None:
        """Of the run that goes on here or is about to start."""
        assignment = self.assignment
        return None if assignment is None or assignment.probe else assignment.job.run_id

    @property
    def assignment(self) -> Assignment | None:
        return self._monitor.run.assignment if self._monitor.run else self._attached

    @property
    def parked_limits(self) -> Limits:
        """Of the children that are parked here."""
        return self._settings.limits

    @property
    def idle(self) -> bool:
        return self._monitor.run is None and self._attached is None

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs here, and what ran has given its memory back."""
        return self.idle and self.state not in (SlotState.STOPPING, SlotState.PREPARING)

    def memory_held(self) -> int:
        """Bytes of memory that the run here holds by now."""
        return self._monitor.memory_held()

    @property
    def refused(self) -> bool:
        """Whether this host does not give what the profile needs: only runs of another mode can begin here."""
        return self._settings.plan(self.profile.mode).refusal is not None

    @property
    def pid(self) -> int | None:
        """Of the child that is parked or runs here."""
        return None if self._child is None else self._child.pid

    def pid_for(self, profile: Profile) -> int | None:
        """Of the child, here or of a successor, whose zygote was made for this profile."""
        successor = self._supervisor.successor
        if successor is not None and successor.profile == profile and successor.child is not None:
            return successor.child.pid
        return self.pid if self.profile == profile else None

    @property
    def usable(self) -> bool:
        """Whether it takes runs now, or will in a moment."""
        return not self.leaving and (self.state is not SlotState.FAILED or self.refused)

    @property
    def between_runs(self) -> bool:
        """Whether the next child of the same zygote is some thousandths of a second away."""
        return not self.leaving and self.idle and self.state in (SlotState.STOPPING, SlotState.PREPARING)

    @property
    def running(self) -> bool:
        """Whether a run, or a probe, goes on here."""
        return self._monitor.run is not None

    @property
    def available(self) -> bool:
        """Whether a run can begin here now."""
        return not self.leaving and self.idle and (self.state is SlotState.READY or self.refused)

    @property
    def used(self) -> float:
        """When a run last began here, by the loop's clock."""
        return self._used

    def start(self) -> None:
        """Start a zygote, if this host can have one of the slot's profile."""
        refusal = self._settings.plan(self.profile.mode).refusal
        if refusal is not None:
            self.problem = refusal
            self._enter(SlotState.FAILED)
            return
        self._enter(SlotState.STARTING)
        self._arm(self._settings.start_timeout, "its process did not become ready in time")
        try:
            self._supervisor.start(self.profile)
        except OSError as error:
            self._replace(f"its process cannot be started: {error}")

    def run(self, assignment: Assignment) -> None:
        """Run on the parked child, or on one made for this run now, of a zygote made for it if need be."""
        if not self.profile.serves(assignment.profile) and self.offers(assignment.profile):
            self._swapped(wanted=True)
        if not self.profile.serves(assignment.profile):
            self._attached = assignment
            self.change_profile(assignment.profile)
        elif self._child is not None and not assignment.dedicated_child:
            self._start_run(self._child, assignment)
        else:
            self._attached = assignment
            self._discard_child()

    def change_profile(self, profile: Profile) -> None:
        """Replace the zygote by one of another profile. Nothing may run here."""
        self._drop_zygote()
        self.profile = profile
        self.problem = None
        self.isolation = ""
        self.start()

    def offers(self, profile: Profile) -> bool:
        """Whether a successor stands ready that can take a run of this profile."""
        successor = self._supervisor.successor
        return successor is not None and successor.profile.serves(profile)

    def expects(self, profile: Profile) -> bool:
        """Whether a successor is, or is being made, for runs of this profile."""
        return self.coming is not None and self.coming.serves(profile)

    @property
    def coming(self) -> Profile | None:
        """What a successor is, or is being made, for; None without one."""
        return self._supervisor.coming

    def succeed(self, profile: Profile) -> asyncio.Future[str | None]:
        """Make a zygote of another profile beside the present one, which it replaces between two runs.

        A slot that has no zygote yet starts one of that profile instead.

        Returns:
            Done when the new one stands ready: with None, else with the reason why there is none.
        """
        self.abandon_successor()
        succession: asyncio.Future[str | None] = self._loop.create_future()
        if self.leaving:
            succession.set_result("the slot is about to leave")
            return succession
        if self._promise is None and self._attached is None:
            self.change_profile(profile)
            if self.refused:
                succession.set_result(None)
            else:
                self._succession = succession
            return succession
        self._succession = succession
        self._supervisor.succeed(profile, self._buffer, self._successor_ready, self._end_succession)
        return succession

    def abandon_successor(self) -> None:
        """End what was to replace the zygote."""
        self._supervisor.drop_successor()
        self._end_succession("another one was asked for")

    def move(self, environment: Environment) -> None:
        """Start again in another environment, with the run that waits for the zygote if there is one."""
        if self._attached is not None:
            self._attached.move(environment)
        self.change_profile(self.profile.inside(environment))

    @property
    def environments(self) -> set[Environment]:
        """Those that something of this slot still runs with, or is about to."""
        waiting = set() if self._attached is None else {self._attached.profile.environment}
        return self._supervisor.environments | {found for found in waiting if found is not None}

    def renew(self) -> bool:
        """Start a successor of the zygote if the slot is idle and the zygote worn; whether one was started."""
        return self.state is SlotState.READY and not self.leaving and self._renew(idle=True)

    def settle_back(self) -> None:
        """Become the pool's own again, if nobody has needed another profile for a while."""
        kept = self._loop.time() - self._used >= self._settings.profile_keep
        if kept and self.available and self.profile != self._owner.usual and self._owner.slot_expired(self):
            self.change_profile(self._owner.usual)

    def cancel(self, cause: Intervention) -> None:
        """End whatever goes on here or is about to."""
        if self._monitor.run is not None:
            self._intervene(cause)
        elif self._attached is not None:
            assignment, self._attached = self._attached, None
            assignment.end(from_intervention(cause, 0.0, self.isolation))
            if self.resting and self.state is not SlotState.STOPPING:
                self._go()
            self._owner.slot_changed()

    def restart(self) -> None:
        """Replace the zygote; a run that goes on ends as cancelled."""
        self.cancel(Intervention(Outcome.CANCELLED, "The slot was restarted."))
        self._replace(None)

    @property
    def failures(self) -> int:
        """Zygotes in a row that never brought forth a child."""
        return self._supervisor.failures

    def fail(self, problem: str) -> None:
        """Replace the zygote because of ``problem``."""
        self._replace(problem)

    def leave(self) -> None:
        """Go when nothing runs here any more."""
        self.resting = False
        self._leave()

    def rest(self) -> None:
        """Give up every process as soon as nothing runs here, until ``stay`` is called."""
        self.resting = True
        self._leave()

    def _leave(self) -> None:
        self.leaving = True
        if self.idle and self.state is not SlotState.STOPPING:
            self._go()

    def stay(self) -> None:
        """Take runs again, after ``leave`` or ``rest``."""
        self.leaving = self.resting = False
        if self.state is SlotState.RESTING:
            self.change_profile(self._owner.usual)

    async def close(self, cause: Intervention) -> None:
        """End everything at once and wait until no process is left."""
        self.leaving, self.resting = True, False
        if self._attached is not None:
            self.cancel(cause)
        if self.profile.leaves:
            self._intervene(cause)  # the template reads it before it sees the end, and ends what detached itself
        self._drop_zygote()
        self._deadline.close()
        self._monitor.close()
        self._monitor.end_without(lambda elapsed: from_intervention(cause, elapsed, self.isolation))
        await self._supervisor.all_gone()

    def info(self) -> SlotInfo:
        assignment = self.assignment
        shown = assignment.job if assignment is not None and not assignment.probe else None
        profile = self._owner.usual if self.state is SlotState.RESTING else self.profile
        environment = self._settings.environment_of(profile)
        usual = profile.environment == self._owner.usual.environment
        return SlotInfo(
            slot=self.number,
            state=self.state,
            since=self._since,
            runs=self._runs,
            restarts=self._supervisor.restarts,
            run_id=shown.run_id if shown else None,
            script=shown.name if shown else None,
            actor=shown.actor if shown else None,
            pid=self._child.pid if self._child else None,
            isolation=self.isolation,
            problem=self.problem,
            mode=profile.mode,
            python=environment.version,
            environment="" if usual else environment.name,
            ahead=list(profile.preloads),
        )

    # -- what the zygote reports -------------------------------------------------------------------------------------

    def zygote_ready(self, promise: Promise) -> None:
        self._promise = promise
        self._fork(reap=0)

    def zygote_child(self, child: NewChild) -> None:
        assert self._request is not None, "a child that nobody asked for"  # noqa: S101
        self._child = Child(child, self._request, self._settings.limits.result, self._buffer, self)

    def zygote_exit(self, inner_pid: int, report: ExitReport) -> None:
        child = self._child
        if child is None or child.inner_pid != inner_pid:
            return
        self._deadline.clear()
        self._child = None
        if child.had_run:
            self._owner.slot_run_exited(report.cpu)
        child.close()
        self._monitor.end_by_exit(report)
        self._after_exit()

    def zygote_gone(self, problem: str) -> None:
        self._replace(problem)

    # -- what the child does -----------------------------------------------------------------------------------------

    def child_hello(self, child: Child, payload: bytes) -> None:
        assert self._promise is not None, "a child without a zygote"  # noqa: S101
        self._deadline.clear()
        try:
            self.isolation = self._promise.check(payload, child.request, child.scratch_device)
        except UnfitChild as problem:
            self._replace(f"a child failed its self-check: {problem}")
            return
        self._supervisor.failures = 0
        self.problem = None
        assignment, self._attached = self._attached, None
        if assignment is not None:
            self._start_run(child, assignment)
        elif child.request.child == self._parked_child().child:
            if not self._swapped():
                self._enter(SlotState.READY)
                self._owner.slot_ready(self)
        else:  # made for a run that was cancelled meanwhile
            self._discard_child()

    def child_result(self, child: Child, payload: bytes) -> None:
        if self._monitor.run is None:
            return
        try:
            self._monitor.end_by_result(payload)
        except ProtocolError as error:
            self.child_violation(str(error))
            return
        self._enter(SlotState.STOPPING)
        if self._monitor.awaits_exit:
            self._retire(child)
            return
        # The waiter hears of the result first; reaping and the next child come after it.
        self._loop.call_soon(self._loop.call_soon, self._retire, child)

    def child_closed(self, child: Child) -> None:
        if self._monitor.run is None:
            self._replace("a parked child ended by itself")
            return
        # Nearly always the process is leaving, and its own status tells how, if it is not killed on its way out.
        child.await_exit(LEAVING_GRACE, lambda ended: self._closed_connection(child, ended=ended))

    def _closed_connection(self, child: Child, *, ended: bool) -> None:
        if ended or self._monitor.run is None:
            if self.profile.leaves:
                self._monitor.note_leftovers()
            self._retire(child)
        else:
            self._intervene(Intervention(Outcome.PROTOCOL, "The script's process closed its connection to the engine."))

    def child_violation(self, problem: str) -> None:
        if self._monitor.run is None:
            self._replace(f"a parked child sent {problem}")
        else:
            message = f"The script's process broke the engine's protocol: it sent {problem}."
            self._intervene(Intervention(Outcome.PROTOCOL, message))

    def child_overdue(self, reason: str) -> None:
        self._intervene(Intervention(Outcome.TIMEOUT, reason))

    def child_output_full(self) -> None:
        self._intervene(Intervention(Outcome.OUTPUT_LIMIT, _OUTPUT_FULL))

    # -- a run's course ----------------------------------------------------------------------------------------------

    def _start_run(self, child: Child, assignment: Assignment) -> None:
        if self.profile.mode is Mode.ADMIN:
            places = self._supervisor.memory_places()
            self._monitor.begin(child, assignment, self.isolation, self._settings.admin_memory, places)
        else:
            self._monitor.begin(child, assignment, self.isolation, None)
        self._enter(SlotState.RUNNING)
        if not assignment.probe:
            self._runs += 1
            child.had_run = True
            self._used = self._loop.time()
            assignment.job.sink.started(self.number, child.pid, self.isolation)

    def _intervene(self, cause: Intervention) -> None:
        """Kill the run's processes. Its ending comes when they are gone; the first cause counts."""
        run = self._monitor.run
        if run is not None and self._monitor.blame(cause):
            self._retire(run.child)

    # -- children ----------------------------------------------------------------------------------------------------

    def _retire(self, child: Child) -> None:
        """Kill a child and have it reaped, and the next one made if there is to be one."""
        if child is not self._child or child.killed:
            return
        if self._monitor.run is None and self._attached is None and self._swapped():
            return  # the next child is there already, and how this one ended is known
        child.stop_reading()
        child.kill()
        if self.state is not SlotState.STOPPING:
            self._enter(SlotState.STOPPING)
        grace = EXIT_GRACE * max(1.0, child.request.memory / EXIT_GRACE_MEMORY)
        self._arm(grace, "a killed child was not gone in time")
        self._fork(reap=child.inner_pid)

    def _discard_child(self) -> None:
        if self._child is not None:
            self._retire(self._child)

    def _fork(self, reap: int) -> None:
        """Request the next child, after the one with pid ``reap`` if there is one."""
        # What a run may have left is below its zygote: no other run begins there.
        fork = not self.leaving and not (reap and self.profile.leaves and self._attached is None)
        if fork and self._attached is None:
            self._attached = self._owner.dedicated_child_wanted(self.profile)
        request = self._parked_child() if self._attached is None else dedicated_child(self._attached.job)
        request.reap, request.fork, request.urgent = reap, fork, self._monitor.run is not None
        request.everything = self._monitor.ends_run
        self._request = request
        self._supervisor.request(request)
        self._renew(idle=False)
        if not reap:
            self._prepare()

    def _parked_child(self) -> ForkRequest:
        return parked_child(self._settings.limits, warm=not self._owner.demand)

    def _after_exit(self) -> None:
        if self.profile.leaves and self._request is not None and self._request.everything:
            self._supervisor.kill_cgroup()
        if self.leaving:
            self._go()
        elif self._request is not None and not self._request.fork:
            if self.profile.leaves:
                self.profile, self.isolation = self._owner.usual, ""
            self._drop_zygote()
            self.start()
        else:
            self._prepare()

    def _prepare(self) -> None:
        self._enter(SlotState.PREPARING)
        self._arm(self._settings.prepare_timeout, "its next child was not ready in time")

    # -- the zygote --------------------------------------------------------------------------------------------------

    def _replace(self, problem: str | None) -> None:
        """Give the slot a new zygote; what ran here has ended. Without a problem the new one starts at once."""
        never_ready = self._promise is None
        self._end_succession(problem or "the slot was restarted")
        self._drop_zygote()
        self.problem = problem
        isolation = self.isolation
        self._monitor.end_without(lambda elapsed: from_lost_slot(problem or "it was restarted", elapsed, isolation))
        assignment, self._attached = self._attached, None
        hopeless = problem is not None and never_ready and self.profile != self._owner.usual
        if hopeless:
            # The run that it was made for hears why there is none, and the slot is the pool's own again.
            if assignment is not None:
                assignment.end(from_failed_profile(problem or ""))
                assignment = None
            self.profile = self._owner.usual
        if assignment is not None:
            self._owner.give_back(assignment)
        if self.leaving:
            self._go()
            return
        if not self._supervisor.start_again(self.start, at_once=problem is None or hopeless):
            self._enter(SlotState.FAILED)
        self._owner.slot_lost_zygote()

    def _drop_zygote(self) -> None:
        """Kill the zygote and all its children."""
        self._deadline.clear()
        self._promise = None
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.close()
        self._supervisor.drop()
        self._end_succession("the slot's zygote was replaced meanwhile")

    def _renew(self, *, idle: bool) -> bool:
        return self._supervisor.renew(self.profile, self._buffer, self._successor_ready, idle=idle)

    def _successor_ready(self) -> None:
        self._end_succession(None)
        # Else it is taken over when what goes on has ended.
        if self.state is SlotState.READY and not self._swapped():
            self._owner.slot_ready(self)

    def _end_succession(self, problem: str | None) -> None:
        succession, self._succession = self._succession, None
        if succession is not None and not succession.done():
            succession.set_result(problem)

    def _swapped(self, *, wanted: bool = False) -> bool:
        """Swap in a ready successor with its parked child and end the present zygote. No run may be active.

        One of another profile comes in when a run needs it (``wanted``), else once no run waits for the present one.
        """
        successor = self._supervisor.successor
        if successor is None or self.leaving:
            return False
        if not (wanted or successor.profile.serves(self.profile)) and self._owner.awaited(self.profile):
            return False
        self._deadline.clear()
        if self._child is not None:
            self._child.kill()
            self._child.close()
        self._supervisor.adopt(successor)
        successor.zygote.hand_to(self)
        self._promise, self._request, self._child = successor.promise, successor.request, successor.child
        self.isolation, self.profile = successor.isolation, successor.profile
        if self._child is not None:
            self._child.hand_to(self)
        self._enter(SlotState.READY)
        if not wanted:
            self._owner.slot_ready(self)
        return True

    def _go(self) -> None:
        self._drop_zygote()
        if not self.resting:
            self._owner.slot_left(self)
        elif self.state is not SlotState.RESTING:
            self.profile, self.isolation, self.problem = self._owner.usual, "", None
            self._enter(SlotState.RESTING)

    # -- small things ------------------------------------------------------------------------------------------------

    def _enter(self, state: SlotState) -> None:
        self.state = state
        self._since = time.time()
        if state in (SlotState.READY, SlotState.FAILED, SlotState.RESTING):
            self.settled.set()
        if state is SlotState.READY and self._supervisor.coming is None:
            self._end_succession(None)
        self._owner.slot_changed()

    def _arm(self, seconds: float, problem: str) -> None:
        """Replace the zygote in ``seconds`` because of ``problem``, unless disarmed by then."""
        self._missed_what = problem
        self._deadline.set(seconds)

    def _missed(self) -> None:
        self._replace(self._missed_what)
