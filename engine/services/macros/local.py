"""The executor of this engine's own slots: a child for each macro, or several, and chunks handed out to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from engine.models.macros import Read
from engine.models.runs import Outcome, Priority, RunError, RunKind, Stream
from engine.pool.batch import BatchSession, Part, calls_frame
from engine.pool.calls import error
from engine.pool.job import Environment, HostCalls, Job, JobRejected, Profile, QueueFull, Reply
from engine.pool.outcome import Ending
from engine.pool.pool import Pool
from engine.services.macros.executor import MAX_RESULTS, Chunk, ChunkResult, HashedReply, MacroSource
from engine.worker.wire import KEPT_ANSWERS, KEPT_QUESTION

LONGEST_BATCH = 7 * 86_400.0
"""Seconds that a child may live if the batch has no limit of its own."""

MAX_LOSSES = 3
"""Children that one chunk may cost. What of it is not answered then is not tried again."""

MANY_LOSSES = 10
"""Children that a macro may cost where less than a hundred calls come to each."""

CALLS_PER_LOSS = 100

STARVING = 0.1
"""Seconds that a chunk waits for a child that has others to do, before that is asked to make room."""

KEPT_IDLE = 2.0
"""Seconds that a child without chunks keeps its slot."""

LEAVING_GRACE = 0.1
"""Seconds that children have to leave when all is done."""

OUTPUT_KEPT = 16 << 10
"""Characters of a chunk's output that its result has."""

READ_OPERATIONS = b"documents."
"""In the payload of every call whose answer is noted."""

MAX_READS = 10_000
"""Different questions that one call may ask: what is made of an answer that is not noted would never be made again."""

MAX_READS_SIZE = 1 << 20
MAX_CHUNK_READS_SIZE = 8 << 20
"""Bytes of the questions of one call, and of all calls of a chunk, that are noted."""

NEVER_ANSWERED = (b'{"error":{"code":"bad_request"', b'{"error":{"code":"no_operation"')
"""Beginnings of refusals that say nothing of the documents: such questions are not noted."""

MAX_KNOWN = 256
MAX_KNOWN_SIZE = 16 << 20
"""Answers, and bytes of them, whose hashes are remembered."""

MAX_HELD = 64 << 20
"""Bytes of texts that wait to be taken, above which no chunk is accepted."""


