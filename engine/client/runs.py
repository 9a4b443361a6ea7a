"""Calls about runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from engine import registry
from engine.client.answers import EngineUnreachable, decode, encode, read_answer, read_content, unreachable
from engine.client.calls import TRANSFER_TIMEOUT, Calls, Retry
from engine.client.sse_parser import ServerEvent
from engine.models import (
    BufferInfo,
    OutputChunk,
    OutputPage,
    ReplayRequest,
    RunComparison,
    RunInfo,
    RunInputs,
    RunList,
    RunRequest,
)
from engine.registry import Operation

RunEvent = list[OutputChunk] | RunInfo

MAX_FILE = 256 << 20
"""Bytes of a file that a run left: the most that an engine can be told to keep of one run."""


class RunCalls(Calls):
    """Start, follow, stop and read runs."""

    async def start_run(self, request: RunRequest) -> RunInfo:
        return await self.call(registry.RUNS_START, RunInfo, body=request)

    async def get_run(self, run_id: int) -> RunInfo:
        return await self.call(registry.RUNS_GET, RunInfo, registry.RunParams(run_id=run_id))

    async def list_runs(self, limit: int = 50, before: int | None = None, name: str | None = None) -> RunList:
        return await self.find_runs(registry.RunListParams(limit=limit, before=before, name=name))

    async def find_runs(self, wanted: registry.RunListParams) -> RunList:
        """A page of the run history."""
        return await self.call(registry.RUNS_LIST, RunList, wanted)

    async def run_inputs(self, run_id: int) -> RunInputs:
        """What a run was given, and the text that ran."""
        return await self.call(registry.RUNS_INPUTS, RunInputs, registry.RunParams(run_id=run_id))

    async def replay_run(self, run_id: int, request: ReplayRequest) -> RunInfo:
        """Start the same run again; its first record. Refused with code ``not_replayable`` when it is not all kept."""
        return await self.call(registry.RUNS_REPLAY, RunInfo, registry.ReplayParams(run_id=run_id), request)

    async def compare_runs(self, run_id: int, other_id: int) -> RunComparison:
        """Differences of two runs: inputs, text, result, output."""
        params = registry.CompareParams(run_id=run_id, other_id=other_id)
        return await self.call(registry.RUNS_COMPARE, RunComparison, params)

    async def cancel_run(self, run_id: int) -> RunInfo:
        """Stop a run; its final record, also if it had ended before."""
        return await self.call(registry.RUNS_CANCEL, RunInfo, registry.RunParams(run_id=run_id))

    async def run_output(self, run_id: int, after: int = 0, limit: int = 500) -> OutputPage:
        """Up to ``limit`` chunks from chunk ``after`` on."""
        return await self.call(
            registry.RUNS_OUTPUT, OutputPage, registry.OutputParams(run_id=run_id, after=after, limit=limit)
        )

    async def run_file(self, run_id: int, name: str) -> bytes:
        """The content of a file that a run left; ``RunInfo.files`` has their names."""
        operation = registry.RUNS_FILE
        target = operation.target(registry.RunFileParams(run_id=run_id, name=name))
        with unreachable():
            async with (
                asyncio.timeout(TRANSFER_TIMEOUT),
                self.transport.exchange(operation.method, target) as response,
            ):
                return await read_content(response, MAX_FILE)

    async def follow_run(self, run_id: int, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """Output from chunk ``after`` on as it comes and the run's record when it changes; ends after the final one.

        A broken connection is resumed where it broke.
        """
        place = _Place(run_id, after)
        retry = Retry(self.transport)
        while True:
            target = registry.RUNS_EVENTS.target(registry.RunEventsParams(run_id=run_id, after=place.after))
            try:
                async with aclosing(_until_finished(self.stream(registry.RUNS_EVENTS, target), place)) as items:
                    async for item in items:
                        retry.reset()
                        yield item
            except EngineUnreachable as error:
                await retry.pause(error)
            else:
                return

    async def run_and_follow(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Start a run and follow it, in one round trip. The first item is its record."""
        target = registry.RUNS_START.target(registry.StartParams(follow=True))
        async with aclosing(self._follow_from(registry.RUNS_START, target, encode(request))) as items:
            async for item in items:
                yield item

    async def replay_and_follow(self, run_id: int, request: ReplayRequest) -> AsyncGenerator[RunEvent, None]:
        """Like ``replay_run``, followed as by ``run_and_follow``."""
        target = registry.RUNS_REPLAY.target(registry.ReplayParams(run_id=run_id, follow=True))
        async with aclosing(self._follow_from(registry.RUNS_REPLAY, target, encode(request))) as items:
            async for item in items:
                yield item

    async def _follow_from(self, start: Operation, target: str, body: bytes) -> AsyncGenerator[RunEvent, None]:
        place = _Place()
        stream = self.stream(start, target, body)
        try:
            async with aclosing(_until_finished(stream, place)) as items:
                async for item in items:
                    yield item
        except EngineUnreachable:
            if place.run_id is None:
                raise
        else:
            return
        async with aclosing(self.follow_run(place.run_id, place.after)) as items:
            async for item in items:
                yield item

    async def upload(
        self, name: str, chunks: Iterable[bytes] | AsyncIterable[bytes], size: int | None = None
    ) -> BufferInfo:
        """Hand a file's content to the engine. ``size``, if known, must be right to the byte."""
        operation = registry.BUFFERS_CREATE
        target = operation.target(registry.BufferParams(name=name))
        with unreachable():
            async with (
                asyncio.timeout(TRANSFER_TIMEOUT),
                self.transport.upload(operation.method, target, chunks, size) as response,
            ):
                return await read_answer(response, BufferInfo)


@dataclass(slots=True)
class _Place:
    """How far a run was followed."""

    run_id: int | None = None
    after: int = 0

    def reach(self, item: RunEvent) -> None:
        if isinstance(item, RunInfo):
            self.run_id = item.id
        elif item:
            self.after = item[-1].seq + 1


async def _until_finished(stream: AsyncGenerator[ServerEvent, None], place: _Place) -> AsyncGenerator[RunEvent]:
    async with aclosing(stream):
        async for event in stream:
            item: RunEvent = (
                decode(event.data, list[OutputChunk]) if event.type == "output" else decode(event.data, RunInfo)
            )
            place.reach(item)
            yield item
            if event.type == "finished":
                return
