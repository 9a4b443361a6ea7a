"""Running things: the only place where a run starts, is cancelled, is followed and becomes history."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

from msgspec.structs import replace

from engine.models.permissions import Grant
from engine.models.runs import (
    Mode,
    Outcome,
    OutputChunk,
    OutputPage,
    Priority,
    RunError,
    RunInfo,
    RunKind,
    RunList,
    RunProgress,
    RunRequest,
    RunState,
)
from engine.models.shared import SharedFile
from engine.pool.job import (
    Environment,
    FileInput,
    HostCalls,
    Job,
    JobRejected,
    Limits,
    NotEnoughMemory,
    Profile,
    QueueFull,
    SandboxUnavailable,
    SharedModule,
)
from engine.pool.outcome import Ending, Intervention
from engine.pool.pool import Pool
from engine.registry.operation import ScriptKind
from engine.registry.runs import (
    RUNS_BUFFER,
    RUNS_CANCEL,
    RUNS_EVENTS,
    RUNS_FILE,
    RUNS_GET,
    RUNS_LIST,
    RUNS_OUTPUT,
    RUNS_PROGRESS,
    RUNS_START,
    RunListParams,
)
from engine.services.access import Actor, Role, ServiceError, require, require_every_script
from engine.services.audit import AuditService, event
from engine.services.disk_space import SpaceCheck, output_not_recorded
from engine.services.events import EventBus
from engine.services.operations import implements, may
from engine.services.packages.script_environments import Building
from engine.services.runs.active import ActiveRun, is_wanted
from engine.services.runs.answering import busy, call_time_over, no_slot_in_time, with_output
from engine.services.runs.condensed import (
    WRITE_EVERY,
    Condenser,
    HeldRecord,
    Place,
    Repeated,
    may_be_condensed,
    repeated_call,
)
from engine.services.runs.inputs import GivenInputs, SecretKeeper, given_inputs, is_much, kept_code
from engine.services.runs.metrics import GroupKey, RunMetrics, script_of
from engine.services.runs.outputs import LeftBuffers, RunOutputs, small_ones
from engine.services.runs.recorder import Recorder
from engine.services.runs.records import output_chunk, run_file, run_info, run_row
from engine.services.runs.requests import Prepared, RequestChecks, no_buffer, no_file, refused_run
from engine.services.runs.uploads import Buffer, BufferService
from engine.services.scripts.shared_code import SharedCode, shared_files
from engine.services.visibility import of_its_scripts, sees_run
from store.errors import StoreError
from store.state.database import StateDB
from store.state.rows import InputRow
from store.state.run_filter import RunFilter

RunItem = list[OutputChunk] | RunInfo
"""What a follower gets: output as it comes, the record when it changes."""

STOP_LINE = 1 << 10
"""Bytes that the last line of an output that was stopped takes at most."""

OF_TOKENS = "token:"
"""What the name of a token begins with where it stands beside names of accounts."""

MAX_WAITING = 200
"""Runs that may wait for their environments to be built."""

PAGE = 500
"""Output chunks read from the state at a time."""

log = logging.getLogger(__name__)


class ScriptCalls(Protocol):
    """Makes what answers the calls of runs: the scripts' own API, which is built on this service."""

    def for_run(
        self, info: RunInfo, kind: ScriptKind, actor: Actor, script: str, outputs: RunOutputs | None = None
    ) -> HostCalls: ...


@dataclasses.dataclass(slots=True, eq=False)
class _Wait:
    """A run that is ready but for its environment, which is being built."""

    run: ActiveRun
    job: Job
    prepared: Prepared
    building: Building
    task: asyncio.Task[None] | None = None
    intervention: Intervention | None = None
    closing: bool = False

    def stop(self, intervention: Intervention | None, *, closing: bool = False) -> None:
        self.intervention, self.closing = intervention, closing
        if self.task is not None:
            self.task.cancel()

    def ending(self) -> Ending:
        """Return the end of one that was stopped."""
        if self.closing:
            return _interrupted()
        why = self.intervention or Intervention(Outcome.CANCELLED, "It was cancelled while its environment was built.")
        error = RunError(type=why.outcome.value, message=why.message)
        return Ending(outcome=why.outcome, duration=0.0, isolation="", error=error)


