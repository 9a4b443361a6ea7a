"""An engine that is killed with -9 takes every process of its pool along, and so does one whose pool nobody closed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_support import line_of
from pool_kit import PATIENCE, descendants, environment, pool_of, processes_with, run, until

ENGINE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {kit!r})
from dataclasses import replace
from pool_kit import ADMIN, environment, limits, make_job, plain_plans, plans
from engine.pool.pool import Pool; from engine.pool.settings import PoolSettings

async def main():
    pool = Pool(PoolSettings(
        environment=replace(environment(), prefix=Path({prefix!r})), scratch=Path({folder!r}),
        size=2, min_size=1, profile=ADMIN, **{plans}()))
    await pool.start()
    job = make_job('''{script}''', limits=limits(wall=60.0), profile=ADMIN)
    ending = pool.submit(job)
    while not job.sink.stdout:
        await asyncio.sleep(0.01)
    print("running", flush=True)
    {then}

asyncio.run(main())
"""
SCRIPT = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(0.01)
        os._exit(0)
    os.wait()
print("busy", flush=True)
while True: pass
"""


def start_engine(folder: Path, *, namespaces: bool, then: str) -> subprocess.Popen[bytes]:
    # Its processes are found by the environment's path: nothing else of a slot is in their arguments.
    (folder / "environment").symlink_to(environment().prefix)
    source = ENGINE.format(
        kit=str(Path(__file__).parent), prefix=str(folder / "environment"), folder=str(folder), script=SCRIPT,
        then=then, plans="plans" if namespaces else "plain_plans",
    )  # fmt: skip
    repository = str(Path(__file__).parents[2])
    # With the environment of these tests: one of its own would be left, since it is killed.
    variables = os.environ | {"PYTHONPATH": repository, "GATEWRIGHT_TEST_ENVIRONMENT": str(environment().prefix)}
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, env=variables)


@pytest.mark.parametrize("namespaces", [True, False])
@pytest.mark.parametrize("end", ["kill", "exit"])
async def test_nothing_outlives_the_engine(tmp_path: Path, namespaces: bool, end: str) -> None:
    then = "await asyncio.sleep(60)" if end == "kill" else "import os; os._exit(0)"
    with start_engine(tmp_path, namespaces=namespaces, then=then) as engine:
        try:
            assert await asyncio.to_thread(line_of, engine) == b"running\n"
            if end == "kill":
                everything = descendants(engine.pid)
                assert len(everything) >= 2 * 3 + 5, everything
                assert len(processes_with(str(tmp_path))) >= 2 * 3 + 5
                os.kill(engine.pid, signal.SIGKILL)
            await asyncio.to_thread(engine.wait, PATIENCE)
        finally:
            engine.kill()
        await until(lambda: not processes_with(str(tmp_path)), "every process has gone", 20)


async def test_two_pools_live_side_by_side() -> None:
    async with pool_of(1) as one, pool_of(1) as other:
        done = await asyncio.gather(*(run(pool, f"result = {n}") for n, pool in enumerate((one, other, one, other))))
        assert [each.value for each in done] == [0, 1, 2, 3]
        await one.close()
        assert (await run(other, "result = 'still here'")).value == "still here"