class LocalExecutor:
    """Runs chunks in children of a pool. Implements ``Executor``. One batch, one executor.

    Chunks of one macro go to its child, up to ``in_flight`` of them ahead of what it does; more children of it, up to
    ``workers``, are made when all it has are busy. Results are to be taken while chunks are submitted.

    Attributes:
        stopped: Why the batch was ended by others, who cancelled its run or stopped the engine; None: it was not.
        isolation: What the last child to answer has proven.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        run_id: int,
        actor: str,
        workers: int = 1,
        in_flight: int = 4,
        wall: float | None = None,
        interactive: bool = False,
        calls: HostCalls | None = None,
    ) -> None:
        """Begin a batch.

        Args:
            pool: Whose slots it takes, all but one of them at most.
            run_id: Of its record; cancelling that run in the pool ends the batch.
            actor: Whose it is.
            workers: Children for each macro.
            in_flight: Chunks that a child is given ahead of their results.
            wall: Seconds that a child may live. Up to a run's usual limit the first chunk goes to a parked child; for
                more one is made, which takes some milliseconds.
            interactive: A person waits for it, so it goes ahead of other batches.
            calls: Answers what macros ask of the engine. What they ask of the documents is noted as their reads.
        """
        self.stopped: RunError | None = None
        self.isolation = ""
        self._pool = pool
        self._run_id = run_id
        self._actor = actor
        # A batch that goes on while it is switched ends in the one that it began in.
        self._environment = pool.environment
        self._environments: set[Environment] = set()
        self._hold(self._environment)
        self._workers = max(1, workers)
        self._in_flight = max(1, in_flight)
        self._wall = wall or LONGEST_BATCH
        self._priority = Priority.INTERACTIVE if interactive else Priority.BATCH
        self._calls = calls
        self._hashes = _Hashes()
        self._waiting: deque[_Work] = deque()
        """Chunks, or what is left of them, that no child has."""
        self._children: list[_MacroChild] = []
        self._broken: dict[str, RunError] = {}
        """Why nothing more of a macro is tried, by its hash."""
        self._losses: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._done: deque[ChunkResult] = deque()
        self._held = 0
        self._open = 0
        """Chunks that were submitted and have no result yet."""
        self._numbers = 0
        self._changed = asyncio.Event()
        self._finished = self._cancelled = False
        self._hungry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._endings: set[asyncio.Future[Ending]] = set()

    # -- Executor ----------------------------------------------------------------------------------------------------

    @property
    def _capacity(self) -> int:
        return self._in_flight * max(self._workers, len(self._children))

    async def submit(self, chunk: Chunk) -> None:
        """Take a chunk; waits while as many are in flight as may be, and while too much waits to be taken."""
        while not self._cancelled and (self._open >= self._capacity or self._held > MAX_HELD):
            self._changed.clear()
            await self._changed.wait()
        if self._cancelled:
            return
        self._open += 1
        work = _Work(chunk)
        if chunk.params:
            self._waiting.append(work)
            self._dispatch()
        else:
            self._finish_work(work)

    async def as_completed(self) -> AsyncIterator[ChunkResult]:
        """Yield results until ``finish`` was called and nothing is left, or the executor was cancelled."""
        while not self._cancelled:
            while self._done:
                result = self._done.popleft()
                self._held -= result.size
                if result.size:
                    self._changed.set()
                yield result
                if self._cancelled:
                    return
            if self._finished and not self._open:
                return
            self._changed.clear()
            await self._changed.wait()

    def finish(self) -> None:
        """Say that no chunk follows."""
        self._finished = True
        self._changed.set()
        self._dispatch()

    async def cancel(self) -> None:
        """Stop at once: what goes on is killed, what waits is dropped, ``as_completed`` ends."""
        self._stop()

    async def close(self) -> None:
        """Leave nothing running. Safe after ``cancel`` and when called twice."""
        if self._endings and self._finished and not self._open and not self._cancelled:
            # Their macros have nothing left to do, and leave sooner than they could be killed and reaped.
            await asyncio.wait(self._endings, timeout=LEAVING_GRACE)
        self._stop()
        if self._endings:
            await asyncio.wait(self._endings)
        if self._calls is not None:
            self._calls.end()
        while self._environments:
            self._pool.release(self._environments.pop())

    def _hold(self, environment: Environment) -> None:
        """Keep an environment there until the end: its child may be let go, and another one be made."""
        if environment not in self._environments:
            self._environments.add(environment)
            self._pool.hold(environment)

    def _stop(self) -> None:
        self._cancelled = True
        self._waiting.clear()
        self._done.clear()
        self._held = 0
        if self._hungry is not None:
            self._hungry.cancel()
            self._hungry = None
        if self._endings:
            self._pool.cancel(self._run_id)
        self._changed.set()

    # -- handing out -------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give waiting chunks to children, in their order as far as each macro goes."""
        if self._cancelled:
            return
        left: deque[_Work] = deque()
        waiting, self._waiting = self._waiting, left
        while waiting:
            work = waiting.popleft()
            if not self._place(work):
                left.append(work)
        if left:
            self._make_room(left[0])
        elif self._finished:
            for child in self._children:
                if not child.session.parts and not child.leaving:
                    self._let_go(child)

    def _place(self, work: _Work) -> bool:
        """Send what is left of a chunk to a child, or answer it; False if it has to wait."""
        macro = work.chunk.macro
        broken = self._broken.get(macro.sha256)
        if broken is not None:
            self._fail_rest(work, broken)
            return True
        own = [child for child in self._children if child.macro.sha256 == macro.sha256 and not child.leaving]
        idle = next((child for child in own if not child.session.parts), None)
        if idle is None and len(own) < self._workers and len(self._children) < self._most_children:
            idle = self._start(macro)
        best = idle or min(own, key=lambda child: len(child.session.parts), default=None)
        if best is None or len(best.session.parts) >= self._in_flight:
            return False
        self._send(best, work)
        return True

    @property
    def _most_children(self) -> int:
        """One slot is always left to people."""
        return max(1, self._pool.size - 1)

    def _send(self, child: _MacroChild, work: _Work) -> None:
        chunk = work.chunk
        self._numbers = self._numbers % 0xFFFF_FFFF + 1
        todo = work.todo
        params, of = chunk.params, chunk.of
        if len(todo) < len(params):
            params = [params[index] for index in todo]
            of = [of[index] for index in todo] if of else of
        try:
            frame = calls_frame(self._numbers, params, chunk.context, chunk.documents, of, work.room)
        except JobRejected as error:
            self._fail_rest(work, RunError(type="parameters", message=str(error)))
            return
        part = Part(self._numbers, len(todo), frame, chunk.wall, work.room)
        child.works.append(work)
        child.session.send(part)

    def _start(self, macro: MacroSource) -> _MacroChild:
        environment = macro.environment or self._environment
        self._hold(environment)
        child = _MacroChild(macro, lambda: self._pool.on_batch(1))
        child.session = BatchSession(lambda _session, part: self._part_done(child, part))
        limits = replace(macro.limits, wall=self._wall)
        job = Job(
            run_id=self._run_id,
            kind=RunKind.RENDER,
            name=macro.path,
            actor=self._actor,
            source=macro.text,
            code=macro.code,
            filename=macro.path,
            sink=child,
            entrypoint=macro.entrypoint,
            shared=macro.shared,
            shared_folder=self._pool.settings.scripts,
            limits=limits,
            profile=Profile(environment=environment, preloads=macro.preloads),
            priority=self._priority,
            queue_wait=LONGEST_BATCH,
            batch=child.session,
            calls=None if self._calls is None else _NotedCalls(self._calls, child.session, self._hashes),
        )
        self._children.append(child)
        try:
            ending = self._pool.submit(job)
        except (JobRejected, QueueFull) as error:
            self._children.remove(child)
            child.refused = RunError(type=Outcome.SANDBOX_UNAVAILABLE, message=str(error))
            self._loop.call_soon(self._refused, child)
            return child
        self._endings.add(ending)
        ending.add_done_callback(lambda done: self._child_ended(child, done))
        return child

    def _make_room(self, work: _Work) -> None:
        """Let a child go for a chunk that no child can take: an idle one at once, a busy one after a while."""
        own = sum(child.macro.sha256 == work.chunk.macro.sha256 for child in self._children)
        if own or len(self._children) < self._most_children:
            return  # one is there, or leaves
        if any(child.leaving for child in self._children):
            return
        idle = next((child for child in self._children if not child.session.parts), None)
        if idle is not None:
            self._let_go(idle)
        elif time.perf_counter() - work.since >= STARVING:
            min(self._children, key=lambda child: len(child.session.parts)).leaving = True
        elif self._hungry is None:
            self._hungry = self._loop.call_later(STARVING, self._look_again)

    def _look_again(self) -> None:
        self._hungry = None
        self._dispatch()

    def _release(self, child: _MacroChild, idle_since: float) -> None:
        """Let a child go that has had nothing to do for a while: another batch may wait for its slot."""
        if child in self._children and not child.session.parts and child.idle_since == idle_since:
            self._let_go(child)

    def _let_go(self, child: _MacroChild) -> None:
        """End a child that has nothing to do."""
        child.leaving = True
        child.session.finish()

    # -- what comes back ---------------------------------------------------------------------------------------------

    def _part_done(self, child: _MacroChild, part: Part) -> None:
        work = child.works.popleft()
        self._answered[child.macro.sha256] = self._answered.get(child.macro.sha256, 0) + part.count
        work.take(part)
        work.output += child.take_output()
        work.isolation = self.isolation = child.isolation
        work.duration += part.ended - part.began
        work.todo = ()
        self._finish_work(work)
        if not child.session.parts:
            child.idle_since = self._loop.time()
            self._loop.call_later(KEPT_IDLE, self._release, child, child.idle_since)
        if self._waiting or child.leaving or self._finished:
            if child.leaving and not child.session.parts:
                child.session.finish()
            self._dispatch()

    def _finish_work(self, work: _Work) -> None:
        """Hand a chunk's result on."""
        self._open -= 1
        result = work.result()
        self._held += result.size
        self._done.append(result)
        self._changed.set()

    def _fail_rest(self, work: _Work, error: RunError) -> None:
        """Answer all that is left of a chunk with an error."""
        for index in work.todo:
            work.errors[index] = error
        work.todo = ()
        self._finish_work(work)

    def _refused(self, child: _MacroChild) -> None:
        """Answer everything of a child that the pool did not take."""
        if child.refused is not None:
            self._broken[child.macro.sha256] = child.refused
        self._lost(child)

    def _child_ended(self, child: _MacroChild, ending: asyncio.Future[Ending]) -> None:
        self._endings.discard(ending)
        if child.has_slot:
            self._pool.on_batch(-1)
        if child in self._children:
            self._children.remove(child)
        if self._cancelled or ending.cancelled():
            self._changed.set()
            return
        self._judge(child, ending.result())

    def _judge(self, child: _MacroChild, ending: Ending) -> None:
        """Answer, or hand on, what a child has left."""
        if not child.works:
            self._dispatch()
            return
        error = ending.error or RunError(type=ending.outcome, message="The macro's process ended.")
        if ending.outcome in (Outcome.CANCELLED, Outcome.INTERRUPTED):
            self.stopped = error
            self._stop()
            return
        work, part = child.works[0], child.session.parts[0]
        work.take(part)
        work.output += child.take_output()
        work.isolation = child.isolation or ending.isolation
        work.duration += time.perf_counter() - part.began if part.began else 0.0
        if _never_called(child.session, part, ending):
            if child.session.overdue:
                message = f"The lines of the macro outside of its function took longer than {part.wall:g} s."
                error = RunError(type=Outcome.TIMEOUT, message=message)
            self._broken[child.macro.sha256] = error
            child.traceback = ending.traceback
        else:
            killed = (
                ending.outcome is Outcome.CRASHED
                and ending.exit_status is None
                and ending.signal in (None, signal.SIGKILL)
            )
            self._blame(child, work, part, error, killed=killed and not work.losses)
        self._lost(child)

    def _blame(self, child: _MacroChild, work: _Work, part: Part, error: RunError, *, killed: bool) -> None:
        """Give the call that went on the error, and decide what of the others is tried again.

        ``killed``: from outside, by what is no fault of the macro, so that this call is tried again, too.
        """
        sha256, overdue = child.macro.sha256, child.session.overdue
        todo, done = list(work.todo), len(part.texts)
        # Where nothing is known of it, the first one without an answer is to blame: each loss takes one at least.
        begun = done + 1 if child.session.begun is None else max(child.session.begun, done)
        work.todo = todo[done:]
        if begun > done and not killed:
            work.todo = todo[done : begun - 1] + todo[begun:]
            if overdue:
                message = f"This call did not end: its chunk took longer than {part.wall:g} s."
                work.errors[todo[begun - 1]] = RunError(type=Outcome.TIMEOUT, message=message)
            else:
                work.errors[todo[begun - 1]] = error
        if overdue:
            message = f"The chunk of calls took longer than {part.wall:g} s; this call had not begun."
            late = RunError(type=Outcome.TIMEOUT, message=message)
            work.errors |= dict.fromkeys(todo[begun:], late)
            work.todo = todo[done : max(begun - 1, done)]
        work.losses += 1
        self._losses[sha256] = losses = self._losses.get(sha256, 0) + 1
        if losses >= MANY_LOSSES and losses * CALLS_PER_LOSS > self._answered.get(sha256, 0):
            message = f"The macro has ended {losses} processes. The last time: {error.message}"
            self._broken[sha256] = RunError(type=error.type, message=message)
        if work.todo and work.losses < MAX_LOSSES:
            return
        child.works.popleft()
        message = f"Not tried again: calls of the same chunk have ended {work.losses} processes. {error.message}"
        self._fail_rest(work, RunError(type=error.type, message=message))

    def _lost(self, child: _MacroChild) -> None:
        """Hand on what a child has not answered."""
        works, child.works = child.works, deque()
        child.session.parts.clear()
        for work in reversed(works):
            work.since = time.perf_counter()
            if child.traceback is not None:
                work.tracebacks |= dict.fromkeys(work.todo, child.traceback)
            self._waiting.appendleft(work)
        self._changed.set()
        self._dispatch()