class RunService:
    """Implements ``RunListener`` for its active runs."""

    def __init__(
        self,
        pool: Pool,
        state: StateDB,
        checks: RequestChecks,
        shared: SharedCode,
        buffers: BufferService,
        events: EventBus,
        metrics: RunMetrics,
        space: SpaceCheck,
        audit: AuditService,
        hmac_key: bytes,
        api_queue_wait: float = 5.0,
    ) -> None:
        """Make the service of one project.

        Args:
            pool: Runs what is started.
            state: Keeps the records.
            checks: Make a job of a request.
            shared: The project's shared code.
            buffers: Files that runs are handed.
            events: Hears of every change.
            metrics: Counts.
            space: Whether there is room for output.
            audit: Hears of runs.
            hmac_key: The project's, for what is secret among the inputs.
            api_queue_wait: Seconds that a run may wait for a slot while a client of the API waits for its end.
        """
        self._pool = pool
        self._state = state
        self._checks = checks
        self._shared = shared
        self._buffers = buffers
        self.left = LeftBuffers(buffers)
        """Buffers that runs have made."""
        self._events = events
        self._metrics = metrics
        self._space = space
        self._audit = audit
        self._hmac_key = hmac_key
        self._api_queue_wait = api_queue_wait
        self._active: dict[int, ActiveRun] = {}
        self._waiting: dict[int, _Wait] = {}
        """By run: those whose environment is being built."""
        self._batches: dict[int, Callable[[], None]] = {}
        """By the number of a batch's record: stops it."""
        self._taking: set[asyncio.Task[None]] = set()
        """Ends of runs whose buffers are being read."""
        self.script_api: ScriptCalls | None = None
        """What answers the runs' calls; put in place when every service is there that it asks."""
        self.recorder = Recorder(state, self._durable)
        self._condenser = Condenser(state, lambda run_id: run_id not in self._active, self._publish)

    @property
    def unfinished(self) -> int:
        """Runs that are queued or running."""
        return sum(not run.finished for run in self._active.values())

    @implements(RUNS_START)
    async def start(self, request: RunRequest, actor: Actor, source: str, wait: float | None = None) -> RunInfo:
        """Check ``request``, queue it and return its first record.

        Args:
            request: What to run.
            actor: Who asks.
            source: ``console``, ``cli``, ``rest`` or ``library``.
            wait: Seconds to wait for its end, as ``run_to_end`` does.

        Raises:
            ServiceError: The request is refused; nothing was started.
        """
        if wait is not None:
            return await self.run_to_end(request, actor, source, wait=wait)
        return (await self.launch(request, actor, source)).info

    async def run_to_end(
        self, request: RunRequest, actor: Actor, source: str, *, wait: float, queue_wait: float | None = None
    ) -> RunInfo:
        """Start a run, wait for its end and return its final record, with its output.

        A caller that is cancelled cancels its run.

        Args:
            request: What to run.
            actor: Who asks.
            source: As in ``start``.
            wait: Seconds after which the record is returned unfinished, and the run goes on.
            queue_wait: Seconds that the run may wait for a slot; None: ``queue_wait_of`` says it.

        Raises:
            ServiceError: ``busy`` when no slot was free in time, or whatever ``start`` says.
        """
        may(actor, RUNS_START)
        queue_wait = self.queue_wait_of(request, source) if queue_wait is None else queue_wait
        run = await self.launch(request, actor, source, queue_wait=queue_wait, waits=True)
        return await self.ended_within(run, wait)

    async def run_within(
        self, request: RunRequest, actor: Actor, source: str, *, seconds: float, queue_wait: float | None = None
    ) -> RunInfo:
        """Like ``run_to_end``, for callers that must have an answer: what is not over after ``seconds`` is ended then.

        Its outcome is ``timeout``, and its error says what to do about that.
        """
        info = await self.run_to_end(request, actor, source, wait=seconds, queue_wait=queue_wait)
        if info.state is RunState.FINISHED:
            return info
        run = self._active[info.id]
        self._stop(info.id, Intervention(Outcome.TIMEOUT, call_time_over(info, seconds)))
        return with_output(await run.ended(), run.chunks())

    async def ended_within(self, run: ActiveRun, wait: float) -> RunInfo:
        """Return the record of a run at its end, or after ``wait`` seconds; a cancelled caller cancels it.

        Raises:
            ServiceError: ``busy``.
        """
        try:
            async with asyncio.timeout(wait):
                info = await run.ended()
        except TimeoutError:
            if not run.finished:
                self._put_on_record(run)  # its caller will ask for it by its number
                run.repeated = None
                return run.info
            info = run.info  # it ended in the same moment
        except asyncio.CancelledError:
            self._stop(run.info.id)
            raise
        if no_slot_in_time(info):
            raise busy(info, self._api_queue_wait)
        return with_output(info, run.chunks())

    def queue_wait_of(self, request: RunRequest, source: str) -> float | None:
        """Seconds that a run may wait for a slot whose caller waits for its end; None: as long as any run.

        A client of the API is told soon that there is no slot; a batch has time, and a person sees the queue.
        """
        return self._api_queue_wait if source == "rest" and not request.batch else None

    async def launch(
        self,
        request: RunRequest,
        actor: Actor,
        source: str,
        *,
        replay_of: int | None = None,
        shared: tuple[SharedModule, ...] | None = None,
        queue_wait: float | None = None,
        waits: bool = False,
    ) -> ActiveRun:
        """Like ``start``, for callers in this process that want to follow the run.

        Args:
            request: As in ``start``.
            actor: As in ``start``.
            source: As in ``start``.
            replay_of: The run that it repeats.
            shared: The shared code of that.
            queue_wait: Seconds that it may wait for a slot.
            waits: The caller waits for the end and is told all of it: the record may be one for many such runs.
        """
        much = is_much(request)
        prepared = await self._checks.prepare(request, actor, shared, source)
        run_id = await self._state.next_run_id()
        stdin_id = [] if request.stdin is None else [request.stdin]
        wanted = [*request.files.values(), *request.buffers.values(), *stdin_id]
        buffers = await self._buffers.hold(wanted, actor)
        stdin = None if request.stdin is None else buffers[-1]
        keeper = SecretKeeper(self._hmac_key, prepared.secret)
        files, named = _by_name(request, buffers)
        try:
            given = (
                await asyncio.to_thread(given_inputs, request, files, stdin, keeper, named)
                if much
                else given_inputs(request, files, stdin, keeper, named)
            )
        except BaseException:
            self._buffers.give_back(buffers)
            raise
        info = _first_record(run_id, request, prepared, actor, source, given, replay_of, self._no_space())
        inputs = InputRow(
            run_id,
            info.code_sha256,
            kept_code(prepared.source),
            given.text,
            tuple((one.path, one.sha256, one.text) for one in prepared.shared if one.path),
        )
        try:
            if prepared.mode is Mode.ADMIN:
                await self._record_intent(info, inputs, actor, leaves=prepared.leaves)
            repeated = repeated_call(request, info, actor) if waits else None
            return self._submit(info, request, prepared, buffers, actor, inputs, queue_wait, repeated)
        except BaseException as failure:  # whatever it is, an intent on record gets its end
            self._buffers.give_back(buffers)
            recorded = not (isinstance(failure, ServiceError) and failure.code == "not_recorded")
            if prepared.mode is Mode.ADMIN and recorded:
                ended = _never_started(info, failure)
                self.recorder.run_changed(ended)
                self._tell_admin_end(ended, actor.uid)
            raise

    async def _record_intent(self, info: RunInfo, inputs: InputRow, actor: Actor, *, leaves: bool) -> None:
        """An ADMIN run is on record before it begins: what it then does could reach the records themselves."""
        try:
            detail: dict[str, object] = {"code_sha256": info.code_sha256}
            detail.update((file.path, file.sha256) for file in info.shared)
            if leaves:
                detail["leave_processes"] = True
            intent = event(actor, info.source, "admin_run", f"#{info.id} {info.name}", **detail)
            await asyncio.shield(self._state.apply([run_row(info)], [], [], inputs=[inputs], audit=[intent]))
            await self._audit.send_head(f"#{info.id} {info.name}")
        except StoreError as error:
            raise ServiceError(
                "not_recorded",
                f"ADMIN runs are refused while they cannot be recorded: {error}",
                hint="Free some space on the disk of the project, then try again.",
                status=403,
            ) from None

    async def wait(self, run_id: int, actor: Actor) -> RunInfo:
        """The final record, once there is one."""
        run = self._active.get(run_id)
        if run is None:
            return await self.get(run_id, actor)
        self._check_sees(run.info, actor)
        return await run.ended()

    @implements(RUNS_GET)
    async def get(self, run_id: int, actor: Actor) -> RunInfo:
        run = self._active.get(run_id)
        info = self._condenser.shown(run.info) if run is not None else await self._recorded(run_id, actor)
        self._check_sees(info, actor)
        left = self.left.of(run_id)
        return info if info.buffers == left else replace(info, buffers=left)

    @implements(RUNS_LIST)
    async def find(self, params: RunListParams, actor: Actor) -> RunList:
        """Return a page of the runs that an actor may see and asks for."""
        wanted = RunFilter(
            name=params.name,
            part=params.part,
            outcome=params.outcome,
            actor=params.actor,
            since=params.since,
            until=params.until,
        )
        found = await self.list(actor, limit=params.limit, before=params.before, wanted=wanted)
        if found.runs or not params.actor or params.actor.startswith(OF_TOKENS):
            return found
        if (await self.list(actor, limit=1, wanted=RunFilter(actor=params.actor))).runs:
            return found
        # No account of this name has runs: it may be a token's.
        wanted = dataclasses.replace(wanted, actor=OF_TOKENS + params.actor)
        return await self.list(actor, limit=params.limit, before=params.before, wanted=wanted)

    async def list(
        self, actor: Actor, *, limit: int = 50, before: int | None = None, wanted: RunFilter | None = None
    ) -> RunList:
        """The newest runs that are wanted, active and recorded together."""
        wanted = wanted or RunFilter()
        if not 1 <= limit <= 500:
            raise ServiceError("bad_request", "limit must be 1 to 500.")
        if actor.role < Role.AUTHOR or actor.scripts:
            if wanted.actor not in (None, actor.name):
                return RunList(runs=[])
            wanted = dataclasses.replace(wanted, actor=actor.name)
        active = dict(self._active)  # also those whose end is recorded after the rows were read
        rows = await self._state.runs(limit=limit + 1, before=before, wanted=wanted)
        files = await self._state.files([row.id for row in rows])
        found = {row.id: run_info(row, files.get(row.id, ())) for row in rows}
        for run_id, run in (active | self._active).items():
            if run.kept_back is not None and (run.finished or not run.kept_back.listed):
                continue  # it is counted in another record, or has none
            found.pop(run_id, None)  # what it was when it was recorded; it is what it is now
            if (before is None or run_id < before) and is_wanted(run.info, wanted):
                # As its row will be listed: whether that is written yet must not show.
                found[run_id] = _summary(run.info)
        newest = [found[run_id] for run_id in sorted(found, reverse=True)]
        more = len(newest) > limit
        shown = await self._with_condensed([info for info in newest[:limit] if of_its_scripts(actor, info)])
        return RunList(runs=[*shown], next_before=newest[limit - 1].id if more else None)

    async def _with_condensed(self, runs: Sequence[RunInfo]) -> Sequence[RunInfo]:
        """Records with what they stand for."""
        asked = [info.id for info in runs if may_be_condensed(info)]
        rows = await self._state.condensed.of(asked) if asked else {}
        return [self._condenser.shown(info, rows.get(info.id)) if may_be_condensed(info) else info for info in runs]

    @implements(RUNS_OUTPUT)
    async def output(self, run_id: int, actor: Actor, *, after: int = 0, limit: int = PAGE) -> OutputPage:
        """Up to ``limit`` chunks from ``after`` on."""
        if after < 0 or not 1 <= limit <= 10_000:
            raise ServiceError("bad_request", "after must not be negative and limit must be 1 to 10000.")
        info = await self.get(run_id, actor)
        run = self._active.get(run_id)
        if run is not None:
            chunks = run.chunks(after)[:limit]
        else:
            rows = await self._state.output(run_id, after, limit)
            chunks = [output_chunk(row, complete=info.output_complete) for row in rows]
        next_seq = chunks[-1].seq + 1 if chunks else after
        return OutputPage(run_id=run_id, chunks=chunks, next_seq=next_seq, finished=info.state is RunState.FINISHED)

    @implements(RUNS_FILE)
    async def file(self, run_id: int, name: str, actor: Actor) -> bytes:
        """A file that a run left in its record."""
        await self.get(run_id, actor)
        run = self._active.get(run_id)
        if run is not None:
            left = next((file for file in run.files if file.name == name), None)
            if left is None:
                raise no_file(run_id, name)
            return bytes(left.data)
        row = await self._state.file(run_id, name)
        if row is None or row.data is None:
            raise no_file(run_id, name, removed=row is not None)
        return bytes(row.data)

    @implements(RUNS_BUFFER)
    async def buffer(self, run_id: int, name: str, actor: Actor) -> bytes | memoryview:
        """Return a buffer that a run left: as long as the engine holds it, and a small one from the run's record."""
        await self.get(run_id, actor)
        if (content := self.left.read(run_id, name)) is not None:
            return content
        try:
            return await self.file(run_id, name, actor)
        except ServiceError:
            raise no_buffer(run_id, name) from None

    @implements(RUNS_EVENTS)
    async def events(
        self,
        run_id: int,
        actor: Actor,
        after: int = 0,
        kept: bool = False,
    ) -> AsyncIterator[RunItem]:
        """Return what ``follow`` yields, after a look whether there is such a run: a stream could only break."""
        await self.get(run_id, actor)
        return self.follow(run_id, actor, after=after, kept=kept)

    def follow(self, run_id: int, actor: Actor, *, after: int = 0, kept: bool = False) -> AsyncIterator[RunItem]:
        """Output from chunk ``after`` on as it comes, the record whenever it changes; ends with the final record.

        The run waits for who follows it slowly, from this call on, unless he reads nothing for a while.
        ``kept``: only what is kept of the output, when the run has ended.
        """
        run = self._active.get(run_id)
        if run is None:
            return self._from_record(run_id, actor, after)
        self._check_sees(run.info, actor)
        return run.follow(after, kept=kept)

    async def _from_record(self, run_id: int, actor: Actor, after: int) -> AsyncIterator[RunItem]:
        info = await self.get(run_id, actor)
        while rows := await self._state.output(run_id, after, PAGE):
            after = rows[-1].seq + 1
            yield [output_chunk(row, complete=info.output_complete) for row in rows]
        yield info

    def hide(self, run_id: int, name: str, value: str) -> bool:
        """Keep the value of a secret out of all that a run writes and leaves from here on; before it gets the value.

        Returns:
            Whether that is new.

        Raises:
            ServiceError: The run is over.
        """
        run = self._active.get(run_id)
        if run is None or run.finished:
            raise ServiceError("no_run", f"Run {run_id} is over.", status=409)
        return run.hide(name, value)

    def tells_secret(self, run_id: int, text: str) -> bool:
        """Whether a text has a secret that a run was given."""
        run = self._active.get(run_id)
        return run is not None and run.tells_secret(text)

    @implements(RUNS_CANCEL)
    async def cancel(self, run_id: int, actor: Actor) -> RunInfo:
        """Stop a queued or running run and return its final record; a finished one is returned as it is."""
        info = await self.get(run_id, actor)
        if info.state is RunState.FINISHED:
            return info
        self._audit.tell(actor, "runs", "run_cancel", f"#{info.id} {info.name}", of=info.actor)
        if (stop := self._batches.get(run_id)) is not None:
            stop()
        else:
            self._stop(run_id)
        return await self.wait(run_id, actor)

    async def begin_batch(
        self,
        name: str,
        actor: Actor,
        source: str,
        *,
        code_sha256: str,
        shared: Sequence[SharedFile],
        timeout: float,  # noqa: ASYNC109 - what the record says
        stop: Callable[[], None],
        preview: bool = False,
    ) -> ActiveRun:
        """Begin the one record of a batch: its calls are made by others, who say with ``end_batch`` what came of it.

        Args:
            name: What lists show.
            actor: Whose batch it is.
            source: As in ``start``.
            code_sha256: Of everything that it runs.
            shared: The shared code among that.
            timeout: Seconds that it may go on.
            stop: Called when its run is cancelled.
            preview: It has no record if it is over soon and went well: people look at texts while they type.
        """
        now = time.time()
        info = RunInfo(
            id=await self._state.next_run_id(),
            kind=RunKind.RENDER,
            name=name,
            state=RunState.RUNNING,
            mode=Mode.RESTRICTED,
            actor=actor.name,
            source=source,
            queued_at=now,
            started_at=now,
            timeout=timeout,
            code_sha256=code_sha256,
            shared=list(shared),
            unrecorded=self._no_space(),
        )
        run = ActiveRun(info, actor.uid, (), self, Limits().output)
        self._active[info.id] = run
        self._batches[info.id] = stop
        if preview:
            timer = asyncio.get_running_loop().call_later(WRITE_EVERY, self._show_preview, run)
            run.kept_back = HeldRecord(None, timer, preview=True, listed=False)
        self.run_changed(run)
        return run

    def end_batch(
        self,
        run: ActiveRun,
        outcome: Outcome,
        note: str,
        error: RunError | None,
        isolation: str,
        *,
        noted: bool = True,
    ) -> RunInfo:
        """Make the final record of a batch, which has no values: texts go to who asked for them.

        ``noted``: also a preview's, which leaves none otherwise.
        """
        self._batches.pop(run.info.id, None)
        run.end_output()
        now = time.time()
        duration = now - run.info.queued_at
        self._metrics.ended(run.info.id, _counted_by(run.info, outcome), duration, now)
        info = replace(
            run.info,
            state=RunState.FINISHED,
            finished_at=now,
            duration=duration,
            isolation=isolation,
            outcome=outcome,
            error=error,
            note=" ".join(filter(None, (note, run.missing_output))),
            output_bytes=run.output_size,
            output_complete=run.missing_output is None,
        )
        if noted and run.kept_back is not None:
            self._put_on_record(run)
        run.finish(info)
        self._settle(run)
        return info

    @implements(RUNS_PROGRESS)
    def progress(self, run_id: int, request: RunProgress, actor: Actor) -> RunProgress:
        """Show how far a run is to those who follow it.

        Raises:
            ServiceError: ``forbidden`` for all but runs of the actor that go on.
        """
        run = self._active.get(run_id)
        own = run is not None and sees_run(actor, run.info) and run.info.actor == actor.name
        if run is None or not own or run.info.state is not RunState.RUNNING:
            sentence = f"{actor.name} may tell the progress of runs of its own that go on, and run {run_id} is none."
            raise ServiceError("forbidden", sentence, hint="See gatewright runs list.", status=403)
        run.progressed(request)
        return request

    def run_progressed(self, run: ActiveRun) -> None:
        if run.kept_back is None:
            self._publish(run.info)

    def run_changed(self, run: ActiveRun) -> None:
        if run.info.state is RunState.RUNNING:
            self._metrics.started(run.info.id, slots=0 if run.info.kind is RunKind.RENDER else 1)
        if run.kept_back is None:
            self._record(run)

    def _record(self, run: ActiveRun) -> None:
        self.recorder.run_changed(run.info, run.files)
        self._publish(run.info)

    def run_queue_moved(self, run: ActiveRun) -> None:
        if run.info.queue_position is not None:  # else it waits for its environment, and not for a slot
            self._metrics.queued(run.info.id)
        if run.kept_back is None:
            self._publish(run.info)

    def run_output(self, run: ActiveRun, removed: Sequence[int], added: Iterable[OutputChunk]) -> None:
        if run.kept_back is None and self._kept(run):
            self.recorder.output(run.info.id, added, removed)

    def _kept(self, run: ActiveRun) -> bool:
        """Whether what a run writes and leaves goes on record. Once it does not, the rest does not either."""
        if run.info.unrecorded is None and (sentence := self._no_space()) is not None:
            run.unrecorded(sentence)
        return run.info.unrecorded is None

    def _no_space(self) -> str | None:
        short = self._space.short()
        return None if short is None else output_not_recorded(short)

    async def close(self) -> None:
        """Wait for the last records to be written. The pool is closed before this."""
        for wait in list(self._waiting.values()):
            wait.stop(None, closing=True)
        for run in list(self._active.values()):
            await run.ended()
        await self.recorder.close()
        await self._condenser.close()

    async def begin(self) -> None:
        """Begin to write records."""
        self.recorder.start()
        await self._condenser.start()

    def _submit(
        self,
        info: RunInfo,
        request: RunRequest,
        prepared: Prepared,
        buffers: Sequence[Buffer],
        actor: Actor,
        inputs: InputRow,
        queue_wait: float | None,
        repeated: Repeated | None,
    ) -> ActiveRun:
        if prepared.building is not None and len(self._waiting) >= MAX_WAITING:
            raise refused_run(QueueFull(f"{MAX_WAITING} runs wait for their packages already."))
        files, named = _by_name(request, buffers)
        stdin = None
        if request.stdin is not None:
            stdin = FileInput("stdin", self._buffers.opened(buffers[-1]), buffers[-1].info.size)
        script = prepared.name if request.kind is RunKind.SCRIPT else ""
        kept = _kept_output(prepared.limits)
        run = ActiveRun(info, actor.uid, buffers, self, kept, None if stdin is None else stdin.fd)
        run.outputs = RunOutputs(self._buffers, actor.identity, prepared.limits.memory, prepared.limits.files)
        job = Job(
            run_id=info.id,
            kind=request.kind,
            name=prepared.name,
            actor=actor.name,
            source=prepared.source,
            filename=prepared.filename,
            sink=run,
            module=request.module,
            function=request.function,
            entrypoint=prepared.entrypoint,
            params=prepared.params,
            args=request.args,
            kwargs=request.kwargs,
            variables=request.variables,
            files={name: _handed(buffer) for name, buffer in files.items()},
            buffers={name: _handed(buffer) for name, buffer in named.items()},
            outputs=run.outputs,
            stdin=stdin,
            argv=request.argv,
            shared=prepared.shared,
            shared_folder=self._shared.folder,
            limits=prepared.limits,
            profile=Profile(
                mode=prepared.mode,
                environment=prepared.environment,
                preloads=prepared.preloads,
                grants=prepared.grants.paths,
                leaves=prepared.leaves,
            ),
            ahead=self._ahead(prepared, prepared.environment or self._pool.environment),
            priority=_priority(request, info.source),
            queue_wait=queue_wait,
            max_parallel=prepared.parallel,
            calls=None
            if self.script_api is None
            else self.script_api.for_run(info, prepared.script_kind, actor, script, run.outputs),
        )
        self._active[info.id] = run
        self._hold_back(run, repeated, inputs)
        try:
            if prepared.building is None:
                self._hand_over(run, job)
        except BaseException:
            self._forget(run)
            raise
        if run.kept_back is None:
            self.recorder.inputs(inputs)
        if run.info.state is RunState.QUEUED:
            self.run_changed(run)
        if prepared.building is not None:
            self._begin_wait(_Wait(run, job, prepared, prepared.building))
        return run

    def _hand_over(self, run: ActiveRun, job: Job) -> None:
        """Give a job to the pool.

        Raises:
            ServiceError: The pool does not take it.
        """
        try:
            ending = self._pool.submit(job)
        except (QueueFull, JobRejected) as refusal:
            if isinstance(refusal, (QueueFull, NotEnoughMemory, SandboxUnavailable)):
                self._metrics.refused(script_of(run.info.kind, run.info.name), run.info.actor, time.time())
            raise refused_run(refusal) from None
        ending.add_done_callback(lambda future: self._ended(run, future))

    def _ahead(self, prepared: Prepared, environment: Environment) -> tuple[str, ...]:
        return self._checks.ahead.modules(prepared.source, prepared.shared, prepared.mode, environment)

    def _begin_wait(self, wait: _Wait) -> None:
        wait.task = asyncio.get_running_loop().create_task(self._wait_for_environment(wait), name="environment")
        wait.task.add_done_callback(lambda task: self._waited(wait, task))
        self._waiting[wait.run.info.id] = wait
        self._taking.add(wait.task)

    async def _wait_for_environment(self, wait: _Wait) -> None:
        """Submit a run when its environment is there. It is queued until then, and can be cancelled.

        Raises:
            ServiceError: The environment could not be made, or the pool does not take the run.
        """
        run = wait.run
        environment = await wait.building.wait(lambda doing: run.queued(None, doing))
        prepared = self._checks.built(wait.prepared, environment)
        profile = dataclasses.replace(wait.job.profile, environment=environment, preloads=prepared.preloads)
        del self._waiting[run.info.id]
        run.queued(None, None)
        ahead = self._ahead(prepared, environment)
        self._hand_over(run, dataclasses.replace(wait.job, profile=profile, ahead=ahead))

    def _waited(self, wait: _Wait, task: asyncio.Task[None]) -> None:
        """End a run that was not submitted; a task that is cancelled before it begins could not do that itself."""
        self._taking.discard(task)
        self._waiting.pop(wait.run.info.id, None)
        if task.cancelled():
            self._ended_unstarted(wait.run, wait.ending())
        elif (error := task.exception()) is not None:
            if not isinstance(error, ServiceError):
                log.error("a run could not be started with its environment", exc_info=error)
                error = ServiceError("environment", "Its environment cannot be used; the engine's log says why.")
            sentence = error.message if error.hint is None else f"{error.message} {error.hint}"
            failed = RunError(type=error.code, message=sentence)
            ending = Ending(outcome=Outcome.ENVIRONMENT, duration=0.0, isolation="", error=failed)
            self._ended_unstarted(wait.run, ending)

    def _ended_unstarted(self, run: ActiveRun, ending: Ending) -> None:
        future: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        future.set_result(ending)
        self._ended(run, future)

    def _stop(self, run_id: int, intervention: Intervention | None = None) -> None:
        """End a run that is queued or running, also one that waits for its environment."""
        if (wait := self._waiting.get(run_id)) is not None:
            wait.stop(intervention)
        elif intervention is None:
            self._pool.cancel(run_id)
        else:
            self._pool.cancel(run_id, intervention)

    def _forget(self, run: ActiveRun) -> None:
        """A run that the pool did not take."""
        del self._active[run.info.id]
        if run.kept_back is not None:
            run.kept_back.timer.cancel()
        run.close_stdin()

    def _hold_back(self, run: ActiveRun, repeated: Repeated | None, inputs: InputRow) -> None:
        """Record nothing of a run that may be a repetition until it has ended, or has gone on for a while."""
        run.repeated = repeated
        if repeated is not None and self._condenser.expects(repeated):
            timer = asyncio.get_running_loop().call_later(WRITE_EVERY, self._put_on_record, run)
            run.kept_back = HeldRecord(inputs, timer)

    def _show_preview(self, run: ActiveRun) -> None:
        """List a preview that takes a while, so that it can be cancelled."""
        if run.kept_back is not None:
            run.kept_back.listed = True
            self._publish(run.info)

    def _put_on_record(self, run: ActiveRun) -> None:
        """Record what was held back of a run."""
        back, run.kept_back = run.kept_back, None
        if back is None:
            return
        back.timer.cancel()
        if back.inputs is not None:
            self.recorder.inputs(back.inputs)
        if (chunks := run.recorded_again()) and self._kept(run):
            self.recorder.output(run.info.id, chunks)
        self._record(run)

    def _settle(self, run: ActiveRun) -> None:
        """Decide where a run that has ended is on record, and tell the audit."""
        place = Place.OWN
        if run.kept_back is not None and run.kept_back.preview:
            place = Place.NONE
            if run.kept_back.listed:
                self._publish(run.info)
        elif run.repeated is not None:
            place = self._condenser.ended(run.repeated, run.info, on_record=run.kept_back is None)
        if place in (Place.COUNTED, Place.NONE):
            self._forget(run)
            return
        self._put_on_record(run)
        if place is Place.OWN:
            self._tell_audit(run)

    def _ended(self, run: ActiveRun, future: asyncio.Future[Ending]) -> None:
        self._buffers.give_back(run.buffers)
        run.close_stdin()
        ending = _interrupted() if future.cancelled() else future.result()
        if run.outputs is not None and run.outputs.any and ending.outcome is Outcome.OK:
            task = asyncio.get_running_loop().create_task(self._take_buffers(run, run.outputs, ending))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)
            return
        if run.outputs is not None:
            run.outputs.drop()
        self._finish(run, ending)

    async def _take_buffers(self, run: ActiveRun, outputs: RunOutputs, ending: Ending) -> None:
        """End a run that leaves buffers. What cannot be taken is told of in its note."""
        told = ""
        try:
            left = await outputs.take(None if run.masks is None else run.masks.data)
            self.left.add(run.info.id, left)
            recorded = await asyncio.to_thread(small_ones, left, ending.files, outputs.recorded)
            ending = replace(ending, files=(*ending.files, *recorded))
            if outputs.changed:
                told = f"A secret was hidden in {', '.join(outputs.changed)}: no longer what the script wrote."
        except (ServiceError, OSError, MemoryError) as error:
            reason = error.message if isinstance(error, ServiceError) else f"{error}."
            told = f"Not all of the buffers that the run made are kept: {reason}"
        finally:
            self._finish(run, replace(ending, note=" ".join(filter(None, (ending.note, told))) or None))

    def _finish(self, run: ActiveRun, ending: Ending) -> None:
        """Make the final record."""
        ending = run.masked(ending)
        run.end_output()
        run.files = ending.files if not ending.files or self._kept(run) else ()
        # After the last change that it can report while it counts as running.
        now = time.time()
        self._metrics.ended(run.info.id, _counted_by(run.info, ending.outcome), ending.duration, now)
        ending = self._explained(run.info, ending)
        run.finish(
            replace(
                run.info,
                state=RunState.FINISHED,
                finished_at=now,
                duration=ending.duration,
                isolation=ending.isolation or run.info.isolation,
                outcome=ending.outcome,
                signal=ending.signal,
                exit_status=ending.exit_status,
                value=ending.value,
                has_value=ending.has_value,
                result=ending.text,
                note=self._note(run, ending),
                error=ending.error,
                traceback=ending.traceback,
                output_bytes=run.output_size,
                output_complete=not ending.output_truncated and run.missing_output is None,
                queue_position=None,
                queue_reason=None,
                progress=None,
                files=[run_file(file) for file in run.files],
                buffers=self.left.of(run.info.id),
            )
        )
        self._settle(run)

    def _explained(self, info: RunInfo, ending: Ending) -> Ending:
        """An ending with what the project knows about a module that could not be imported."""
        error = ending.error
        if error is None or error.module is None:
            return ending
        denied = ending.outcome is Outcome.IMPORT_DENIED
        if not denied and error.type != "ModuleNotFoundError":
            return ending
        script = info.name if info.kind is RunKind.SCRIPT else ""
        sentence = self._shared.explain(error.module, script)
        if sentence is None:
            return ending
        if denied and sentence == self._shared.certainly(error.module, script):
            # What the rule advises would not help: nobody can install or allow a script.
            text = ending.traceback and ending.traceback.replace(error.message, sentence)
            return replace(ending, error=replace(error, message=sentence), traceback=text)
        return replace(ending, note=" ".join(filter(None, (ending.note, sentence))))

    def _note(self, run: ActiveRun, ending: Ending) -> str | None:
        """What is to say of a run beside its result.

        Its own, what its header lacks, what is not kept, then what this host did not give it.
        """
        info = run.info
        lacking = self._pool.settings.plan(info.mode).note if info.started_at is not None else None
        return " ".join(filter(None, (ending.note, info.note, run.missing_output, lacking))) or None

    def _tell_audit(self, run: ActiveRun) -> None:
        """Have it on record how a run ended, what ran and what that was given; of an ADMIN run the intent has that."""
        info = run.info
        if info.mode is Mode.ADMIN:
            self._tell_admin_end(info, run.owner)
            return
        detail: dict[str, object] = {
            "code_sha256": info.code_sha256, "inputs_sha256": info.inputs_sha256, "isolation": info.isolation,
            "duration": round(info.duration or 0.0, 6),
        }  # fmt: skip
        detail.update((file.path, file.sha256) for file in info.shared)
        actor, outcome = Actor(info.actor, run.owner, Role.OPERATOR), info.outcome.value if info.outcome else ""
        self.recorder.tell(event(actor, info.source, "run", f"#{info.id} {info.name}", outcome=outcome, **detail))

    def _tell_admin_end(self, info: RunInfo, uid: int) -> None:
        actor = Actor(info.actor, uid, Role.ADMIN)
        outcome = info.outcome.value if info.outcome else ""
        self._audit.tell(
            actor, info.source, "admin_end", f"#{info.id} {info.name}", outcome=outcome, isolation=info.isolation
        )

    def _publish(self, info: RunInfo) -> None:
        self._events.publish("run", replace(info, value=None, result=None, traceback=None))

    def _durable(self, run_ids: Sequence[int]) -> None:
        for run_id in run_ids:
            self._active.pop(run_id, None)

    async def _recorded(self, run_id: int, actor: Actor) -> RunInfo:
        if (info := await self._in_state(run_id)) is not None:
            return (await self._with_condensed([info]))[0]
        holder_id = self._condenser.holder_of(run_id)
        if holder_id is None:
            row = await self._state.condensed.holder_of(run_id)
            holder_id = None if row is None else row.run_id
        if holder_id is not None and holder_id != run_id:
            holder = await self.get(holder_id, actor)
            raise ServiceError(
                "condensed",
                f"Run {run_id} went well and has no record of its own: it is one of the runs of {holder.name} that "
                f"{holder.actor} started in the same minute, which are counted in the record of run {holder_id}.",
                hint=f"See gatewright runs show {holder_id}.",
                status=404,
            )
        raise ServiceError("no_run", f"There is no run {run_id}.", hint="See gatewright runs list.", status=404)

    async def _in_state(self, run_id: int) -> RunInfo | None:
        row = await self._state.run(run_id)
        return None if row is None else run_info(row, (await self._state.files([run_id])).get(run_id, ()))

    def _check_sees(self, info: RunInfo, actor: Actor) -> None:
        if not sees_run(actor, info):
            require(actor, Role.AUTHOR, "see other people's runs")
            require_every_script(actor, "see other runs than its own of these scripts")


