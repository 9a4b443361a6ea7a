"""One request on many gateways at a time: each runs it with its own data, approvals and limits.

What one of them does delays no other: answers are handed out in the order in which they come, and a gateway that cannot
be reached, refuses or is of another version is an answer, too. Cancelling, and the end of a gateway's time, ask each
engine concerned to stop its run and wait a moment for what became of it.

All answers are held until they are compared, so that each gateway has a part of what this process takes; of output that
is longer only its beginning is held, with the hash of the rest: equal answers stay equal, and others different ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from engine.client.answers import UNKNOWN_OPERATION, EngineError, EngineUnreachable, UnusableAnswer
from engine.client.client import EngineClient
from engine.client.gateways import Gateway
from engine.client.runs import RunEvent
from engine.client.starter import LaunchError
from engine.client.target import REFUSED, OtherVersion, Target
from engine.models.runs import Outcome, RunInfo, RunRequest, RunState, Stream
from engine.registry.runs import RUNS_CANCEL, RunParams

AT_A_TIME = 64
"""Gateways that are asked at the same time, if the process may have as many descriptors."""

OWN_DESCRIPTORS, DESCRIPTORS = 32, 4
"""Descriptors of the process itself, and of each gateway at the most."""

HELD_TEXT, LEAST_TEXT = 128 << 20, 1 << 20
"""Bytes of a stream of all gateways that are held, and those of one gateway at the least."""

HELD_RECORDS, LEAST_RECORD = 256 << 20, 4 << 20
"""Bytes of the records of all gateways that are taken, their results included, and those of one at the least."""

LINE_PATIENCE, LINE_PAUSE = 60.0, 0.5
"""Seconds for which the line to a gateway may be down while its run goes on, and between two tries."""

STOP_PATIENCE = 10.0
"""Seconds in which a gateway that is told to stop a run must have said what became of it."""

UNREACHABLE = 3
"""What ``LaunchError.exit_code`` is where an engine does not answer, now."""

Prepare = Callable[[EngineClient], Awaitable[RunRequest]]
Finished = Callable[[EngineClient, Gateway, RunInfo], Awaitable[None]]


class FailureKind(StrEnum):
    """Why there is no run that came to an end, in words for people."""

    AWAY = "not reachable"
    NOT_SET_UP = "not set up"
    """What the user's file says of it cannot be used: no token, no such project."""
    REFUSED = "refused"
    OTHER_VERSION = "other version"
    LATE = "no answer in time"
    UNUSABLE = "no usable answer"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a gateway gave no answer.

    Attributes:
        kind: For grouping.
        message: One sentence.
        hint: What to do.
        code: Of the engine's error, or ``unreachable``, ``usage``, ``forbidden``, ``other_version``, ``late``,
            ``unusable``, ``lost``, ``cancelled``.
        status: Of HTTP, if the engine itself refused.
        exit_code: What a command for this gateway alone would end with, where that is known here.
    """

    kind: FailureKind
    message: str
    hint: str | None = None
    code: str = "unreachable"
    status: int | None = None
    exit_code: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the request on one gateway: its run, finished, or why there is none.

    Attributes:
        seconds: From the beginning of all to this answer.
        run: With what it wrote to its standard output and error.
        run_id: Of a run that began, also where its end is not known.
    """

    gateway: str
    seconds: float
    run: RunInfo | None = None
    failure: Failure | None = None
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A gateway whose answer is still to come.

    Attributes:
        run: As it was heard of last; None before the engine named it.
        line_down: Its engine went away, and is tried again.
    """

    gateway: str
    run: RunInfo | None
    line_down: bool = False


class _Held:
    """What a run wrote to one of its streams: its beginning, and of what there is no room for its hash.

    Args:
        room: Bytes of UTF-8 that are held.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._pieces: list[str] = []
        self._hash = hashlib.sha256()
        self.left_out = 0
        """Bytes."""

    def add(self, text: str) -> None:
        """Take what comes next."""
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > self._room:  # from its first character on that does not fit, whatever the pieces are
            text = data[: self._room].decode("utf-8", "ignore")
            rest = data[len(text.encode()) :]
            self.left_out += len(rest)
            self._hash.update(rest)
            self._room = 0
        else:
            self._room -= len(data)
        if text:
            self._pieces.append(text)

    def text(self) -> str | None:
        """Return what is held, and in the place of the rest a line that is the same for the same rest."""
        text = "".join(self._pieces)
        if self.left_out:
            text += f"\n[{self.left_out:,} bytes more, SHA-256 {self._hash.hexdigest()}]\n"
        return text or None


