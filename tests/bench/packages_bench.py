"""Runs that use packages: pandas and matplotlib imported ahead, a switch of the environment under load, other ones.

    python tests/bench/packages_bench.py [--quick] [--environment FOLDER | --no-packages] [--json FILE]

Without ``--environment`` one is made first, with pandas and matplotlib of uv's own index; what needs neither can be
measured by itself, without an index. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import uvloop
from engine_bench import percentile
from floors import NoSink

from engine.models.runs import Mode, Outcome, RunKind
from engine.pool.environment import ensure_environment
from engine.pool.job import AHEAD, Environment, Job, Limits, Profile
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings
from engine.sandbox.plan import admin_plan, restricted_plan
from engine.sandbox.probe import probe

TABLE = """
import pandas as pd
frame = pd.DataFrame({"tag": ["a", "b"] * 50, "value": range(100)})
result = frame.groupby("tag").value.sum().to_dict()
"""
SMALL = "import pandas as pd\nresult = int(pd.Series([1, 2, 3]).sum())"
PLOT = """
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 3, 2, 5])
axes.set_title("Line 4")
figure.savefig("plot.png")
result = 1
"""
LIMITS = Limits(wall=60.0, memory=1 << 30)
GAP = 0.02
"""Seconds between two runs, so that the next child is ready."""

_ids = itertools.count(1)


def job(code: str, *, ahead: tuple[str, ...] = (), profile: Profile | None = None) -> Job:
    return Job(
        run_id=next(_ids), kind=RunKind.EXEC, name="x", actor="x", source=code.encode(), filename="<exec>",
        sink=NoSink(), ahead=ahead, profile=profile or Profile(), limits=LIMITS,
    )  # fmt: skip


async def run(pool: Pool, code: str, *, ahead: tuple[str, ...] = (), profile: Profile | None = None) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    ending = await pool.submit(job(code, ahead=ahead, profile=profile))
    if ending.outcome is not Outcome.OK:
        sys.exit(f"a run went wrong: {ending.outcome} {ending.error} {ending.traceback}")
    return (time.perf_counter() - start) * 1e3


async def ready(pool: Pool) -> None:
    while pool.info().ready < pool.size:
        await asyncio.sleep(0.001)
    await asyncio.sleep(GAP)


async def samples(pool: Pool, code: str, count: int, names: tuple[str, ...], profile: Profile) -> list[float]:
    """Runs on a slot that has these packages imported ahead."""
    ahead = tuple(sorted({module for name in names for module in AHEAD[name]}))
    warm = replace(profile, preloads=ahead)
    await run(pool, code, profile=warm)
    found = []
    for number in range(count + 5):
        await ready(pool)
        took = await run(pool, code, profile=warm)
        if number >= 5:
            found.append(took)
    return found


def cold(environment: Environment, code: str, count: int) -> list[float]:
    """The same by an interpreter of its own, without a sandbox."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        path = f"import sys; sys.path.append({str(environment.packages)!r})\n"
        subprocess.run([environment.interpreter, "-I", "-S", "-c", path + code], check=True, capture_output=True)
        found.append((time.perf_counter() - start) * 1e3)
    return found


async def switching(pool: Pool, environments: list[Environment], switches: int) -> dict[str, float]:
    """Switch to and fro while short runs come all the time; any run that fails ends this."""
    took: list[float] = []
    quiet: list[float] = []
    over = False

    async def load(into: list[float]) -> None:
        while not over:
            into.append(await run(pool, "result = 1 + 1"))

    async def all_the_time(into: list[float], what: AsyncIterator[None] | None, seconds: float = 0.0) -> None:
        nonlocal over
        over = False
        lanes = [asyncio.create_task(load(into)) for _ in range(pool.size)]
        if what is None:
            await asyncio.sleep(seconds)
        else:
            async for _ in what:
                await asyncio.sleep(0.2)
        over = True
        await asyncio.gather(*lanes)

    lasted: list[float] = []

    async def switch() -> AsyncIterator[None]:
        for turn in range(switches):
            start = time.perf_counter()
            pool.switch_environment(environments[(turn + 1) % 2])
            await pool.switched()
            lasted.append((time.perf_counter() - start) * 1e3)
            yield

    await all_the_time(quiet, None, 1.0)
    await all_the_time(took, switch())
    return {
        "runs": len(took), "failed": 0, "switch_ms": percentile(lasted, 0.5), "p50_ms": percentile(took, 0.5),
        "p99_ms": percentile(took, 0.99), "max_ms": max(took), "quiet_p50_ms": percentile(quiet, 0.5),
        "quiet_p99_ms": percentile(quiet, 0.99),
    }  # fmt: skip


