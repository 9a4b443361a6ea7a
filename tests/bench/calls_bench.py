"""What a call of a script to the engine takes, beside two processes that bounce as many bytes over a socket pair.

    python tests/bench/calls_bench.py [--quick]

The call is the whole way, in the full sandbox: JSON, CALL, the engine's event loop, the check of kind and role, the
service's method, REPLY, JSON. The floor has none of that. Each row is the median of rounds that take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

from engine import Engine

AIM = 60.0
"""Microseconds."""

CALLS = 900
"""In one run: fewer than are answered in a second without a wait."""

MEASURED = {
    "progress (a body, a small answer)": "gatewright._call('runs.progress', {'done': 0.5, 'text': 'reading'})",
    "runs.current (a record of a run)": "gatewright.runs.current()",
    "scripts.list (the default scripts)": "gatewright.scripts.list()",
    "state.get (a database's thread)": "gatewright._call('state.get', key='a')",
}

RUN = """
import gatewright, time
took = []
for _ in range({calls}):
    start = time.perf_counter()
    {call}
    took.append(time.perf_counter() - start)
result = sorted(took)
"""


def bounce(rounds: int, size: int = 80) -> list[float]:
    """Return the seconds of round trips over a socket pair between two processes that do nothing else, sorted."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while data := theirs.recv(4096):
            theirs.send(data)
        os._exit(0)
    theirs.close()
    message, took = b"x" * size, []
    for _ in range(rounds):
        start = time.perf_counter()
        ours.send(message)
        ours.recv(4096)
        took.append(time.perf_counter() - start)
    ours.close()
    os.waitpid(pid, 0)
    return sorted(took)


async def measure(rounds: int) -> None:
    """Print a row for each kind of call."""
    p50: dict[str, list[float]] = {name: [] for name in ("floor", *MEASURED)}
    p99: dict[str, list[float]] = {name: [] for name in p50}
    with tempfile.TemporaryDirectory() as folder:
        async with Engine.open(Path(folder) / "plant", pool_size=1) as engine:
            (engine.project.scripts / "bench.py").write_text("")
            for _ in range(rounds):
                for name in p50:
                    if name == "floor":
                        took = await asyncio.to_thread(bounce, CALLS)
                    else:
                        took = await of_run(engine, RUN.format(calls=CALLS, call=MEASURED[name]))
                    p50[name].append(took[len(took) // 2])
                    p99[name].append(took[int(len(took) * 0.99)])
    floor = statistics.median(p50["floor"])
    for name in p50:
        middle, high = statistics.median(p50[name]) * 1e6, statistics.median(p99[name]) * 1e6
        print(f"{name:38} p50 {middle:6.1f} us  p99 {high:7.1f} us  {middle / floor / 1e6:5.2f} x the floor")
    first = statistics.median(p50[next(iter(MEASURED))]) * 1e6
    print(f"a call at p50: {first:.1f} us, aim {AIM:g} us: {'reached' if first <= AIM else 'missed'}")


async def of_run(engine: Engine, code: str) -> list[float]:
    """Return what the calls of a run took."""
    from engine.models.runs import RunKind, RunRequest

    run = await engine.run(RunRequest(kind=RunKind.SCRIPT, script="bench.py", code=code))
    if run.error is not None:
        raise RuntimeError(run.traceback or run.error.message)
    took: list[float] = run.value
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    asyncio.run(measure(2 if parser.parse_args().quick else 15))


if __name__ == "__main__":
    main()