@dataclass(slots=True)
class _Member:
    """A gateway while its answer is awaited."""

    gateway: Gateway
    texts: dict[Stream, _Held]
    client: EngineClient | None = None
    asked: bool = False
    """The engine was asked to start the run."""
    record: RunInfo | None = None
    next_chunk: int = 0
    heard: int = 0
    """How many events came that told something new."""
    named: asyncio.Event = field(default_factory=asyncio.Event)
    """The engine gave the run a number."""
    line_down: bool = False
    """Its engine went away, and is tried again."""

    def take(self, event: RunEvent) -> None:
        if not isinstance(event, RunInfo) or event != self.record:
            self.heard += 1
        if isinstance(event, RunInfo):
            self.record = event
            self.named.set()
            return
        for chunk in event:
            self.texts[chunk.stream].add(chunk.text)
            self.next_chunk = chunk.seq + 1

    @property
    def finished(self) -> bool:
        return self.record is not None and self.record.state is RunState.FINISHED

    def run(self) -> RunInfo | None:
        """Return the record with what it wrote, which is not held here any longer."""
        if self.record is None:
            return None
        output, errors = (self.texts[stream].text() for stream in (Stream.STDOUT, Stream.STDERR))
        record = msgspec.structs.replace(self.record, output=output, stderr=errors)
        cut = any(held.left_out for held in self.texts.values())
        self.texts.clear()  # the answer has it now, and once is enough
        if not cut:
            return record
        told = (
            "Only the beginning of what it wrote is here, since so much of many gateways is not held at once: "
            "gatewright --gateway NAME runs output ID prints all of it."
        )
        return msgspec.structs.replace(
            record, output_complete=False, note=told if record.note is None else f"{record.note} {told}"
        )