def _counted_by(info: RunInfo, outcome: Outcome) -> GroupKey:
    return GroupKey(script_of(info.kind, info.name), info.actor, outcome.value)


def _first_record(
    run_id: int,
    request: RunRequest,
    prepared: Prepared,
    actor: Actor,
    source: str,
    given: GivenInputs,
    replay_of: int | None,
    unrecorded: str | None,
) -> RunInfo:
    return RunInfo(
        id=run_id,
        kind=request.kind,
        name=prepared.name,
        state=RunState.QUEUED,
        mode=prepared.mode,
        actor=actor.name,
        source=source,
        queued_at=time.time(),
        timeout=prepared.limits.wall,
        code_sha256=hashlib.sha256(prepared.source).hexdigest(),
        unrecorded=unrecorded,
        grants=[
            *(Grant(access=grant.access, path=grant.path) for grant in prepared.grants.paths),
            *prepared.grants.hosted,
        ],
        inputs_sha256=given.sha256,
        replay_of=replay_of,
        note=prepared.note,
        shared=shared_files(prepared.shared),
    )


def _by_name(request: RunRequest, buffers: Sequence[Buffer]) -> tuple[dict[str, Buffer], dict[str, Buffer]]:
    """The files by parameter and the buffers by name; ``buffers`` are those of a request, in its order."""
    files = dict(zip(request.files, buffers, strict=False))
    return files, dict(zip(request.buffers, buffers[len(files) :], strict=False))