async def others(pool: Pool, environment: Environment, folder: Path, count: int) -> dict[str, list[float]]:
    """First runs in an environment that no slot has, and the ones after them."""
    first, second, expected, usual = [], [], [], []
    for number in range(count):
        own = Profile(environment=replace(environment, name=f"own-{number}"))
        await ready(pool)
        first.append(await run(pool, "result = 1", profile=own))
        await ready(pool)
        second.append(await run(pool, "result = 1", profile=own))
        await ready(pool)
        usual.append(await run(pool, "result = 1"))
        # As the console does when a script is opened: its check tells what its run will need.
        async with pool_of(folder / f"expected-{number}", pool.environment, 2) as other:
            other.expect(environment)
            while not any(slot.environment for slot in other.info().slots):
                await asyncio.sleep(0.001)
            await ready(other)
            expected.append(await run(other, "result = 1", profile=Profile(environment=environment)))
    return {
        "first run in another environment": first,
        "second run in another environment": second,
        "first run in one that was expected": expected,
        "run in the usual one": usual,
    }


@contextlib.asynccontextmanager
async def pool_of(folder: Path, environment: Environment, size: int) -> AsyncIterator[Pool]:
    findings = probe(environment.interpreter)
    settings = PoolSettings(
        environment=environment,
        scratch=folder,
        restricted=restricted_plan(findings, allow_degraded=False),
        admin=admin_plan(findings, root=os.geteuid() == 0, admin_as_root=True),
        modules=("numpy", "pandas", "matplotlib"),
        size=size,
        min_size=1,
        preload_memory=1 << 30,
        limits=LIMITS,
    )
    pool = Pool(settings)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def made(folder: Path, *packages: str) -> Environment:
    environment = asyncio.run(ensure_environment(folder / "default"))
    if packages:
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(environment.packages)]
        told = os.environ | {"UV_SYSTEM_CERTS": "1"}
        subprocess.run([*command, "--python", str(environment.interpreter), *packages], check=True, env=told)
    return environment


async def measure(
    folder: Path, environment: Environment, second: Environment, *, packages: bool, quick: bool
) -> dict[str, object]:
    count = 5 if quick else 200
    found: dict[str, object] = {}

    def note(name: str, values: list[float]) -> None:
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        found[name] = {"p50_ms": p50, "p99_ms": p99}
        print(f"{name:44} p50 {p50:8.2f} ms  p99 {p99:8.2f} ms", flush=True)

    if packages:
        note("python -c 'import pandas'", cold(environment, "import pandas", 3 if quick else 10))
        async with pool_of(folder / "a", environment, 1) as pool:
            note("pandas sum, imported ahead", await samples(pool, SMALL, count, ("pandas",), Profile()))
            note("pandas groupby, imported ahead", await samples(pool, TABLE, count, ("pandas",), Profile()))
            plots = 3 if quick else 40
            note("PNG, RESTRICTED, imported ahead", await samples(pool, PLOT, plots, ("matplotlib",), Profile()))
            admin = Profile(mode=Mode.ADMIN)
            note("PNG, ADMIN, imported ahead", await samples(pool, PLOT, plots, ("matplotlib",), admin))
            note("PNG, RESTRICTED, imported by itself", [await run(pool, PLOT) for _ in range(2 if quick else 5)])
            note(
                "PNG, ADMIN, imported by itself",
                [await run(pool, PLOT, profile=admin) for _ in range(2 if quick else 5)],
            )
    other = replace(second, name="other")
    async with pool_of(folder / "b", environment, 3) as pool:
        for name, values in (await others(pool, other, folder, 3 if quick else 20)).items():
            note(name, values)
        found["switch"] = await switching(pool, [environment, second], 2 if quick else 10)
        print("switch under load:", json.dumps(found["switch"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--environment", type=Path, help="one with pandas and matplotlib")
    parser.add_argument("--no-packages", action="store_true", help="only what needs neither of them, nor an index")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as name:
        folder = Path(name)
        packages = not given.no_packages
        if given.environment is None:
            environment = made(folder / "first", *["pandas", "matplotlib"] * packages)
        else:
            environment = asyncio.run(ensure_environment(given.environment))
        second = made(folder / "second")
        for part in ("a", "b"):
            (folder / part).mkdir()
        found = uvloop.run(measure(folder, environment, second, packages=packages, quick=given.quick))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