class FleetRun:
    """The same request on several gateways.

    Args:
        gateways: Whose engines are asked, at the same time.
        prepare: Uploads what the run needs to a connected engine and returns the request for it.
        client: What runs started here are recorded with.
        limit: Seconds that each gateway has for its answer; then its run is cancelled. None: as long as it takes.
        finished: Told of each run that has ended, while its engine is still connected.
        target: How a gateway is reached; else without becoming another account, since that is for good.
        patience: Seconds for which a line may be down while a run goes on; None: ``LINE_PATIENCE``.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        prepare: Prepare,
        client: str,
        *,
        limit: float | None = None,
        finished: Finished | None = None,
        target: Callable[[Gateway], Target] = lambda gateway: gateway.target(become=False),
        patience: float | None = None,
    ) -> None:
        room = max(HELD_TEXT // max(1, len(gateways)), LEAST_TEXT)
        self._members = [_Member(gateway, {stream: _Held(room) for stream in Stream}) for gateway in gateways]
        self._max_record = max(HELD_RECORDS // max(1, len(gateways)), LEAST_RECORD)
        self._prepare = prepare
        self._client = client
        self._limit = limit
        self._finished = finished
        self._target = target
        self._patience = LINE_PATIENCE if patience is None else patience
        self._stopping = asyncio.Event()
        self._free = asyncio.Semaphore(_at_a_time())
        self._began = 0.0
        self.waiting: list[str] = [gateway.name for gateway in gateways]
        """The gateways whose answers are still to come."""
        self.on_change: Callable[[], None] | None = None
        """Called when one of these is in another state than before, as ``pending`` has it."""

    def cancel(self) -> None:
        """Stop it everywhere: runs that go on are cancelled, others do not begin. The answers still come, soon."""
        self._stopping.set()

    @property
    def running(self) -> dict[str, int]:
        """The numbers of the runs that go on, by gateway."""
        return {
            member.gateway.name: member.record.id
            for member in self._members
            if member.record is not None and not member.finished and member.gateway.name in self.waiting
        }

    def pending(self) -> list[Pending]:
        """Return how far each gateway is whose answer is still to come."""
        waiting = set(self.waiting)
        return [
            Pending(member.gateway.name, member.record, member.line_down)
            for member in self._members
            if member.gateway.name in waiting
        ]

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    async def answers(self) -> AsyncIterator[Answer]:
        """Yield each gateway's answer as it comes. Closing this early leaves runs that began to their engines."""
        self._began = time.monotonic()
        tasks = [asyncio.create_task(self._answer(member)) for member in self._members]
        try:
            for following in asyncio.as_completed(tasks):
                answer = await following
                self.waiting.remove(answer.gateway)
                yield answer
        except Exception:  # of ``prepare`` or ``finished``: what began elsewhere is not left to itself
            self.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, member: _Member) -> Answer:
        async with self._free:
            failure = _CANCELLED if self._stopping.is_set() else await self._outcome(member)
        seconds = time.monotonic() - self._began
        run_id = None if member.record is None else member.record.id
        if failure is None:
            return Answer(member.gateway.name, seconds, member.run(), run_id=run_id)
        return Answer(member.gateway.name, seconds, failure=failure, run_id=run_id)

    async def _outcome(self, member: _Member) -> Failure | None:
        """Do it on one gateway, and return why there is no finished run; None if there is one."""
        work = asyncio.create_task(self._work(member))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, timeout=self._limit, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                late = not stop.done()
                failure = await self._stopped(member, work, late=late)
                if failure is not None:
                    return failure
            return _failure_of(work, member) if work.done() else None
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)

    async def _stopped(self, member: _Member, work: asyncio.Task[None], *, late: bool) -> Failure | None:
        """Stop what goes on there; None where the run came to an end of its own before that could be done."""
        kind, code, exit_code = _LATE if late else _STOPPED
        why = f"It had not answered after {self._limit:g} s" if late else "It was cancelled"
        if not member.asked:
            return Failure(kind, f"{why}; nothing was run.", None, code, exit_code=exit_code)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_PATIENCE):
                named = asyncio.create_task(member.named.wait())
                try:
                    await asyncio.wait({work, named}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    named.cancel()
                if member.record is not None and not member.finished and member.client is not None:
                    with contextlib.suppress(EngineError, EngineUnreachable):  # it ended meanwhile: work hears how
                        await member.client.call(RUNS_CANCEL, RunParams(run_id=member.record.id))
                await asyncio.wait({work})
        if member.finished and member.record is not None:
            if not late or member.record.outcome is not Outcome.CANCELLED:
                return None
            return Failure(kind, f"{why}; run {member.record.id} was cancelled.", None, code, exit_code=exit_code)
        if work.done():
            return None
        run = "the run" if member.record is None else f"run {member.record.id}"
        sentence = f"{why}, and does not say whether {run} was stopped."
        return Failure(kind, sentence, _look(member.gateway), code, exit_code=exit_code)

    async def _work(self, member: _Member) -> None:
        """Start the run and follow it to its end, over as many connections as that takes.

        Raises:
            LaunchError, EngineError, EngineUnreachable: As for one gateway.
        """
        target = self._target(member.gateway)
        member.client = client = await target.connect(self._client)
        client.max_record = min(client.max_record, self._max_record)
        try:
            request = await self._prepare(client)
            member.asked = True
            await self._take(member, client.run_and_follow(request, kept=True))
            deadline, heard = time.monotonic() + self._patience, member.heard
            if not member.finished:
                member.line_down = True
                self._changed()
            while member.record is not None and not member.finished:
                following = await self._again(member.gateway, target, member.record.id, deadline)
                if following is not None:
                    await client.close()
                    member.client = client = following
                    client.max_record = min(client.max_record, self._max_record)
                    number, after = member.record.id, member.next_chunk
                    await self._take(member, client.follow_run(number, after, known=True, kept=True))
                if member.heard != heard:  # the next time that the line drops is another one
                    deadline, heard = time.monotonic() + self._patience, member.heard
            if self._finished is not None and member.record is not None:
                await self._finished(client, member.gateway, member.record)
        finally:
            await client.close()

    async def _take(self, member: _Member, events: AsyncGenerator[RunEvent, None]) -> None:
        """Take what comes, to its end or until the line drops.

        Raises:
            EngineUnreachable: The engine never named the run, or what it says is of no use.
        """
        try:
            async with aclosing(events) as items:
                async for item in items:
                    member.take(item)
                    member.line_down = False
                    self._changed()
        except EngineUnreachable as error:
            if member.record is None or isinstance(error, UnusableAnswer):
                raise

    async def _again(self, gateway: Gateway, target: Target, number: int, deadline: float) -> EngineClient | None:
        """Connect to the engine that answers now: that of the run, or the one that came after it. None: not yet.

        Raises:
            _Lost: It did not answer in time.
            LaunchError: It refuses.
        """
        if time.monotonic() > deadline:
            raise _Lost(f"It went away while run {number} went on.", _look(gateway))
        try:
            return await target.connect(self._client)
        except LaunchError as error:
            if error.exit_code != UNREACHABLE:
                raise
            if time.monotonic() > deadline:
                raise _Lost(f"It went away while run {number} went on: {error.message}", _look(gateway)) from None
        await asyncio.sleep(LINE_PAUSE)
        return None


def _at_a_time() -> int:
    """Return how many gateways are asked at the same time under this process's limit of descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return AT_A_TIME
    return max(1, min(AT_A_TIME, (soft - OWN_DESCRIPTORS) // DESCRIPTORS))


class _Lost(EngineUnreachable):
    """A run began, and nothing tells how it ended."""


_STOPPED = (FailureKind.CANCELLED, "cancelled", 130)
_LATE = (FailureKind.LATE, "late", 124)
_CANCELLED = Failure(FailureKind.CANCELLED, "It was cancelled; nothing was run.", None, "cancelled", exit_code=130)


def _failure_of(work: asyncio.Task[None], member: _Member) -> Failure | None:
    """Return why the work came to no finished run; None if it did. What is no failure of a gateway is raised."""
    try:
        work.result()
    except UnusableAnswer as error:
        if member.record is None:
            return failure_of(error)
        return Failure(FailureKind.UNUSABLE, error.message, _look(member.gateway), "unusable")
    except (LaunchError, EngineError, EngineUnreachable) as error:
        return failure_of(error)
    return None


def failure_of(error: LaunchError | EngineError | EngineUnreachable) -> Failure:
    """Return what an engine that was not reached, or refused, means for one gateway."""
    message, hint = error.message, error.hint
    if isinstance(error, OtherVersion):
        return Failure(FailureKind.OTHER_VERSION, message, hint, "other_version")
    if isinstance(error, LaunchError):
        if error.exit_code == REFUSED:
            return Failure(FailureKind.REFUSED, message, hint, "forbidden", exit_code=REFUSED)
        if error.exit_code != UNREACHABLE:
            return Failure(FailureKind.NOT_SET_UP, message, hint, "usage", exit_code=error.exit_code)
        return Failure(FailureKind.AWAY, message, hint)
    if isinstance(error, EngineError) and error.code == "run_lost":
        return Failure(FailureKind.LOST, message, hint, "lost")
    if isinstance(error, EngineError):
        kind = FailureKind.OTHER_VERSION if error.code in UNKNOWN_OPERATION else FailureKind.REFUSED
        return Failure(kind, message, hint, error.code, error.status, REFUSED)
    if isinstance(error, UnusableAnswer):
        return Failure(FailureKind.UNUSABLE, message, hint, "unusable")
    if isinstance(error, _Lost):
        return Failure(FailureKind.LOST, message, hint, "lost")
    return Failure(FailureKind.AWAY, message, hint)


def _look(gateway: Gateway) -> str:
    return f"Look there: gatewright --gateway {gateway.name} runs list"