def _handed(buffer: Buffer) -> FileInput:
    return FileInput(name=buffer.info.name, fd=buffer.fd, size=buffer.info.size)


def _never_started(info: RunInfo, failure: BaseException) -> RunInfo:
    """The final record of a run whose intent is on record and which did not begin after that."""
    error = RunError(type="internal", message="The run could not be started; the engine's log says why.")
    if isinstance(failure, ServiceError):
        error = RunError(type=failure.code, message=failure.message)
    elif isinstance(failure, asyncio.CancelledError):
        error = RunError(type="cancelled", message="Whoever asked for the run was gone before it began.")
    return replace(
        info, state=RunState.FINISHED, outcome=Outcome.CANCELLED, finished_at=time.time(), duration=0.0, error=error
    )


def _kept_output(limits: Limits) -> int:
    """How many bytes of a run's output are kept. What stops at its limit ends with a line that says so."""
    return limits.output + STOP_LINE if limits.output_stop else limits.output


def _priority(request: RunRequest, source: str) -> Priority:
    if request.batch:
        return Priority.BATCH
    return Priority.API if source == "rest" else Priority.INTERACTIVE


def _interrupted() -> Ending:
    return Ending(outcome=Outcome.INTERRUPTED, duration=0.0, isolation="")


def _summary(info: RunInfo) -> RunInfo:
    """Leave out what a list does not carry because it can be large."""
    return replace(info, value=None, has_value=False, result=None, traceback=None, buffers=[])
