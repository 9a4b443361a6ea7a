"""Resident memory of an engine over very many runs: it must not grow with their number.

    python tests/bench/soak.py [--runs 200000] [--every 20000] [--lanes 3] [--quick]

A real engine with records, started and asked by clients as the command line does it. A line for every 20,000 runs:
the engine's resident memory, what of it is its own (``RssAnon``, proc_pid_status(5)), its descriptors and threads, and
the rate since the line before. The bar is at most 1 MiB from run 20,000 to run 200,000. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

import uvloop

from engine.client.client import EngineClient
from engine.client.launch import connect, stop
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest
from engine.registry.engine import ENGINE_INFO

SOURCE = "print('soaking')\nresult = 1 + 1"
"""With output and a value, so that every table gets its rows."""

NUMBER = 20_000
KIB_PER_MIB = 1024


def memory(pid: int) -> dict[str, int]:
    """Return the KiB of a process by the names that its status gives them."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssFile", "Threads")}


class Soak:
    """Lanes that each wait for their own runs, and a line whenever enough have ended."""

    def __init__(self, client: EngineClient, pid: int, runs: int, every: int) -> None:
        self._client = client
        self._pid = pid
        self._runs = runs
        self._every = every
        self._begun = 0
        self._ended = 0
        self._since = time.perf_counter()
        self._first: int | None = None

    async def lane(self) -> None:
        """Start runs one after the other until enough were begun."""
        while self._begun < self._runs:
            self._begun += 1
            request = RunRequest(kind=RunKind.EXEC, code=SOURCE)
            async with aclosing(self._client.run_and_follow(request)) as events:
                last = [event async for event in events][-1]
            if not isinstance(last, RunInfo) or last.outcome is not Outcome.OK:
                raise SystemExit(f"a run ended otherwise: {last}")
            self._ended += 1
            if self._ended % self._every == 0:
                self._report()

    def _report(self) -> None:
        held = memory(self._pid)
        now = time.perf_counter()
        rate, self._since = self._every / (now - self._since), now
        if self._first is None:
            self._first = held["VmRSS"]
        grown = held["VmRSS"] - self._first
        descriptors = len(os.listdir(f"/proc/{self._pid}/fd"))
        print(
            f"{self._ended:9,} runs  resident {held['VmRSS'] / KIB_PER_MIB:7.2f} MiB"
            f"  own {held['RssAnon'] / KIB_PER_MIB:7.2f} MiB  since the first line {grown / KIB_PER_MIB:+6.2f} MiB"
            f"  {descriptors} descriptors  {held['Threads']} threads  {rate:5.0f} runs/s",
            flush=True,
        )


async def soak(project: Path, runs: int, every: int, lanes: int) -> None:
    client = await connect(project, client="cli")
    try:
        pid = (await client.call(ENGINE_INFO)).pid
        running = Soak(client, pid, runs, every)
        await asyncio.gather(*(running.lane() for _ in range(lanes)))
    finally:
        await client.close()
        await stop(project, client="cli", force=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10 * NUMBER)
    parser.add_argument("--every", type=int, default=NUMBER, help="runs between two lines")
    parser.add_argument("--lanes", type=int, default=3, help="runs that go on at once")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 3,000 runs, a line for every 500")
    options = parser.parse_args()
    runs, every = (3_000, 500) if options.quick else (options.runs, options.every)
    with tempfile.TemporaryDirectory(prefix="gatewright-soak-") as name:
        uvloop.run(soak(Path(name), runs, every, options.lanes))


if __name__ == "__main__":
    main()
