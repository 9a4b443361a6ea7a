"""What each layer of the sandbox costs, as ratios of one run: latency and clean runs per second, layer by layer.

    python tests/bench/sandbox_bench.py [--quick] [--json FILE]

Pools that differ in their layers only take turns, run by run for the latency and round by round for the rate, beside a
bare zygote that forks for every run and does nothing else. After that, where the processor time of one run goes.
Nothing here passes or fails: README and ARCHITECTURE.md quote the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvloop
from engine_bench import SIMPLE, percentile, rate
from floors import ForkZygote, NoSink, descendants

from engine.models.runs import Mode, Outcome, RunKind
from engine.pool.environment import ensure_environment
from engine.pool.job import Environment, Job
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings
from engine.sandbox.plan import Findings, Level, Plan, PlannedLayers, restricted_plan
from engine.sandbox.probe import probe

SLOTS = 3
GAP = 0.004
"""Seconds between two runs of the latency part, so that every parked child is ready."""

_ids = itertools.count(1)


def variants(findings: Findings) -> dict[str, Plan]:
    """From no layer at all to everything, one more at a time."""
    whole = restricted_plan(findings, allow_degraded=False)
    if whole.level is not Level.FULL:
        sys.exit(f"this host gives no full sandbox: {'; '.join(whole.missing)}")
    abi = whole.layers.landlock
    steps = {
        "none": PlannedLayers(),
        "namespaces": PlannedLayers(userns=True, pidns=True),
        "namespaces, view": PlannedLayers(userns=True, pidns=True, view=True),
        "namespaces, view, landlock": PlannedLayers(userns=True, pidns=True, view=True, landlock=abi),
        "core (no namespaces)": PlannedLayers(landlock=abi, seccomp=True),
    }
    # Degraded in name: these pools prove only the layers that they have.
    plans = {name: Plan(Mode.RESTRICTED, Level.DEGRADED, layers) for name, layers in steps.items()}
    return plans | {"full": whole}


@contextlib.asynccontextmanager
async def pool_of(folder: Path, environment: Environment, plan: Plan, size: int) -> AsyncIterator[Pool]:
    folder.mkdir(parents=True)
    pool = Pool(PoolSettings(environment=environment, scratch=folder, restricted=plan, size=size, min_size=1))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def run(pool: Pool) -> float:
    """Seconds of one run."""
    job = Job(
        run_id=next(_ids), kind=RunKind.EXEC, name="x", actor="x", source=SIMPLE.encode(), filename="<exec>",
        sink=NoSink(),
    )  # fmt: skip
    start = time.perf_counter()
    ending = await pool.submit(job)
    if ending.outcome is not Outcome.OK or ending.value != 2:
        sys.exit(f"a run went wrong: {ending}")
    return time.perf_counter() - start


async def latency(pools: dict[str, Pool], count: int) -> dict[str, list[float]]:
    """Parked runs, all pools in turn."""
    samples: dict[str, list[float]] = {name: [] for name in pools}
    for number in range(count + 10):
        for name, pool in pools.items():
            while not pool.info().ready:
                await asyncio.sleep(0.0005)
            await asyncio.sleep(GAP)
            took = await run(pool)
            if number >= 10:
                samples[name].append(took)
    return samples


async def rates(
    folder: Path, environment: Environment, plans: dict[str, Plan], rounds: int, seconds: float
) -> dict[str, float]:
    """Runs per second on three slots, by name; ``floor`` is the bare zygote."""
    found: dict[str, list[float]] = {name: [] for name in ("floor", *plans)}
    zygotes = [ForkZygote(environment.interpreter) for _ in range(SLOTS)]
    async with contextlib.AsyncExitStack() as stack:
        pools = {
            name: await stack.enter_async_context(pool_of(folder / f"rate-{number}", environment, plan, SLOTS))
            for number, (name, plan) in enumerate(plans.items())
        }
        for _ in range(rounds):
            found["floor"].append(await rate(lambda lane: zygotes[lane].run(SIMPLE.encode()), SLOTS, seconds))
            for name, pool in pools.items():
                found[name].append(await rate(lambda _, pool=pool: run(pool), SLOTS, seconds))  # type: ignore[misc]
    for zygote in zygotes:
        zygote.__exit__(None, None, None)
    return {name: percentile(each, 0.5) for name, each in found.items()}


@dataclass
class Spent:
    """Processor time in seconds, and page faults."""

    time: float
    faults: int


def spent(pid: int, *, children: bool) -> Spent:
    """By a process itself, or by the children it has reaped (proc(5), /proc/pid/stat)."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    faults, user, system = (8, 13, 14) if children else (7, 11, 12)
    return Spent((int(fields[user]) + int(fields[system])) / ticks, int(fields[faults]))


async def profile(folder: Path, environment: Environment, plan: Plan, count: int) -> dict[str, float]:
    """Where the processor time of one run goes: child, template, engine; microseconds and page faults."""
    async with pool_of(folder / "profile", environment, plan, 1) as pool:
        for _ in range(20):
            await run(pool)
        template = next(pid for pid in descendants(os.getpid()) if descendants(pid) and not _has_grandchildren(pid))
        before = spent(template, children=True), spent(template, children=False)
        own = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(count):
            await run(pool)
        after = spent(template, children=True), spent(template, children=False)
        used = resource.getrusage(resource.RUSAGE_SELF)
    engine = used.ru_utime + used.ru_stime - own.ru_utime - own.ru_stime
    return {
        "child_us": (after[0].time - before[0].time) / count * 1e6,
        "child_faults": (after[0].faults - before[0].faults) / count,
        "template_us": (after[1].time - before[1].time) / count * 1e6,
        "template_faults": (after[1].faults - before[1].faults) / count,
        "engine_us": engine / count * 1e6,
    }


def _has_grandchildren(pid: int) -> bool:
    return any(descendants(child) for child in descendants(pid))


async def measure(folder: Path, quick: bool) -> dict[str, object]:
    environment = await ensure_environment(folder / "environment")
    plans = variants(probe(environment.interpreter))
    figures: dict[str, object] = {}
    async with contextlib.AsyncExitStack() as stack:
        pools = {
            name: await stack.enter_async_context(pool_of(folder / f"latency-{number}", environment, plan, 1))
            for number, (name, plan) in enumerate(plans.items())
        }
        samples = await latency(pools, 20 if quick else 300)
    base = percentile(samples["none"], 0.5)
    for name, each in samples.items():
        p50, p99 = percentile(each, 0.5), percentile(each, 0.99)
        figures[f"latency, {name}"] = {"p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3, "ratio": p50 / base}
    found = await rates(folder, environment, plans, 1 if quick else 5, 0.3 if quick else 1.0)
    for name, runs in found.items():
        figures[f"rate, {name}"] = {"runs_per_s": runs, "ratio": runs / found["floor"]}
    for name in ("none", "full"):
        figures[f"profile, {name}"] = await profile(folder / name, environment, plans[name], 50 if quick else 1000)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: does every figure come out?")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as name:
        figures = uvloop.run(measure(Path(name), options.quick))
    for key, values in figures.items():
        assert isinstance(values, dict)
        print(f"{key:36}", "  ".join(f"{what} {value:.3f}" for what, value in values.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
