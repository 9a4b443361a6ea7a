"""What a call of a macro costs in a batch: the full sandbox beside a bare worker with pipe and pickle, round by round.

    python tests/bench/render_bench.py [--quick] [--realtime] [--json FILE]

10,000 calls of a macro that makes some 200 bytes of a text, an int and a float; parameters in, texts out, each result
checked. "over" is the time of a call above that of the same function in a plain loop, median and best of the rounds.
The ways take turns within each round. "batch" is an executor whose child waits already, as in the middle of a batch;
"render_many" is the library's call from nothing: record, process, compiling, texts, end. Beside them the processor time
of engine and child per call, which a busy machine changes less. With ``--realtime``, for root, everything measured goes
ahead of what else the machine does (sched(7), SCHED_FIFO). Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from engine import Engine
from engine.models.macros import SourceDocument
from engine.services.documents.collection import DocumentCollection
from engine.services.macros.executor import Chunk, MacroSource
from engine.services.macros.local import LocalExecutor
from engine.services.macros.tree import DocumentTree, TreeCalls

CALLS = 10_000
SIZES = (16, 64, 256, 512, 1000)
MACRO = """
def render(params, context):
    name, count, value = params["name"], params["count"], params["value"]
    return (
        f'<div class="reading" data-count="{count}"><span class="label">{name}</span>'
        f'<span class="value">{value:.2f}</span><span class="unit">bar</span>'
        '<em class="state">within its limits</em><small>of today, every second</small></div>'
    )
"""

WORKER = """
import pickle, struct, sys
read, write = sys.stdin.buffer, sys.stdout.buffer
namespace = {}
exec(pickle.loads(read.read(struct.unpack("<I", read.read(4))[0])), namespace)
render = namespace["render"]
while head := read.read(4):
    params = pickle.loads(read.read(struct.unpack("<I", head)[0]))
    data = pickle.dumps([render(one, {}) for one in params], 5)
    write.write(struct.pack("<I", len(data)) + data)
    write.flush()
"""

ASKING = """
import gatewright
def render(params, context):
    return " ".join([f"{one.name}={one.count}" for one in gatewright.documents.tags()]) + f" {params['count']}"
"""
"""What a tag cloud in every document does, without its HTML."""

TAGS = 30

PARAMS = [{"name": f"Pump {number} pressure", "count": number, "value": number * 0.37} for number in range(CALLS)]


@dataclass
class Row:
    """One way to make the calls, over all rounds: seconds of all calls, and of processors."""

    name: str
    seconds: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    child: list[float] = field(default_factory=list)


class BareWorker:
    """A process that reads pickles and answers with pickles: no sandbox, no limits, trusted."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._send(MACRO)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        data = pickle.dumps(value, 5)
        self._process.stdin.write(struct.pack("<I", len(data)) + data)
        self._process.stdin.flush()

    def render(self, params: Sequence[Any]) -> list[str]:
        assert self._process.stdout is not None
        self._send(params)
        (size,) = struct.unpack("<I", self._process.stdout.read(4))
        texts: list[str] = pickle.loads(self._process.stdout.read(size))
        return texts

    def close(self) -> None:
        self._process.communicate()


