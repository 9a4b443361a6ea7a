"""``Engine.render_many``: calls of one macro's text, for programs that use the engine as a library."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.models.runs import Outcome, RunError
from engine.pool.pool import Pool
from engine.services.access import Actor
from engine.services.macros.executor import LONGEST, SHORTEST, Chunk, ChunkResult, MacroSource
from engine.services.macros.local import LocalExecutor
from engine.services.runs.service import RunService

FIRST = 64
"""Calls of the first chunk, before it is known how long they take."""

MOST = 512
"""Calls of a chunk: with several in flight, one is taken apart while others are made."""

MOST_TEXT = 4 << 20
"""Bytes that the texts of a chunk should have together."""

DEFAULT_TIMEOUT = 24 * 3600.0
PATH = "<render>"


class CallFailed(Exception):
    """A call of ``render_many`` has no text.

    Attributes:
        index: Of the call.
        error: Why.
        traceback: Of the macro's exception, if it is one.
    """

    def __init__(self, index: int, error: RunError, traceback: str | None) -> None:
        place = f" (line {error.line})" if error.line else ""
        super().__init__(f"Call {index} failed: {error.type}: {error.message}{place}")
        self.index = index
        self.error = error
        self.traceback = traceback


@dataclass(slots=True)
class _Cut:
    """How many calls make a chunk, by the time that the last one took."""

    calls: int = FIRST

    def learn(self, result: ChunkResult) -> None:
        took = result.duration
        if took < SHORTEST:
            self.calls = min(2 * self.calls, MOST)
        elif took > LONGEST:
            self.calls = max(1, int(self.calls * LONGEST / took))
        self.calls = max(1, min(self.calls, MOST_TEXT * len(result.texts) // max(1, result.size)))


async def render_many(
    runs: RunService,
    pool: Pool,
    actor: Actor,
    source: str | bytes,
    params: Sequence[Mapping[str, Any]],
    context: Mapping[str, Any],
    workers: int,
    timeout: float | None,  # noqa: ASYNC109 - of all calls together
) -> list[str]:
    """Call ``render(params, context)`` of a text for each of ``params``, and return what it returns, in their order.

    All of it is one run on record, without the texts.

    Raises:
        CallFailed: A call failed; those after it may not have been made.
        asyncio.CancelledError: The caller was cancelled: nothing goes on any longer.
    """
    data = source.encode() if isinstance(source, str) else source
    sha256 = hashlib.sha256(data).hexdigest()
    macro = MacroSource("render", PATH, data, sha256, limits=pool.settings.limits)
    stopped = asyncio.Event()
    run = await runs.begin_batch(
        PATH,
        actor,
        "library",
        code_sha256=sha256,
        shared=(),
        timeout=timeout or DEFAULT_TIMEOUT,
        stop=stopped.set,
    )
    executor = LocalExecutor(pool, run_id=run.info.id, actor=actor.name, workers=workers, wall=timeout)
    outcome, error, isolation = Outcome.INTERRUPTED, None, ""
    try:
        texts = await _texts(executor, macro, params, context, stopped)
        outcome = Outcome.OK
    except CallFailed as failed:
        outcome = Outcome.CANCELLED if failed.error.type == Outcome.CANCELLED else Outcome.SCRIPT_ERROR
        error = failed.error
        raise
    except asyncio.CancelledError:
        outcome = Outcome.CANCELLED
        raise
    finally:
        isolation = executor.isolation
        await executor.close()
        runs.end_batch(run, outcome, f"{len(params):,} calls of render.", error, isolation)
    return texts


async def _texts(
    executor: LocalExecutor,
    macro: MacroSource,
    params: Sequence[Mapping[str, Any]],
    context: Mapping[str, Any],
    stopped: asyncio.Event,
) -> list[str]:
    cut = _Cut()
    starts: list[int] = []

    def chunks() -> Iterator[Chunk]:
        start = 0
        while start < len(params):
            end = min(start + cut.calls, len(params))
            starts.append(start)
            yield Chunk(len(starts) - 1, macro, params[start:end], context, wall=macro.limits.wall)
            start = end

    async def cancel() -> None:
        await stopped.wait()
        await executor.cancel()

    feeding, cancelling = asyncio.create_task(_fed(executor, chunks())), asyncio.create_task(cancel())
    texts: list[str | None] = [None] * len(params)
    done = 0
    try:
        async for result in executor.as_completed():
            start = starts[result.number]
            for index in sorted(result.errors):
                raise CallFailed(start + index, result.errors[index], result.tracebacks.get(index))
            texts[start : start + len(result.texts)] = result.texts
            done += len(result.texts)
            cut.learn(result)
    finally:
        for task in (feeding, cancelling):
            task.cancel()
        await asyncio.wait((feeding, cancelling))
    if not feeding.cancelled() and (failed := feeding.exception()) is not None:
        raise failed
    if done < len(params):
        error = executor.stopped or RunError(type=Outcome.CANCELLED, message="The run was cancelled.")
        raise CallFailed(next(index for index, text in enumerate(texts) if text is None), error, None)
    return texts  # type: ignore[return-value]


async def _fed(executor: LocalExecutor, chunks: Iterator[Chunk]) -> None:
    try:
        for chunk in chunks:
            await executor.submit(chunk)
    except Exception:
        await executor.cancel()  # no result of the rest would ever come
        raise
    executor.finish()
