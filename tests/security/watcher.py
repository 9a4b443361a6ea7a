"""What a run takes of the host while it runs, sampled from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pool_kit import descendants

INTERVAL = 0.04
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Measures:
    """Peaks above what there was at the start.

    Attributes:
        memory: Resident bytes of the tree, shared maps included.
        tasks: Processes and threads of the tree.
        delay: Longest time that this process's event loop was late, in seconds.
    """

    memory: int = 0
    tasks: int = 0
    delay: float = 0.0


@contextlib.asynccontextmanager
async def watch(root: int, *, really: bool) -> AsyncIterator[Measures]:
    """Sample the processes below ``root``, and itself, as long as the body runs."""
    measures = Measures()
    if not really:
        yield measures
        return
    sampling = asyncio.ensure_future(_sample(root, measures))
    try:
        yield measures
    finally:
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling


async def _sample(root: int, measures: Measures) -> None:
    loop = asyncio.get_running_loop()
    base_memory, base_tasks = _taken(root)
    due = loop.time()
    while True:
        memory, tasks = _taken(root)
        measures.memory = max(measures.memory, memory - base_memory)
        measures.tasks = max(measures.tasks, tasks - base_tasks)
        due = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        measures.delay = max(measures.delay, loop.time() - due)


def _taken(root: int) -> tuple[int, int]:
    memory = tasks = 0
    for pid in (root, *descendants(root)):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/statm", "rb") as statm:
                memory += int(statm.read().split()[1]) * PAGE
            tasks += len(os.listdir(f"/proc/{pid}/task"))
    return memory, tasks