def processor_time(pid: int) -> float:
    """Seconds that a process has been on a processor (proc_pid_schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class Bench:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        namespace: dict[str, Any] = {}
        exec(MACRO, namespace)
        self._render = namespace["render"]
        self.wanted: list[str] = [self._render(one, {}) for one in PARAMS]
        self._bare = BareWorker()
        data = MACRO.encode()
        self._macro = MacroSource("reading", "macros/reading.py", data, hashlib.sha256(data).hexdigest())
        self.rows = {"loop": Row("the function in a loop")}
        for size in (16, 1000):
            self.rows[f"bare {size}"] = Row(f"bare worker, pickle, chunks of {size}")
        for size in SIZES:
            self.rows[f"batch {size}"] = Row(f"batch, full sandbox, chunks of {size}")
        self._counts = json.dumps({"tags": [{"name": f"tag{number:02}", "count": 1} for number in range(TAGS)]})
        self._answers = [f"{self._asked()} {number}" for number in range(CALLS)]
        self.rows["asked loop"] = Row("asking for tags: decoding the answer in a loop")
        self.rows["asked"] = Row("asking for tags: batch, chunks of 256")
        self.rows["many"] = Row("render_many, from nothing to the end")
        self.rows["many soon"] = Row("render_many with a timeout of 20 s")
        self.rows["many 2"] = Row("render_many, 2 workers")

    async def round(self) -> None:
        self._note("loop", lambda: [self._render(one, {}) for one in PARAMS], 0)
        for size in (16, 1000):
            self._note(f"bare {size}", lambda size=size: self._of_bare(size), self._bare.pid)  # type: ignore[misc]
        for size in SIZES:
            await self._batch(size)
        await self._asking()
        for key, options in (("many", {}), ("many soon", {"timeout": 20.0}), ("many 2", {"workers": 2})):
            work = partial(self._engine.render_many, MACRO, PARAMS, **options)  # type: ignore[arg-type]
            await self._measure(key, work, 0)

    def _of_bare(self, size: int) -> list[str]:
        texts: list[str] = []
        for start in range(0, CALLS, size):
            texts += self._bare.render(PARAMS[start : start + size])
        return texts

    async def _batch(self, size: int) -> None:
        executor = LocalExecutor(self._engine.pool, run_id=-1, actor="bench")
        try:
            results = executor.as_completed()
            await executor.submit(Chunk(-1, self._macro, PARAMS[:size]))
            await anext(results)
            (child,) = (slot.info().pid for slot in self._engine.pool.slots() if slot.run_id == -1)
            await self._measure(f"batch {size}", lambda: self._through(executor, results, size), child or 0)
        finally:
            await executor.close()

    def _asked(self) -> str:
        return " ".join([f"{one['name']}={one['count']}" for one in json.loads(self._counts)["tags"]])

    async def _asking(self) -> None:
        """Have every call ask the engine the same."""
        self._note("asked loop", lambda: [f"{self._asked()} {number}" for number in range(CALLS)], 0, self._answers)
        names = ", ".join(f"tag{number:02}" for number in range(TAGS))
        document = SourceDocument(path="a.md", sha256="", size=0, front_matter=f"tags: [{names}]")
        tree = DocumentTree(DocumentCollection.of_sources([document], []))
        executor = LocalExecutor(self._engine.pool, run_id=-1, actor="bench", calls=TreeCalls(tree))
        data = ASKING.encode()
        macro = MacroSource("asking", "macros/asking.py", data, hashlib.sha256(data).hexdigest())
        try:
            results = executor.as_completed()
            await executor.submit(Chunk(-1, macro, PARAMS[:16]))
            await anext(results)
            (child,) = (slot.info().pid for slot in self._engine.pool.slots() if slot.run_id == -1)
            work = lambda: self._through(executor, results, 256, macro)  # noqa: E731
            await self._measure("asked", work, child or 0, self._answers)
        finally:
            await executor.close()

    async def _through(
        self, executor: LocalExecutor, results: Any, size: int, macro: MacroSource | None = None
    ) -> list[str]:
        async def submit() -> None:
            for number, start in enumerate(range(0, CALLS, size)):
                await executor.submit(Chunk(number, macro or self._macro, PARAMS[start : start + size]))

        feeding = asyncio.create_task(submit())
        texts: dict[int, list[str]] = {}
        for _ in range(0, CALLS, size):
            result = await anext(results)
            texts[result.number] = result.texts
        await feeding
        return [text for number in sorted(texts) for text in texts[number]]

    async def _measure(
        self, key: str, work: Callable[[], Awaitable[list[str]]], pid: int, wanted: list[str] | None = None
    ) -> None:
        child, own, began = processor_time(pid) if pid else 0.0, time.process_time(), time.perf_counter()
        texts = await work()
        self._keep(key, time.perf_counter() - began, own, child, pid)
        if texts != (wanted or self.wanted):
            sys.exit(f"{key} returned other texts")

    def _note(self, key: str, work: Callable[[], list[str]], pid: int, wanted: list[str] | None = None) -> None:
        child, own, began = processor_time(pid) if pid else 0.0, time.process_time(), time.perf_counter()
        texts = work()
        self._keep(key, time.perf_counter() - began, own, child, pid)
        if texts != (wanted or self.wanted):
            sys.exit(f"{key} returned other texts")

    def _keep(self, key: str, seconds: float, own: float, child: float, pid: int) -> None:
        row = self.rows[key]
        row.seconds.append(seconds)
        row.engine.append(time.process_time() - own)
        row.child.append(processor_time(pid) - child if pid else 0.0)

    def close(self) -> None:
        self._bare.close()

    def report(self) -> list[dict[str, Any]]:
        told = []
        for key, row in self.rows.items():
            loop = self.rows["asked loop" if key.startswith("asked") else "loop"]
            over = [seconds - plain for seconds, plain in zip(row.seconds, loop.seconds, strict=True)]
            told.append(
                {
                    "way": row.name,
                    "ms": statistics.median(row.seconds) * 1e3,
                    "p99_ms": sorted(row.seconds)[int(len(row.seconds) * 0.99)] * 1e3,
                    "over_us": statistics.median(over) / CALLS * 1e6,
                    "best_over_us": (min(row.seconds) - min(loop.seconds)) / CALLS * 1e6,
                    "engine_us": min(row.engine) / CALLS * 1e6,
                    "child_us": min(row.child) / CALLS * 1e6,
                }
            )
        return told


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--quick", action="store_true")
    options.add_argument("--realtime", action="store_true")
    options.add_argument("--json", type=Path)
    arguments = options.parse_args()
    if arguments.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # what is started inherits it
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as folder:
        async with Engine.open(folder, pool_size=3) as engine:
            bench = Bench(engine)
            try:
                for _ in range(3 if arguments.quick else 15):
                    await bench.round()
            finally:
                bench.close()
            isolation = engine.pool.info().isolation
    rows = bench.report()
    size = sum(map(len, bench.wanted)) // CALLS
    print(f"{CALLS:,} calls, {size} bytes each; isolation {isolation}; load {os.getloadavg()[0]:.1f}\n")
    print("| way | ms, p50 | p99 | over a loop, us a call | best | processor us a call: engine | child |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        figures = (f"{row[key]:.2f}" for key in ("ms", "p99_ms", "over_us", "best_over_us", "engine_us", "child_us"))
        print(f"| {row['way']} | {' | '.join(figures)} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"calls": CALLS, "isolation": isolation, "rows": rows}, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
