"""Runs: started, followed, read with what they left, stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from engine import registry
from engine.api.content import Content
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.api.sse import EventStream, encode
from engine.models import OutputChunk, OutputPage, RunComparison, RunInfo, RunInputs, RunList, RunState
from engine.registry import (
    CompareParams,
    Operation,
    OutputParams,
    ReplayParams,
    RunEventsParams,
    RunFileParams,
    RunListParams,
    RunParams,
    StartParams,
)
from store.state.run_filter import RunFilter

RunItems = AsyncIterator[list[OutputChunk] | RunInfo]


async def start(call: Call) -> RunInfo | EventStream:
    params: StartParams = call.params
    run = await call.engine.runs.start(call.body, call.actor, call.source)
    if not params.follow:
        return run
    return EventStream(_encoded(call.engine.runs.follow(run.id, call.actor)))


async def events(call: Call) -> EventStream:
    params: RunEventsParams = call.params
    runs = call.engine.runs
    # A run that does not exist, or is not the caller's to see, must be an error, not a stream that breaks.
    await runs.get(params.run_id, call.actor)
    return EventStream(_encoded(runs.follow(params.run_id, call.actor, after=params.after)))


async def list_(call: Call) -> RunList:
    params: RunListParams = call.params
    wanted = RunFilter(
        name=params.name,
        part=params.part,
        outcome=params.outcome,
        actor=params.actor,
        since=params.since,
        until=params.until,
    )
    return await call.engine.runs.list(call.actor, limit=params.limit, before=params.before, wanted=wanted)


async def get(call: Call) -> RunInfo:
    params: RunParams = call.params
    return await call.engine.runs.get(params.run_id, call.actor)


async def output(call: Call) -> OutputPage:
    params: OutputParams = call.params
    return await call.engine.runs.output(params.run_id, call.actor, after=params.after, limit=params.limit)


async def file(call: Call) -> Content:
    params: RunFileParams = call.params
    return Content(params.name, await call.engine.runs.file(params.run_id, params.name, call.actor))


async def cancel(call: Call) -> RunInfo:
    params: RunParams = call.params
    return await call.engine.runs.cancel(params.run_id, call.actor)


async def inputs(call: Call) -> RunInputs:
    params: RunParams = call.params
    return await call.engine.run_history.inputs(params.run_id, call.actor)


async def replay(call: Call) -> RunInfo | EventStream:
    params: ReplayParams = call.params
    run = await call.engine.run_history.replay(params.run_id, call.body, call.actor, call.source)
    return EventStream(_encoded(call.engine.runs.follow(run.id, call.actor))) if params.follow else run


async def compare(call: Call) -> RunComparison:
    params: CompareParams = call.params
    return await call.engine.run_history.compare(params.run_id, params.other_id, call.actor)


async def _encoded(items: RunItems) -> AsyncGenerator[bytes, None]:
    async for item in items:
        if not isinstance(item, RunInfo):
            yield encode("output", msgspec.json.encode(item))
        elif item.state is RunState.FINISHED:
            yield encode("finished", msgspec.json.encode(item))
        else:
            yield encode("run", msgspec.json.encode(item))


HANDLERS: dict[Operation, Handler] = {
    registry.RUNS_START: start,
    registry.RUNS_EVENTS: events,
    registry.RUNS_LIST: list_,
    registry.RUNS_GET: get,
    registry.RUNS_OUTPUT: output,
    registry.RUNS_CANCEL: cancel,
    registry.RUNS_FILE: file,
    registry.RUNS_INPUTS: inputs,
    registry.RUNS_REPLAY: replay,
    registry.RUNS_COMPARE: compare,
}