@dataclass(slots=True, eq=False)
class _Work:
    """A chunk on its way, and what is there of its result."""

    chunk: Chunk
    todo: Sequence[int] = ()
    """Indices of the calls that have no answer, in their order."""
    texts: list[str | None] = field(default_factory=list)
    errors: dict[int, RunError] = field(default_factory=dict)
    tracebacks: dict[int, str] = field(default_factory=dict)
    warnings: dict[int, list[str]] = field(default_factory=dict)
    reads: dict[int, list[Read]] = field(default_factory=dict)
    output: str = ""
    isolation: str = ""
    losses: int = 0
    room: int = MAX_RESULTS
    """Bytes that what is left may return."""
    duration: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.todo = range(len(self.chunk.params))

    def take(self, part: Part) -> None:
        """Take what has come back of a part, which is of ``todo`` from its beginning on."""
        todo = self.todo
        self.room = max(0, self.room - part.size)
        if not self.texts and len(part.texts) == len(self.chunk.params):
            self.texts = part.texts
        else:
            if not self.texts:
                self.texts = [None] * len(self.chunk.params)
            for index, text in zip(todo, part.texts, strict=False):
                self.texts[index] = text
        self.errors |= {todo[at]: error for at, error in part.errors.items()}
        self.tracebacks |= {todo[at]: text for at, text in part.tracebacks.items()}
        self.reads |= {todo[at]: reads for at, reads in part.reads.items()}
        self.warnings |= {todo[at]: told for at, told in part.warnings.items()}

    def result(self) -> ChunkResult:
        count = len(self.chunk.params)
        return ChunkResult(
            number=self.chunk.number,
            texts=self.texts or [None] * count,
            errors=self.errors,
            tracebacks=self.tracebacks,
            warnings=self.warnings,
            reads=self.reads,
            output=_shortened(self.output),
            size=MAX_RESULTS - self.room,
            duration=self.duration,
            isolation=self.isolation,
        )


