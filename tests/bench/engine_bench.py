"""Figures of the engine as ratios to floors of the same run: latency, runs per second, stop, memory, calls, CLI.

    python tests/bench/engine_bench.py [--quick] [--json FILE]

Everything runs with records on, through ``Engine.execute``. Rounds of ours and of the floor take turns, so a machine
whose speed changes changes both. Nothing here passes or fails: the printed ratios are what README quotes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from floors import ForkZygote, ReusedWorker, descendants, process_memory

from engine import Engine
from engine.models.runs import Outcome, RunKind, RunRequest

SIMPLE = "result = 1 + 1"
FOREVER = "while True:\n    pass"
STUBBORN = "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass"
RENDER = """
def render(params, context):
    name = params["name"]
    return f"<figure class='{context['class']}'><img src='/media/{name}.jpg' alt='{name}'/></figure>"
"""
CALLS = 10_000
Figures = dict[str, float]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


async def settled(engine: Engine) -> None:
    """Wait until every slot has its parked child."""
    while engine.pool.info().ready < engine.pool.info().size:
        await asyncio.sleep(0.001)


async def latency(engine: Engine, interpreter: Path, count: int) -> Figures:
    """One run at a time on an idle pool, in turn with the worker that is used again."""
    ours, floor = [], []
    with ReusedWorker(interpreter) as worker:
        for number in range(count + 10):
            await settled(engine)
            parked = await timed(lambda: engine.execute(SIMPLE))
            reused = await timed(lambda: worker.run(SIMPLE.encode()))
            if number >= 10:
                ours.append(parked)
                floor.append(reused)
    return {
        "exec_p50_ms": percentile(ours, 0.5) * 1e3,
        "exec_p99_ms": percentile(ours, 0.99) * 1e3,
        "exec_floor_p50_ms": percentile(floor, 0.5) * 1e3,
        "exec_ratio": percentile(ours, 0.5) / percentile(floor, 0.5),
    }


async def on_demand(engine: Engine, count: int) -> Figures:
    """A run whose limits differ from the parked children's gets a child forked for it."""
    samples = []
    for _ in range(count):
        await settled(engine)
        samples.append(await timed(lambda: engine.execute(SIMPLE, timeout=40.0)))
    return {"on_demand_p50_ms": percentile(samples, 0.5) * 1e3}


async def rate(run: Callable[[int], Awaitable[object]], lanes: int, seconds: float) -> float:
    """Runs per second with ``lanes`` callers that each wait for their own."""
    done = 0
    end = time.perf_counter() + seconds

    async def lane(number: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await run(number)
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(lane(number) for number in range(lanes)))
    return done / (time.perf_counter() - start)


async def throughput(engine: Engine, interpreter: Path, rounds: int, seconds: float) -> Figures:
    lanes = engine.pool.info().size
    ours, floor = [], []
    zygotes = [ForkZygote(interpreter) for _ in range(lanes)]
    try:
        for _ in range(rounds):
            floor.append(await rate(lambda lane: zygotes[lane].run(SIMPLE.encode()), lanes, seconds))
            ours.append(await rate(lambda _: engine.execute(SIMPLE), lanes, seconds))
    finally:
        for zygote in zygotes:
            zygote.__exit__(None, None, None)
    ratios = [a / b for a, b in zip(ours, floor, strict=True)]
    return {
        "runs_per_second": percentile(ours, 0.5),
        "fork_floor_per_second": percentile(floor, 0.5),
        "runs_ratio": percentile(ratios, 0.5),
    }


