"""Many clients at once beside scripts that flood the engine with tiny frames: errors, latencies, memory.

    python tests/bench/crowd_bench.py [--clients 64] [--seconds 60] [--pause 1.0] [--calm] [--first] [--quick]

A real engine with records. Each client does one thing after the other: it follows a run to its end, starts one and
cancels it, lists runs and scripts, saves a script, asks for the engine's info; between two things it pauses for a
second on average, as people and their programs do. Three scripts flood all the while, each in its own way; ``--calm``
leaves them out. A process that does nothing else asks for the info twenty times a second: its figures are those of
``info``. The load of the machine is printed with them: on a busy one they say more about it than about the engine.
``--first``, for root, lets the engine's process and that one have the processor before all others (sched(7), SCHED_RR;
what they start has not), so that the figures are the engine's own.
The bar is no error, 20 ms for ``info`` at p99, and memory that stays. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from soak import KIB_PER_MIB, memory

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.launch import connect, stop
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.registry.engine import ENGINE_INFO
from engine.registry.runs import RUNS_CANCEL, RUNS_LIST, RUNS_START, RunListParams, RunParams, StartParams
from engine.registry.scripts import SCRIPTS_LIST, SCRIPTS_SAVE, ScriptParams

PROCESSES = 4
"""Of the clients: one would be too slow to have 64 of them."""

SLOTS = 6
ASK_EVERY = 0.05
WARM_UP = 2_500
"""Runs before all: an engine keeps the last few thousand events, and grows until it has that many."""

SETTINGS = f'[pool]\nsize = {SLOTS}\n[policy]\nmodules = ["os", "struct", "sys"]\n'
SIMPLE = "print('one of many')\nresult = 1 + 1"
FOREVER = "while True:\n    pass"

FLOODS = {
    "forged frames": """
import os, struct
frames = (struct.pack("<IB", 1, 3) + b"f") * 20_000
while True:
    os.write(3, frames)
""",
    "flushed characters": """
while True:
    print("c", end="", flush=True)
""",
    "streams in turn": """
import os, sys
while True:
    print("o", end="", flush=True)
    print("e", end="", flush=True, file=sys.stderr)
    os.write(1, b"d")
""",
}
FLOOD_ENDS = {Outcome.OUTPUT_LIMIT, Outcome.TIMEOUT, Outcome.CANCELLED}


@dataclass
class Tally:
    """What clients saw: seconds by operation, and sentences of what went wrong."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    async def timed(self, what: str, call: Callable[[], Awaitable[object]]) -> None:
        start = time.perf_counter()
        try:
            await call()
        except (EngineError, EngineUnreachable) as error:
            self.errors[f"{what}: {error}"] += 1
        else:
            self.seconds[what].append(time.perf_counter() - start)

    def add(self, other: Tally) -> None:
        for what, seconds in other.seconds.items():
            self.seconds[what] += seconds
        self.errors += other.errors


class CrowdClient:
    """One client of the crowd."""

    def __init__(self, client: EngineClient, number: int, tally: Tally) -> None:
        self._client = client
        self._number = number
        self._tally = tally
        self._saved: str | None = None
        self._edits = 0

    async def live(self, seconds: float, pause: float) -> None:
        chance = random.Random(self._number)
        acts = {
            "run": self._run,
            "cancel": self._cancel,
            "list runs": self._list_runs,
            "list scripts": self._list_scripts,
            "save": self._save,
        }
        end = time.monotonic() + seconds
        await asyncio.sleep(chance.uniform(0, pause))
        while time.monotonic() < end:
            what = chance.choice(list(acts))
            await self._tally.timed(what, acts[what])
            await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)

    async def _run(self) -> None:
        last = await last_of(self._client, SIMPLE)
        self._expect(last.outcome is Outcome.OK and last.value == 2, f"a run ended with {last.outcome}")

    async def _cancel(self) -> None:
        request = RunRequest(kind=RunKind.EXEC, code=FOREVER)
        run = await self._client.call(RUNS_START, StartParams(), request)
        await asyncio.sleep(0.05)
        ended = await self._client.call(RUNS_CANCEL, RunParams(run_id=run.id))
        self._expect(ended.outcome is Outcome.CANCELLED, f"a cancelled run ended with {ended.outcome}")

    async def _list_runs(self) -> None:
        found = await self._client.call(RUNS_LIST, RunListParams(limit=50))
        self._expect(bool(found.runs), "no runs are listed")

    async def _list_scripts(self) -> None:
        found = await self._client.call(SCRIPTS_LIST)
        self._expect(bool(found.scripts), "no scripts are listed")

    async def _save(self) -> None:
        self._edits += 1
        request = SaveRequest(text=f"result = {self._edits}\n", base_sha256=self._saved)
        info = await self._client.call(SCRIPTS_SAVE, ScriptParams(path=f"crowd/client_{self._number}.py"), request)
        self._saved = info.sha256

    def _expect(self, right: bool, sentence: str) -> None:
        if not right:
            self._tally.errors[sentence] += 1


async def last_of(client: EngineClient, code: str) -> RunInfo:
    """Run ``code`` and follow it to its final record."""
    request = RunRequest(kind=RunKind.EXEC, code=code)
    async with aclosing(client.run_and_follow(request)) as events:
        records = [event async for event in events if isinstance(event, RunInfo)]
    return records[-1]