class _DocumentCall(msgspec.Struct, frozen=True):
    """What is looked at of a call; what answers it looks at all of it."""

    op: str
    params: dict[str, Any] = {}
    of: int = 0
    keep: int = -1
    """The number under which the child will keep the answer, if it stays the same; below 0: it will not."""


class _Answered(msgspec.Struct, frozen=True):
    ok: msgspec.Raw


_asked = msgspec.json.Decoder(_DocumentCall)
_answered = msgspec.json.Decoder(_Answered)


class _NotedCalls:
    """``HostCalls`` of one child. What it is told of the documents is noted with the call that asked."""

    def __init__(self, calls: HostCalls, session: BatchSession, hashes: _Hashes) -> None:
        self._calls = calls
        self._session = session
        self._hashes = hashes
        self._part = 0
        """The number of the part whose questions are noted here."""
        self._noted: dict[int, set[bytes]] = {}
        """Questions, by the calls that asked them."""
        self._sizes: Counter[int] = Counter()

    def call(self, payload: bytes, reply: Reply) -> None:
        asked = None
        if READ_OPERATIONS in payload:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
                asked = _asked.decode(payload)
        if asked is None or not asked.op.startswith("documents."):
            self._calls.call(payload, reply)
        elif not self._session.parts:
            # A handler of a signal, between chunks: nothing would tell what was made of the answer.
            reply(_OUTSIDE, ())
        else:
            self._ask(self._session.parts[0], asked, payload, reply)

    def _ask(self, part: Part, asked: _DocumentCall, payload: bytes, reply: Reply) -> None:
        if part.number != self._part:
            self._part = part.number
            self._noted.clear()
            self._sizes.clear()
        of = min(max(asked.of, 0), part.count - 1)
        noted = self._noted.setdefault(of, set())
        try:
            question = msgspec.json.encode([asked.op, asked.params], order="sorted")
        except RecursionError:
            reply(error("bad_request", "The call is nested too deeply."), ())
            return
        keep = 0 <= asked.keep < KEPT_ANSWERS and len(question) <= 2 * KEPT_QUESTION
        if question in noted and not keep:
            self._calls.call(payload, reply)
            return
        full = len(noted) >= MAX_READS or self._sizes[of] > MAX_READS_SIZE
        if question not in noted and (full or self._sizes.total() > MAX_CHUNK_READS_SIZE):
            reply(_ASKS_TOO_MUCH, ())
            return

        def note(answer: bytes, descriptors: Sequence[int]) -> None:
            if answer.startswith(NEVER_ANSWERED):
                reply(answer, descriptors)
                return
            read = Read(operation=asked.op, params=asked.params, sha256=self._hashes.of(answer))
            if part.number == self._part and question not in noted:
                noted.add(question)
                self._sizes[of] += len(question)
                part.reads.setdefault(of, []).append(read)
            if keep:
                self._session.kept[asked.keep] = read
            reply(answer, descriptors)

        self._calls.call(payload, note)

    def end(self) -> None:
        """Leave the batch's own as it is: other children call by it."""