async def calls(engine: Engine, rounds: int) -> Figures:
    """10,000 plain ``render()`` calls in one run, beside the same loop here."""
    params = [{"name": f"pump-{number}"} for number in range(CALLS)]
    context = {"class": "wide"}
    code = RENDER + "result = [render(each, context) for each in calls]"
    namespace: dict[str, object] = {}
    exec(compile(RENDER, "<render>", "exec"), namespace)
    render: Callable[..., str] = namespace["render"]  # type: ignore[assignment]
    extra, loops = [], []
    for _ in range(rounds):
        await settled(engine)
        start = time.perf_counter()
        want = [render(each, context) for each in params]
        local = time.perf_counter() - start
        start = time.perf_counter()
        run = await engine.execute(code, variables={"calls": params, "context": context})
        ours = time.perf_counter() - start
        if run.value != want:
            sys.exit(f"render() gave something else: {run.outcome} {run.error}")
        extra.append((ours - local) / CALLS)
        loops.append(local)
    return {"call_overhead_us": percentile(extra, 0.5) * 1e6, "call_local_us": percentile(loops, 0.5) / CALLS * 1e6}


async def stop(engine: Engine, code: str, count: int) -> list[float]:
    """From the stop of a run to the start of the next one on the same, only slot."""
    samples = []
    for _ in range(count):
        await settled(engine)
        victim = await engine.runs.launch(_request(code), engine.owner, "library")
        while victim.info.started_at is None:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)  # let the script reach its loop
        following = await engine.runs.launch(_request(SIMPLE), engine.owner, "library")
        start = time.perf_counter()
        engine.pool.cancel(victim.info.id)
        while following.info.started_at is None:
            await asyncio.sleep(0)
        samples.append(time.perf_counter() - start)
        if (await victim.ended()).outcome is not Outcome.CANCELLED:
            sys.exit("the victim was not cancelled")
        await following.ended()
    return samples


def _request(code: str) -> RunRequest:
    return RunRequest(kind=RunKind.EXEC, code=code)


async def stops(project: Path, count: int) -> Figures:
    async with Engine.open(project, pool_size=1) as engine:
        plain = await stop(engine, FOREVER, count)
        stubborn = await stop(engine, STUBBORN, count)
    return {
        "stop_p50_ms": percentile(plain, 0.5) * 1e3,
        "stop_p99_ms": percentile(plain, 0.99) * 1e3,
        "stop_stubborn_p50_ms": percentile(stubborn, 0.5) * 1e3,
    }


async def memory(engine: Engine) -> Figures:
    await settled(engine)
    pids = descendants(os.getpid())
    return {"slot_pss_mb": process_memory(pids) / engine.pool.info().size / 1e6}


def command_line(project: Path, rounds: int) -> Figures:
    """``gatewright exec`` as a whole process with the engine up, beside an interpreter that does nothing."""
    ours, floor = [], []
    project.mkdir()
    command = [sys.executable, "-P", "-m", "tui.cli", "exec", SIMPLE, "--project", str(project)]
    start = [sys.executable, "-P", "-m", "tui.cli", "engine", "start", "--project", str(project)]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    try:
        for _ in range(rounds):
            ours.append(whole_process(command))
            floor.append(whole_process([sys.executable, "-I", "-c", "pass"]))
    finally:
        stop_command = [sys.executable, "-P", "-m", "tui.cli", "engine", "stop", "--project", str(project)]
        subprocess.run(stop_command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {
        "cli_exec_p50_ms": percentile(ours, 0.5) * 1e3,
        "cli_floor_p50_ms": percentile(floor, 0.5) * 1e3,
        "cli_ratio": percentile(ours, 0.5) / percentile(floor, 0.5),
    }


def whole_process(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


async def measure(folder: Path, quick: bool) -> Figures:
    figures: Figures = {}
    async with Engine.open(folder / "pool", pool_size=3) as engine:
        interpreter = engine.project.environments / "default" / "bin" / "python"
        figures |= await memory(engine)
        figures |= await latency(engine, interpreter, 30 if quick else 500)
        figures |= await on_demand(engine, 10 if quick else 100)
        figures |= await throughput(engine, interpreter, 1 if quick else 5, 0.3 if quick else 1.5)
        figures |= await calls(engine, 2 if quick else 15)
    figures |= await stops(folder / "single", 3 if quick else 50)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: does every figure come out?")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as name:
        folder = Path(name)
        figures = uvloop.run(measure(folder, options.quick))
        figures |= command_line(folder / "command-line", 2 if options.quick else 15)
    for key, value in figures.items():
        print(f"{key:24} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
