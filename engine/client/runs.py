"""Runs, started and followed over connections that may break, and files uploaded for them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from engine.client.answers import (
    EngineError,
    EngineUnreachable,
    UnusableAnswer,
    decode,
    read_answer,
    read_content,
    unreachable,
)
from engine.client.calls import SILENCE_TIMEOUT, Calls, Retry
from engine.client.sse_parser import MAX_EVENT, ServerEvent
from engine.client.transport import IN_ANSWER, EngineLostError
from engine.models.base import Model
from engine.models.runs import BufferInfo, OutputChunk, ReplayRequest, RunInfo, RunRequest, RunState, Stream
from engine.registry.operation import TRANSFER_TIMEOUT, Operation
from engine.registry.runs import (
    BUFFERS_CREATE,
    RUNS_BUFFER,
    RUNS_CANCEL,
    RUNS_EVENTS,
    RUNS_REPLAY,
    RUNS_START,
    BufferParams,
    ReplayParams,
    RunBufferParams,
    RunEventsParams,
    RunParams,
    StartParams,
)

F = TypeVar("F", StartParams, ReplayParams)

RunEvent = list[OutputChunk] | RunInfo

MAX_REFUSAL = 1 << 20
"""Bytes of an answer that says why there is no other."""


class RunCalls(Calls):
    """Start and follow runs, and hand files to them.

    Attributes:
        max_record: Bytes of a run's record, its result included, that are taken.
    """

    max_record = MAX_EVENT

    async def follow_run(
        self, run_id: int, after: int = 0, *, known: bool = False, kept: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """Output from chunk ``after`` on as it comes and the run's record when it changes; ends after the final one.

        A broken connection is resumed where it broke.

        Args:
            run_id: Its number.
            after: How many chunks were heard before.
            known: An engine told of it before: one that knows no such run is another, and the run is lost.
            kept: Only what is kept of the output, at the end.

        Raises:
            EngineError: ``no_run``, or ``run_lost`` where it was known.
        """
        place = _Place(run_id, after, known=known)
        retry = Retry(self.transport)
        last: RunEvent | None = None
        while True:
            stream = self.stream(RUNS_EVENTS, RunEventsParams(run_id=run_id, after=place.after, kept=kept))
            try:
                async with aclosing(_until_finished(stream, place, self.max_record)) as items:
                    async for item in items:
                        if item != last:  # each connection begins with the record: that alone is no progress
                            retry.reset()
                        last = item
                        yield item
            except UnusableAnswer:
                raise
            except EngineUnreachable as error:
                await retry.pause(error)
            except EngineError as error:
                if error.code == "no_run" and place.known:
                    raise _run_lost(run_id) from None
                raise
            else:
                return

    async def run_and_wait(self, request: RunRequest, wait: float) -> RunInfo:
        """Run to the end, in one call: the final record with the output, or after ``wait`` seconds the record so far.

        A cancelled call cancels the run.

        Raises:
            EngineError: The engine refuses it; ``busy`` when no slot was free in time.
            EngineUnreachable: There is no engine, or it went away: whether the run began is not known.
        """
        patient = dataclasses.replace(RUNS_START, patience=wait + RUNS_START.patience)
        return await self.call(patient, StartParams(wait=wait), request)

    async def run_and_follow(self, request: RunRequest, *, kept: bool = False) -> AsyncGenerator[RunEvent, None]:
        """Start a run and follow it, in one round trip. The first item is its record.

        ``kept``: only what is kept of its output, at its end.

        Raises:
            EngineError: The engine refuses it; ``run_lost`` when it went away before it had recorded the run.
            EngineUnreachable: There is no engine, or it went away; without an item before, the run has no number.
        """
        async with aclosing(self._follow_from(RUNS_START, StartParams(follow=True, kept=kept), request)) as items:
            async for item in items:
                yield item

    async def run_to_end(self, request: RunRequest) -> RunInfo:
        """Start a run and return its record, with what it wrote, when it has ended. Cancelling this cancels the run.

        A line that drops meanwhile does not: the run goes on and is followed again.

        Raises:
            EngineError: The engine refuses it.
            EngineUnreachable: There is no engine, or it went away for good.
        """
        record: RunInfo | None = None
        texts: dict[Stream, list[str]] = {stream: [] for stream in Stream}
        try:
            async with aclosing(self.run_and_follow(request, kept=True)) as items:
                async for item in items:
                    if isinstance(item, RunInfo):
                        record = item
                    else:
                        for chunk in item:
                            texts[chunk.stream].append(chunk.text)
        except asyncio.CancelledError:
            if record is not None and record.state is not RunState.FINISHED:
                with suppress(EngineError, EngineUnreachable):
                    await asyncio.shield(self.call(RUNS_CANCEL, RunParams(run_id=record.id)))
            raise
        if record is None:
            raise EngineUnreachable(IN_ANSWER)
        output, errors = ("".join(texts[stream]) or None for stream in (Stream.STDOUT, Stream.STDERR))
        return msgspec.structs.replace(record, output=output, stderr=errors)

    async def replay_and_follow(
        self, run_id: int, request: ReplayRequest, *, kept: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """Start the same run again and follow it, as ``run_and_follow`` does.

        Raises:
            EngineError: ``not_replayable`` when not all that it was given is kept.
        """
        params = ReplayParams(run_id=run_id, follow=True, kept=kept)
        async with aclosing(self._follow_from(RUNS_REPLAY, params, request)) as items:
            async for item in items:
                yield item

    async def _follow_from(
        self, start: Operation[RunInfo, F, Any], params: F, body: Model
    ) -> AsyncGenerator[RunEvent, None]:
        place = _Place()
        stream = self.stream(start, params, body)
        try:
            async with aclosing(_until_finished(stream, place, self.max_record)) as items:
                async for item in items:
                    yield item
        except UnusableAnswer:
            raise
        except EngineUnreachable as error:
            if place.run_id is None:
                raise _unnamed(error) from error.__cause__
        else:
            return
        async with aclosing(self.follow_run(place.run_id, place.after, known=True, kept=params.kept)) as items:
            async for item in items:
                yield item

    async def upload(
        self, name: str, chunks: Iterable[bytes] | AsyncIterable[bytes], size: int | None = None
    ) -> BufferInfo:
        """Hand a file's content to the engine. ``size``, if known, must be right to the byte."""
        operation = BUFFERS_CREATE
        target = operation.target(BufferParams(name=name))
        with unreachable(harmless=True, when_silent=self.transport.when_silent):
            async with (
                asyncio.timeout(TRANSFER_TIMEOUT),
                self.transport.upload(operation.method, target, chunks, size) as response,
            ):
                return await read_answer(response, BufferInfo)

    async def download_buffer(self, run_id: int, name: str) -> AsyncGenerator[bytes, None]:
        """Yield what a run left in a buffer, piece by piece: it may be larger than a client wants to hold.

        Raises:
            EngineError: The engine holds no such buffer, or no longer.
            EngineUnreachable: There is no engine, or the answer broke off: it is not complete then.
        """
        target = RUNS_BUFFER.target(RunBufferParams(run_id=run_id, name=name))
        with unreachable(harmless=True, when_silent=self.transport.when_silent):
            async with self.transport.exchange(RUNS_BUFFER.method, target) as response:
                if response.status >= 400:
                    await read_content(response, MAX_REFUSAL)
                chunks = response.chunks()
                while True:
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        return
                    yield chunk


