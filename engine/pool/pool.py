"""The pool: its slots, its queue, and who goes where when."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engine.models.engine import PoolInfo, QueueEntry, SlotState
from engine.models.runs import Mode, Outcome
from engine.pool.admission import Admission, check
from engine.pool.assignment import Assignment, fits
from engine.pool.frames import cpu_seconds, run_frame
from engine.pool.health import watch_health
from engine.pool.job import Environment, Job, NotEnoughMemory, PoolClosed, Profile, QueueFull, SandboxUnavailable
from engine.pool.memory_room import Claim, MemoryGauge, MemoryRoom
from engine.pool.outcome import Ending, Intervention, from_intervention
from engine.pool.queue import WAITING_FOR_SLOT, QueuedRun, RunQueue
from engine.pool.settings import PoolSettings
from engine.pool.slot import Slot
from engine.pool.switching import Switch
from engine.pool.warming import Warming
from engine.worker.scratch import remove_folder

log = logging.getLogger(__name__)

QUEUE_NEWS_INTERVAL = 0.1
"""Seconds between two tellings of their positions to those who wait."""

HOPELESS_FAILURES = 3
"""Failed starts in a row on every slot, after which waiting runs are told so instead of kept waiting."""


class Pool:
    """Runs jobs on its slots. Every method belongs to the event loop's thread.

    Attributes:
        settings: What it was built from.
        environment: Of the runs that ask for no other one.
        on_switch: Called when another environment became the usual one.
        on_change: Called whenever ``info()`` would differ.
        on_exit: Called with the processor time, in seconds, of each process that had a run.
        on_batch: Called with 1 when a process of a batch gets a slot, and with -1 when that ends.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.environment = settings.environment
        self._usual = settings.profile.inside(settings.environment_of(settings.profile))
        self._switch: Switch | None = None
        self._warming = Warming(settings, self)
        self._size = self._checked(settings.size)
        self._rest = 0
        self._rest_reason = ""
        self._slots: dict[int, Slot] = {}
        self._queue: RunQueue[Assignment] = RunQueue()
        self._gauge = MemoryGauge(settings.host_memory, settings.memory_reserve)
        self._serials = itertools.count(1)
        self._held: list[Environment] = []
        self._closed = False
        self._news_timer: asyncio.TimerHandle | None = None
        self._health: asyncio.Task[None] | None = None
        self._departing: dict[asyncio.Task[None], Slot] = {}
        self.on_change: Callable[[], None] = _nothing
        self.on_exit: Callable[[float], None] = _nothing
        self.on_batch: Callable[[int], None] = _nothing
        self.on_switch: Callable[[Environment], None] = _nothing

    async def start(self) -> None:
        """Start every slot, and wait until each is ready or has failed once."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(_prepare_folder, self.settings.scratch)
        self._fill()
        self._health = self._loop.create_task(watch_health(self.slots, self.settings.health_interval))
        await asyncio.gather(*(slot.settled.wait() for slot in self.slots()))

    async def close(self) -> None:
        """End every run and every process. Nothing is left when this returns."""
        self._closed = True
        if self._health is not None:
            self._health.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._health
        if self._news_timer is not None:
            self._news_timer.cancel()
        if self._switch is not None:
            await self._switch.cancel()
        await self._warming.close()
        cause = Intervention(Outcome.INTERRUPTED, "The engine was stopped.")
        self._end_queued(cause)
        await asyncio.gather(*(slot.close(cause) for slot in self.slots()), *self._departing)
        self._slots.clear()

    def submit(self, job: Job) -> asyncio.Future[Ending]:
        """Run ``job`` now if a slot is free for it, else queue it.

        Raises:
            QueueFull: As many runs wait as may.
            SandboxUnavailable: This host does not give what the job's mode needs.
            NotEnoughMemory: It asks for more memory than the host has, and no run will give any back.
            PoolClosed: ``close`` was called.
            JobRejected: It can never run as it is.
        """
        if self._closed:
            raise PoolClosed("The engine is stopping: it takes no more runs.")
        check(job)
        refusal = self.settings.plan(job.profile.mode).refusal
        if refusal is not None:
            raise SandboxUnavailable(refusal)
        limits, parked = job.limits, self.settings.limits
        unlimited = limits.wall == parked.wall or job.profile.mode is Mode.ADMIN
        frame = run_frame(job, 0 if unlimited else cpu_seconds(limits.wall))
        dedicated_child = not fits(limits, len(job.inputs), parked)
        profile = job.profile
        if profile.environment is None:
            profile = profile.inside(self.environment)
        assignment = Assignment(job, profile, frame, dedicated_child, self._loop.create_future())
        if job.ahead or profile.preloads:
            self._note_preloads(assignment)
        elif profile.environment is not self.environment:
            self._warming.wanted(profile)
        admission = self._admission()
        if self._at_rest and not self._queue and (refusal := admission.refusal(assignment)) is not None:
            raise NotEnoughMemory(refusal)
        slot = self._free_slot(assignment)
        if slot is not None and not self._queue and admission.blocked_reason(assignment) is None:
            self._begin(assignment, slot)
        else:
            self._enqueue(assignment)
        return assignment.ending

    def expect(self, environment: Environment) -> None:
        """Make a slot ready for a run in ``environment`` that will probably come, if one can be spared for it."""
        profile = self._usual.inside(environment)
        if not self._closed and not self._has(profile) and not any(slot.expects(profile) for slot in self.slots()):
            self._warming.wanted(profile)
            self._warming.missed(profile, self._usual)

    def _note_preloads(self, assignment: Assignment) -> None:
        """Decide what a run is to find imported ahead."""
        profile = assignment.profile
        if assignment.job.ahead:
            assignment.ahead = profile.with_preloads(assignment.job.ahead)
        self._warming.wanted(assignment.ahead or profile)
        if profile.preloads and profile != self.usual and not self._has(profile):
            if (reason := self._warming.left_out(profile)) is not None:
                assignment.leave_out(reason)
            elif len(self._awake()) > 1 and profile.without_preloads() == self.usual and self._usual_slots() == 1:
                assignment.leave_out("every slot but one has other modules imported ahead")
        if assignment.ahead is not None and not assignment.note and self._warming.too_large(assignment.ahead):
            names = ", ".join(sorted({name.partition(".")[0] for name in assignment.job.ahead}))
            assignment.note = f"{names} was not imported ahead: {self._warming.left_out(assignment.ahead)}."

    def _has(self, profile: Profile) -> bool:
        return any(slot.profile.serves(profile) for slot in self._awake())

    def _usual_slots(self) -> int:
        return sum(slot.profile == self.usual for slot in self._awake())

    def _begin(self, assignment: Assignment, slot: Slot) -> None:
        ahead = assignment.ahead
        slot.run(assignment)
        if ahead is not None and not slot.profile.serves(ahead):
            self._warming.missed(ahead, assignment.profile)

    def cancel(self, run_id: int, cause: Intervention | None = None) -> bool:
        """Cancel a run, whether it waits, is being prepared or runs; False if there is none of that id.

        ``cause`` is what its record says instead.
        """
        found = False
        while (entry := self._queue.remove(run_id)) is not None:  # a batch has several jobs of one id
            waiting = cause or Intervention(Outcome.CANCELLED, "The run was cancelled while it waited.")
            entry.item.end(from_intervention(waiting, 0.0, ""))
            self._changed_queue()
            found = True
        for slot in self.slots():
            if slot.run_id == run_id:
                slot.cancel(cause or Intervention(Outcome.CANCELLED, "The run was cancelled."))
                found = True
        return found

    def resize(self, size: int) -> None:
        """Have ``size`` slots from now on: new ones start at once, surplus ones leave as soon as nothing runs there.

        Raises:
            ValueError: The size is out of range; nothing changes.
        """
        self._size = self._checked(size)
        self._fill()
        # Idle ones go first, and of equals the highest number, so that what remains is numbered from 1 again.
        for slot in sorted(self._staying(), key=lambda slot: (slot.idle, slot.number))[size:]:
            slot.leave()
        self._settle_rest()
        self._dispatch()
        self._changed_queue()

    def rest(self, count: int, reason: str) -> None:
        """Have ``count`` slots rest from now on: without a process, and without runs.

        The size stays as it was asked for. A slot that has a run rests when that has ended; no run is ended for it.
        One slot that can take runs is always left.

        Args:
            count: How many; 0 wakes all.
            reason: A sentence, for those who wait.
        """
        before = self._rest, self._rest_reason
        self._rest, self._rest_reason = max(0, count), reason if count > 0 else ""
        self._settle_rest()
        if (self._rest, self._rest_reason) != before:
            self._dispatch()
            self._changed_queue()

    def _settle_rest(self) -> None:
        if self._closed:
            return
        staying = self._staying()
        kept = max(1, len(staying) - self._rest)
        # Those that cannot start go first: they take no runs anyhow.
        awake = sorted(
            (slot for slot in staying if not slot.resting), key=lambda slot: (not slot.usable, slot.idle, slot.number)
        )
        if not any(slot.usable for slot in awake[:kept]):
            kept = len(awake) + 1
        for slot in awake[kept:]:
            slot.rest()
        resting = sorted(
            (slot for slot in staying if slot.resting), key=lambda slot: (slot.state is SlotState.RESTING, slot.number)
        )
        for slot in resting[: max(0, kept - len(awake))]:
            slot.stay()

    def switch_environment(self, environment: Environment) -> None:
        """Have runs that ask for no other one run in ``environment`` from now on.

        Returns at once. Each slot gets a zygote for it beside its present one, and goes over between two runs. Runs
        that go on or wait end in the environment that they were submitted for. If nothing can be started in the new
        one, the present one stays the usual one (see ``switched``).
        """
        if environment == self.environment and self._switch is None:
            return
        before = self.environment
        if self._switch is not None:
            before = self._switch.superseded()
            for slot in self.slots():
                slot.abandon_successor()
        self._become(environment)
        if not self._closed and self._slots:
            self._switch = Switch(self, before, environment)

    async def switched(self) -> None:
        """Wait until every slot has the usual environment, or has it ready for when its run has ended.

        Raises:
            UnusableEnvironment: Nothing can be started in the one that it was switched to last, and the one from
                before is the usual one again.
        """
        if self._switch is not None:
            await self._switch.wait()

    def environments_in_use(self) -> set[Environment]:
        """Return those that a process runs with, a run waits for or a batch holds, and the usual one."""
        found = {self.environment, *self._held}.union(*(slot.environments for slot in self._every_slot))
        waiting = (entry.item.profile.environment for entry in self._queue)
        return found | {environment for environment in waiting if environment is not None}

    def hold(self, environment: Environment) -> None:
        """Count an environment as in use, also while no process has it, until it is released as often."""
        self._held.append(environment)

    def release(self, environment: Environment) -> None:
        self._held.remove(environment)

    def switch_failed(self, before: Environment, failed: Environment) -> None:
        """Go back from an environment in which nothing can be started; the runs that wait for it go along."""
        self._become(before)
        for entry in self._queue:
            if entry.item.profile.environment == failed:
                entry.item.move(before)
        for slot in self.slots():
            if slot.profile.environment == failed and not slot.running and not slot.resting:
                slot.move(before)
        self._dispatch()

    def _become(self, environment: Environment) -> None:
        self.environment = environment
        self._usual = self._usual.inside(environment)
        self.on_switch(environment)
        self.on_change()

    def restart_slot(self, slot: int) -> None:
        """Give a slot a new zygote; what runs there ends as cancelled.

        Raises:
            KeyError: There is no such slot.
        """
        self._slots[slot].restart()

    def info(self) -> PoolInfo:
        slots = [self._slots[number].info() for number in sorted(self._slots)]
        admission = self._admission()
        return PoolInfo(
            size=self._size,
            slots=slots,
            queue=[
                QueueEntry(
                    run_id=entry.run_id,
                    name=entry.item.job.name,
                    actor=entry.item.job.actor,
                    position=position,
                    reason=reason,
                    queued_at=entry.wall_clock,
                )
                for entry, position, reason in self._standings(admission)
            ],
            running=sum(slot.run_id is not None for slot in slots),
            ready=sum(slot.state is SlotState.READY for slot in slots),
            isolation=next((slot.isolation for slot in slots if slot.isolation and slot.mode is Mode.RESTRICTED), ""),
            python=self.environment.version,
            resting=sum(slot.state is SlotState.RESTING for slot in slots),
            rest_reason=self._rest_reason,
        )

    @property
    def size(self) -> int:
        """How many slots there are to be."""
        return self._size

    @property
    def capacity(self) -> int:
        """How many of them may have runs now: those that do not rest."""
        return self._size - sum(slot.state is SlotState.RESTING for slot in self._slots.values())

    def slots(self) -> list[Slot]:
        return list(self._slots.values())

    def _staying(self) -> list[Slot]:
        """Return those that the size counts."""
        return [slot for slot in self._slots.values() if slot.resting or not slot.leaving]

    def _awake(self) -> list[Slot]:
        return [slot for slot in self._slots.values() if not slot.resting]

    @property
    def _every_slot(self) -> list[Slot]:
        """Those too that have left and whose processes are about to end."""
        return [*self._slots.values(), *self._departing.values()]

    # -- what slots ask and report (SlotOwner) -----------------------------------------------------------------------

    @property
    def usual(self) -> Profile:
        """What slots are made for unless a run needs something else."""
        return self._usual

    @property
    def demand(self) -> bool:
        """Whether runs wait."""
        return len(self._queue) > 0

    def slot_ready(self, slot: Slot) -> None:
        self._warming.look(slot)
        self._dispatch()

    def slot_expired(self, slot: Slot) -> bool:
        return self._warming.expired(slot)

    def slot_changed(self) -> None:
        self.on_change()

    def slot_run_exited(self, cpu: float) -> None:
        self.on_exit(cpu)

    def slot_left(self, slot: Slot) -> None:
        if self._slots.get(slot.number) is slot:
            del self._slots[slot.number]
            task = self._loop.create_task(slot.close(Intervention(Outcome.INTERRUPTED, "The slot was closed.")))
            self._departing[task] = slot
            task.add_done_callback(self._departing.pop)
            if not self._closed:
                self._fill()
                self._dispatch()
        self.on_change()

    def slot_lost_zygote(self) -> None:
        self._settle_rest()
        self._dispatch()
        self._give_up_if_hopeless()

    def _give_up_if_hopeless(self) -> None:
        if all(slot.failures >= HOPELESS_FAILURES for slot in self._awake()):
            problem = next((slot.problem for slot in self.slots() if slot.problem), "unknown")
            self._end_queued(Intervention(Outcome.SANDBOX_UNAVAILABLE, f"No slot can start: {problem}."))

    def awaited(self, profile: Profile) -> bool:
        """Whether a run waits that only a slot of this profile can take without a new zygote."""
        return any(profile.serves(entry.item.profile) for entry in self._queue)

    def dedicated_child_wanted(self, profile: Profile) -> Assignment | None:
        """The next run, if it is one that needs a child of its own: the slot that asks makes that child at once."""
        if not self._queue:
            return None
        entry = self._queue.first(self._admission().blocked_reason)
        if entry is None or not entry.item.dedicated_child or not profile.serves(entry.item.profile):
            return None
        self._queue.remove(entry.run_id)
        self._changed_queue()
        return entry.item

    def give_back(self, assignment: Assignment) -> None:
        self._add(assignment)
        self._dispatch()
        self._changed_queue()

    # -- queue -------------------------------------------------------------------------------------------------------

    def _enqueue(self, assignment: Assignment) -> None:
        if len(self._queue) >= self.settings.queue_limit:
            raise QueueFull(f"{len(self._queue)} runs are waiting already, as many as may.")
        entry = self._add(assignment)
        self._dispatch()
        self._give_up_if_hopeless()
        if entry in self._queue:
            self._tell(only=entry)
            self._changed_queue()

    def _add(self, assignment: Assignment) -> QueuedRun[Assignment]:
        job = assignment.job
        entry = QueuedRun(assignment, job.run_id, job.priority, self._loop.time(), job.queue_wait)
        self._queue.add(entry)
        return entry

    def _changed_queue(self) -> None:
        """Tell those who wait how they stand now, soon and once for many changes; look who has waited too long."""
        if self._news_timer is None and self.demand:
            self._news_timer = self._loop.call_later(QUEUE_NEWS_INTERVAL, self._news)
        self.on_change()

    def _news(self) -> None:
        self._news_timer = None
        longest = self.settings.queue_wait
        for entry in self._queue.expired(self._loop.time(), longest):
            entry.item.end(from_intervention(_waited_too_long(entry, entry.may_wait(longest)), 0.0, ""))
        self._dispatch()  # others on this host may have given memory back
        self._tell()
        if self.demand:
            self._news_timer = self._loop.call_later(QUEUE_NEWS_INTERVAL, self._news)

    def _tell(self, only: QueuedRun[Assignment] | None = None) -> None:
        for entry, position, reason in self._standings(self._admission()):
            if entry.told != (position, reason) and (only is None or entry is only):
                entry.told = (position, reason)
                entry.item.job.sink.queued(position, reason)

    def _standings(self, admission: Admission) -> Iterator[tuple[QueuedRun[Assignment], int, str]]:
        """Yield each waiting run with its position and its reason, of which a rest is a part."""
        resting = sum(slot.resting for slot in self._slots.values())
        for entry, position, reason in self._queue.standings(admission.blocked_reason):
            if resting and reason == WAITING_FOR_SLOT:
                why = self._rest_reason[:1].lower() + self._rest_reason[1:].rstrip(".")
                reason = f"{reason}, while {resting} of {self._size} rest: {why}"
            yield entry, position, reason

    def _end_queued(self, cause: Intervention) -> None:
        for entry in list(self._queue):
            self._queue.remove(entry.run_id)
            entry.item.end(from_intervention(cause, 0.0, ""))

    # -- slots -------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Start waiting runs for which there is a free slot, and end those that no end of a run can make room for."""
        if self._queue and self._at_rest:
            self._refuse_oversized()
        while self._queue:
            admission = self._admission()
            entry = self._queue.first(lambda item: admission.blocked_reason(item) or self._better_later(item))  # noqa: B023
            slot = self._free_slot(entry.item) if entry is not None else None
            if slot is None or entry is None:
                return
            self._queue.remove(entry.run_id)
            self._begin(entry.item, slot)
            self._changed_queue()

    def _refuse_oversized(self) -> None:
        admission = self._admission()
        for entry in list(self._queue):
            if (refusal := admission.refusal(entry.item)) is not None:
                self._queue.remove(entry.run_id)
                entry.item.end(from_intervention(Intervention(Outcome.MEMORY, refusal), 0.0, ""))
                self._changed_queue()

    def _better_later(self, assignment: Assignment) -> str | None:
        """Return the reason to wait of a run for which a slot is about to be ready, better than any that is free."""
        if self._switch is not None and self._switch.goes_on and self._comes(assignment.profile):
            return WAITING_FOR_SLOT
        ahead = assignment.ahead
        if ahead is None:
            return None
        having = [slot for slot in self._slots.values() if slot.profile.serves(ahead)]
        free = any(slot.available for slot in having)
        return WAITING_FOR_SLOT if not free and any(slot.between_runs for slot in having) else None

    def _comes(self, profile: Profile) -> bool:
        """Whether no free slot has a zygote for a profile, and one of them is about to."""
        slots = self._slots.values()
        if any(slot.available and (slot.profile.serves(profile) or slot.offers(profile)) for slot in slots):
            return False
        if self._switch is not None and self._switch.untried and profile.environment == self.environment:
            return True
        return any(slot.idle and slot.expects(profile) for slot in slots)

    def _free_slot(self, assignment: Assignment) -> Slot | None:
        """A slot for a run: one that is made for it, else the one whose change costs others least.

        Of those that fit the lowest number, so that the same few stay in the processor's caches. Of the others the one
        that has idled longest; the last one of the pool's own profile stays as it is. None as well while a slot is
        about to have a zygote for it.
        """
        profile = assignment.profile
        free = [slot for slot in self._slots.values() if slot.available]
        if (slot := _fitting(free, assignment.ahead or profile)) is not None:
            return slot
        if self._better_later(assignment) is not None:
            return None
        if assignment.ahead is not None and (slot := _fitting(free, profile)) is not None:
            return slot
        own = [slot for slot in free if slot.profile == self.usual]
        kept = own[0] if len(own) == 1 and len(free) > 1 else None
        return min((slot for slot in free if slot is not kept), key=lambda slot: slot.used, default=None)

    @property
    def _at_rest(self) -> bool:
        """Whether nothing runs, and nothing that ran still has its memory."""
        return all(slot.at_rest for slot in self._slots.values())

    def _admission(self) -> Admission:
        busy, claims = [], []
        for slot in self._slots.values():
            if (assignment := slot.assignment) is not None:
                busy.append(assignment.job)
                if not assignment.probe:
                    claims.append(Claim(assignment.job.limits.memory, slot.memory_held))
        awake = self._size - sum(slot.resting for slot in self._slots.values())
        return Admission(busy, awake, MemoryRoom(self._gauge, claims))

    def _fill(self) -> None:
        """Start slots until there are as many as there should be; those that were about to leave stay instead."""
        missing = self._size - len(self._staying())
        for slot in [slot for slot in self.slots() if slot.leaving and not slot.resting][: max(0, missing)]:
            slot.stay()
            missing -= 1
        number = 1
        while missing > 0:
            if number not in self._slots:
                # Numbers come again, folders do not: the one of a slot that has left may not be removed yet.
                scratch = self.settings.scratch / f"slot-{number}-{next(self._serials)}"
                self._slots[number] = Slot(number, self.settings, scratch, self)
                self._slots = dict(sorted(self._slots.items()))
                self._slots[number].start()
                missing -= 1
            number += 1

    def _checked(self, size: int) -> int:
        low, high = self.settings.min_size, self.settings.max_size
        if not low <= size <= high:
            raise ValueError(f"The pool's size must be {low} to {high}, not {size}.")
        return size


def _fitting(free: Sequence[Slot], profile: Profile) -> Slot | None:
    """The first slot that is made for a profile, else one with more imported ahead, else one that changes at once."""
    for slot in free:
        if slot.profile == profile:
            return slot
    for slot in free:
        if slot.profile.serves(profile) or slot.offers(profile):
            return slot
    return None


def _waited_too_long(entry: QueuedRun[Assignment], longest: float) -> Intervention:
    reason = entry.told[1] if entry.told is not None else WAITING_FOR_SLOT
    if reason.startswith(WAITING_FOR_SLOT):
        rest = reason.removeprefix(WAITING_FOR_SLOT)
        return Intervention(Outcome.TIMEOUT, f"The run waited {longest:g} s for a free slot, as long as it may{rest}.")
    return Intervention(Outcome.TIMEOUT, f"The run waited {longest:g} s, as long as it may: {reason}.")


def _prepare_folder(scratch: Path) -> None:
    """Make the folder of all scratches, without what an engine that was killed left there."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in scratch.glob("slot-*"):
        try:
            remove_folder(str(left))
        except OSError as error:
            log.warning("cannot remove the scratch folder %s: %s", left, error)


def _nothing(*_: object) -> None:
    """Nobody listens."""