_OUTSIDE = error("unavailable", "No call of the macro goes on.", "Ask about documents in the macro's function.")
_ASKS_TOO_MUCH = error(
    "too_many",
    f"The macro asks more than {MAX_READS:,} different questions about the documents in one call, or long ones.",
    "Ask once for a list.",
)


class _Hashes:
    """Hashes of answers, by the replies that have them: a tag cloud in every document is told the same each time."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}
        self._size = 0

    def of(self, reply: bytes) -> str:
        """Return the SHA-256 of an answer's canonical JSON; nothing for a refusal."""
        if isinstance(reply, HashedReply):
            return reply.sha256
        known = self._known.get(reply)
        if known is not None:
            return known
        try:
            told = msgspec.json.decode(_answered.decode(reply).ok)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ""
        known = hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()
        if len(self._known) >= MAX_KNOWN or self._size > MAX_KNOWN_SIZE:
            self._known.clear()
            self._size = 0
        self._known[reply] = known
        self._size += len(reply)
        return known


class _MacroChild:
    """One child of a macro, and the sink of its output."""

    session: BatchSession

    def __init__(self, macro: MacroSource, on_slot: Callable[[], None]) -> None:
        """Begin without a process; ``on_slot`` is called when it gets one."""
        self.macro = macro
        self._on_slot = on_slot
        self.has_slot = False
        self.works: deque[_Work] = deque()
        """Whose parts its session has, in the same order."""
        self.leaving = False
        self.idle_since = 0.0
        self.isolation = ""
        self.refused: RunError | None = None
        self.traceback: str | None = None
        """Of what failed before any call."""
        self._output: list[str] = []
        self._output_size = 0

    def take_output(self) -> str:
        """Return what was written since the last time."""
        if not self._output:
            return ""
        text = "".join(self._output)
        if self._output_size > len(text):
            text += f"\n[… {self._output_size - len(text):,} more characters]\n"
        self._output.clear()
        self._output_size = 0
        return text

    def queued(self, position: int, reason: str) -> None: ...

    def started(self, slot: int, pid: int, isolation: str) -> None:  # noqa: ARG002 - RunSink
        self.isolation = isolation
        if not self.has_slot:
            self.has_slot = True
            self._on_slot()

    def output(self, stream: Stream, text: str) -> None:  # noqa: ARG002 - both in their order
        if (room := OUTPUT_KEPT - self._output_size) > 0:
            self._output.append(text[:room])
        self._output_size += len(text)

    def held(self) -> bool:
        return False


def _never_called(session: BatchSession, part: Part, ending: Ending) -> bool:
    """Tell whether no call of a macro will ever begin: its own lines fail, or there is no process for it."""
    if ending.outcome in (Outcome.SCRIPT_ERROR, Outcome.IMPORT_DENIED):
        return True  # it came to an end of its own instead of waiting for calls
    if ending.duration == 0 and ending.outcome in (Outcome.TIMEOUT, Outcome.SANDBOX_UNAVAILABLE, Outcome.MEMORY):
        return True  # it never started
    begun = session.answered or part.texts or session.begun
    left = ending.outcome is Outcome.CRASHED and ending.exit_status != 0
    return not begun and not left


def _shortened(text: str) -> str:
    if len(text) <= OUTPUT_KEPT:
        return text
    return f"{text[:OUTPUT_KEPT]}\n[… {len(text) - OUTPUT_KEPT:,} more characters]\n"
