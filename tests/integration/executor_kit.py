"""Chunks for tests of executors, and what becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.services.macros.executor import Chunk, ChunkResult, Executor, MacroSource
from tests.integration.pool_kit import PATIENCE

PLAIN = "def render(params, context):\n    return f'<{params[\"i\"]}>'"


def macro(text: str, name: str = "under_test", **options: Any) -> MacroSource:
    """A macro of this text, or of what stands in for its function's body if that is indented."""
    if text.startswith(" "):
        text = f"def render(params, context):\n    i = params['i']\n{text}\n    return f'<{{i}}>'"
    data = text.encode()
    given = {"path": f"macros/{name}.py", "sha256": hashlib.sha256(data).hexdigest()} | options
    return MacroSource(name=name, text=data, **given)


def chunk(source: MacroSource | str, count: int = 20, number: int = 0, **options: Any) -> Chunk:
    """A chunk of calls with ``i`` counted up."""
    source = macro(source) if isinstance(source, str) else source
    given: dict[str, Any] = {"params": [{"i": i} for i in range(count)], "wall": 10.0} | options
    return Chunk(number, source, **given)


async def results(executor: Executor, chunks: Iterable[Chunk]) -> dict[int, ChunkResult]:
    """Submit chunks while results are taken, and return these by number."""

    async def submit() -> None:
        for one in chunks:
            await executor.submit(one)
        executor.finish()

    feeding = asyncio.create_task(submit())
    done: dict[int, ChunkResult] = {}
    try:
        async with asyncio.timeout(2 * PATIENCE):
            async for result in executor.as_completed():
                assert result.number not in done, "a chunk was answered twice"
                done[result.number] = result
            await feeding
    finally:
        feeding.cancel()
        await executor.close()
    return done


def texts(count: int = 20, without: Sequence[int] = ()) -> list[str | None]:
    """What chunks of the plain kind return, None for those that fail."""
    return [None if i in without else f"<{i}>" for i in range(count)]


def kinds(result: ChunkResult) -> Mapping[int, str]:
    return {index: error.type for index, error in result.errors.items()}