def crowd(project: str, numbers: range, seconds: float, pause: float) -> Tally:
    """Be the clients with these numbers, in a process of their own."""

    async def live() -> Tally:
        tally = Tally()
        clients = [await connect(Path(project), client="cli", start=False) for _ in numbers]
        try:
            members = (CrowdClient(client, number, tally) for client, number in zip(clients, numbers, strict=True))
            await asyncio.gather(*(member.live(seconds, pause) for member in members))
        finally:
            for client in clients:
                await client.close()
        return tally

    return uvloop.run(live())


def go_first(pid: int) -> None:
    """Let every thread of a process have the processor before ordinary ones."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setscheduler(int(thread), os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def ask(project: str, seconds: float, first: bool) -> Tally:
    """Ask for the engine's info now and then, in a process that does nothing else."""
    if first:
        go_first(os.getpid())

    async def asking() -> Tally:
        tally = Tally()
        client = await connect(Path(project), client="cli", start=False)
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await tally.timed("info", lambda: client.call(ENGINE_INFO))
                await asyncio.sleep(ASK_EVERY)
        finally:
            await client.close()
        return tally

    return uvloop.run(asking())


async def flood(client: EngineClient, code: str, tally: Tally) -> None:
    """Keep a flooding script going, followed, until cancelled."""
    while True:
        try:
            ended = await last_of(client, code)
        except (EngineError, EngineUnreachable) as error:
            tally.errors[f"a flood: {error}"] += 1
            return
        if ended.outcome not in FLOOD_ENDS:
            tally.errors[f"a flood ended with {ended.outcome}"] += 1


async def warm_up(client: EngineClient, runs: int) -> None:
    for _ in range(runs):
        await last_of(client, SIMPLE)


def processor_seconds(pid: int) -> float:
    """Return what a process has used in all (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watch(pid: int, held: list[int]) -> None:
    """Note the engine's resident KiB every second, until cancelled."""
    while True:
        held.append(memory(pid)["VmRSS"])
        await asyncio.sleep(1)


async def measure(project: Path, options: argparse.Namespace) -> dict[str, float]:
    clients, seconds = (8, 4.0) if options.quick else (options.clients, options.seconds)
    private = project / ".gatewright"
    private.mkdir(mode=0o700)
    (private / "settings.toml").write_text(SETTINGS)
    (private / "settings.toml").chmod(0o600)
    own = await connect(project, client="cli")
    tally, held = Tally(), list[int]()
    try:
        pid = (await own.call(ENGINE_INFO)).pid
        await asyncio.gather(*(warm_up(own, WARM_UP // SLOTS // (10 if options.quick else 1)) for _ in range(SLOTS)))
        if options.first:
            go_first(pid)
        others = [asyncio.create_task(watch(pid, held))]
        if not options.calm:
            others += [asyncio.create_task(flood(own, code, tally)) for code in FLOODS.values()]
        shares = [range(first, clients, PROCESSES) for first in range(min(clients, PROCESSES))]
        context = multiprocessing.get_context("spawn")
        start, used = time.perf_counter(), processor_seconds(pid)
        with ProcessPoolExecutor(len(shares) + 1, mp_context=context) as processes:
            loop = asyncio.get_running_loop()
            calls = [
                loop.run_in_executor(processes, crowd, str(project), each, seconds, options.pause) for each in shares
            ]
            calls.append(loop.run_in_executor(processes, ask, str(project), seconds, options.first))
            for seen in await asyncio.gather(*calls):
                tally.add(seen)
        share = (processor_seconds(pid) - used) / (time.perf_counter() - start)
        for task in others:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        await own.close()
        await stop(project, client="cli", force=True)
    return figures(tally, held, share)


def figures(tally: Tally, held: list[int], share: float) -> dict[str, float]:
    """Print the table, and return it by names."""
    found = {"errors": float(tally.errors.total()), "load": os.getloadavg()[0], "engine_processors": share}
    print(
        f"load of the machine {found['load']:.1f} on {os.cpu_count()} processors, of which the engine used {share:.2f}"
    )
    for what, seconds in sorted(tally.seconds.items()):
        ordered = sorted(seconds)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 for share in (0.5, 0.99))
        found |= {f"{what}_p50_ms": p50, f"{what}_p99_ms": p99}
        worst = ordered[-1] * 1e3
        print(f"{what:14} {len(ordered):6} times   p50 {p50:8.1f} ms   p99 {p99:8.1f} ms   worst {worst:8.1f} ms")
    tenths = [held[len(held) * part // 10] for part in range(10)] + [held[-1]]
    found |= {"memory_mib": held[-1] / KIB_PER_MIB, "memory_grown_mib": (held[-1] - tenths[5]) / KIB_PER_MIB}
    print("engine memory in MiB, tenth by tenth:", *(f"{kib / KIB_PER_MIB:.1f}" for kib in tenths))
    print(f"errors {tally.errors.total()}")
    for sentence, times in tally.errors.most_common(10):
        print(f"  {times} times: {sentence}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two things that a client does")
    parser.add_argument("--calm", action="store_true", help="without the scripts that flood")
    parser.add_argument("--first", action="store_true", help="the engine before all other processes; for root")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 8 clients for 4 seconds")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-crowd-") as name:
        found = uvloop.run(measure(Path(name), options))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