@dataclass(slots=True)
class _Place:
    """How far a run was followed."""

    run_id: int | None = None
    after: int = 0
    known: bool = False
    """An engine has told of it."""

    def reach(self, item: RunEvent) -> None:
        self.known = True
        if isinstance(item, RunInfo):
            self.run_id = item.id
        elif item:
            self.after = item[-1].seq + 1


def _run_lost(run_id: int) -> EngineError:
    sentence = f"The engine ended before it had recorded run {run_id}: how far that came is not known."
    return EngineError("run_lost", sentence, None, 404)


def _unnamed(error: EngineUnreachable) -> EngineUnreachable:
    """What to say of a run whose start was asked for and never answered."""
    if not isinstance(error.__cause__, EngineLostError):
        return error
    sentence = "The engine went away before it had given the run a number: whether it began is not known."
    return EngineUnreachable(sentence, "Look at the list of runs before you start it again.")


async def _until_finished(
    stream: AsyncGenerator[ServerEvent, None], place: _Place, max_record: int
) -> AsyncGenerator[RunEvent]:
    async with aclosing(stream):
        async for event in stream:
            item: RunEvent
            if event.type == "output":
                item = decode(event.data, list[OutputChunk])
            elif len(event.data) > max_record:
                raise UnusableAnswer(f"Its record is larger than the {max_record >> 10:,} KiB that are taken here.")
            else:
                item = decode(event.data, RunInfo)
            place.reach(item)
            yield item
            if event.type == "finished":
                if isinstance(item, RunInfo) and item.state is not RunState.FINISHED:
                    raise UnusableAnswer("The engine says that the run has ended, and that it goes on.")
                return
