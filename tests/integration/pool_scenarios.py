"""Runs that must be killed, without pytest, so that an ordinary account can do them too.

    python pool_scenarios.py FOLDER [--plain] [--admin] SCENARIO…

Prints one line of JSON: the isolation that was there, and per scenario the seconds it took. Fails by a traceback.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from pool_kit import (
    ADMIN,
    DEAF,
    FREE_IMPORTS,
    descendants,
    expect_innocent,
    make_job,
    parent_of,
    plain_plans,
    plans,
    pool_of,
    run,
    until,
    until_ready,
)

from engine.models.runs import Outcome
from engine.pool.pool import Pool
from engine.worker.descendants import is_alive
from engine.worker.limits import RUN_NICENESS, ZYGOTE_NICENESS

BOMB = """
import os
try:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
except OSError: pass
while True:
    try:
        os.fork()
    except OSError: pass
"""
"""On one processor, as far as it may say so: what else runs on this machine must get the others."""

DAEMONS = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 4096)
            while True: time.sleep(0.01)
        os._exit(0)
    os.wait()
print("daemons", flush=True)
while True: pass
"""
MESS = """
import os
root = os.getcwd()
for i in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chdir(root)
for i in range(200):
    open(f"file-{i}", "w").write("x")
os.mkdir("closed")
open("closed/inside", "w").close()
"""
ADMIN_MESS = (
    MESS
    + """
os.chmod("closed", 0)
os.symlink("/", "link")
"""
)


LOOK = """
import os
result = []
for place in places:
    try:
        if place.endswith("fd"):
            os.listdir(place)
        else:
            os.close(os.open(place, os.O_RDONLY))
        result.append(place)
    except PermissionError:
        pass
"""

PROFILE = ADMIN if "--admin" in sys.argv else FREE_IMPORTS
LEAVES = replace(ADMIN, leaves=True)
CHOSEN = plain_plans() if "--plain" in sys.argv else plans()


async def killed(pool: Pool, source: str, *expected: Outcome) -> None:
    """``source`` is ended at its timeout, the slot works again, nothing of it is left."""
    await until_ready(pool)
    before = len(descendants())
    done = await run(pool, source, wall=1.0, profile=PROFILE)
    assert done.outcome in (Outcome.TIMEOUT, *expected), done.ending
    await expect_innocent(pool, PROFILE)
    await until(lambda: len(descendants()) <= before, "no process of it is left")


async def bomb(pool: Pool) -> None:
    # The memory of an ADMIN run is watched, and what forked processes share counts for each of them.
    await killed(pool, BOMB, *[Outcome.MEMORY] * (PROFILE is ADMIN))


async def power(pool: Pool) -> None:
    await killed(pool, "9**9**9")


async def deaf(pool: Pool) -> None:
    await killed(pool, DEAF)


async def daemons(pool: Pool) -> None:
    await killed(pool, DAEMONS)


async def memory(pool: Pool) -> None:
    done = await run(pool, "x = []\nwhile True: x.append(b'x' * (1 << 20))", profile=PROFILE)
    assert done.outcome is Outcome.MEMORY, done.ending
    await expect_innocent(pool, PROFILE)


async def mess(pool: Pool) -> None:
    done = await run(pool, ADMIN_MESS if PROFILE is ADMIN else MESS, profile=PROFILE)
    assert done.outcome is Outcome.OK, done.ending
    look = await run(pool, "import os\nresult = os.listdir('.')", profile=PROFILE)
    assert look.value == []


async def threads(pool: Pool) -> None:
    source = "import threading\nts = [threading.Thread(target=print, args=(n,)) for n in range(30)]\n"
    done = await run(pool, source + "for t in ts: t.start()\nfor t in ts: t.join()\nresult = len(ts)", profile=PROFILE)
    assert done.value == 30, done.ending
    assert sorted(map(int, done.sink.stdout.split())) == list(range(30))


async def leaving(pool: Pool) -> None:
    """What may stay stays, and not its neighbour; a stop ends both."""
    flag = Path(os.environ["TMPDIR"]) / "go-on"
    flag.touch()
    start = f"import subprocess\nwait = ['sh', '-c', 'while [ -e {flag} ]; do sleep 0.02; done']\n"
    start += "print(*(subprocess.Popen(wait, start_new_session=new).pid for new in (True, False)), flush=True)\n"
    stopped = await run(pool, start + "while True: pass", wall=1.0, profile=LEAVES)
    assert stopped.outcome is Outcome.TIMEOUT, stopped.ending
    assert not any(map(is_alive, map(int, stopped.sink.stdout.split())))
    done = await run(pool, start, profile=LEAVES)
    assert done.outcome is Outcome.OK, done.ending
    kept, ended = map(int, done.sink.stdout.split())
    assert f"(pid {kept})" in (done.ending.note or "")
    await until(lambda: not is_alive(ended), "what has not detached itself is ended")
    await expect_innocent(pool, PROFILE)
    assert is_alive(kept)
    flag.unlink()
    await until(lambda: not is_alive(kept), "it comes to its own end")


async def victim(pool: Pool) -> None:
    """The kernel ends it before its zygote, and both before the engine; the processor goes the other way round."""
    job = make_job("print('there', flush=True)\nwhile True: pass", profile=PROFILE)
    ending = pool.submit(job)
    await until(lambda: job.sink.stdout, "the script is at work")  # type: ignore[attr-defined]
    child = job.sink.starts[0][1]  # type: ignore[attr-defined]
    scores, nice = [], []
    for pid in (child, parent_of(child), parent_of(parent_of(child))):
        scores.append(int(Path(f"/proc/{pid}/oom_score_adj").read_text()))
        nice.append(os.getpriority(os.PRIO_PROCESS, pid))
    assert scores == [900, 500, 500], scores
    own = os.nice(0)
    zygote = min(19, own + ZYGOTE_NICENESS)
    assert nice == [min(19, zygote + RUN_NICENESS), zygote, zygote], nice
    assert pool.cancel(job.run_id)
    await ending


async def out_of_reach(pool: Pool) -> None:
    """Into a RESTRICTED run look ADMIN runs of root, and of an ordinary account those that may leave processes.

    The latter only where that run's program began in a user namespace, for the lock broker. Other ADMIN runs of an
    ordinary account live in another user namespace.
    """
    pool.resize(2)
    job = make_job("print('there', flush=True)\nwhile True: pass", profile=FREE_IMPORTS)
    ending = pool.submit(job)
    await until(lambda: job.sink.stdout, "the script is at work")  # type: ignore[attr-defined]
    child = job.sink.starts[0][1]  # type: ignore[attr-defined]
    by_mode, by_right = ("mem", "environ", "fd"), ("maps", "ns/user", "cwd/.")
    everything = [f"/proc/{child}/{name}" for name in (*by_mode, *by_right)]
    root = os.geteuid() == 0
    for profile, reached in (
        (ADMIN, everything if root else []),
        # Files with a mode are root's and closed; the right to trace opens the others, and whatever is not a file.
        (LEAVES, everything if root else everything[len(by_mode) :] if CHOSEN["restricted"].layers.locks else []),
    ):
        done = await run(pool, LOOK, variables={"places": everything}, profile=profile)
        assert done.value == reached, (profile, done.value, done.ending)
    pool.cancel(job.run_id)
    await ending
    pool.resize(1)


SCENARIOS: dict[str, Callable[[Pool], Awaitable[None]]] = {
    work.__name__: work for work in (bomb, power, deaf, daemons, memory, mess, threads, leaving, victim, out_of_reach)
}


async def main(folder: Path, names: list[str]) -> None:
    took: dict[str, float] = {}
    async with pool_of(
        1, scratch=folder / "scratch", profile=PROFILE, lifted=("threading",), admin_memory=512 << 20, **CHOSEN
    ) as pool:
        await run(pool, "pass", profile=PROFILE)
        isolation = pool.info().slots[0].isolation
        for name in names:
            start = time.monotonic()
            await SCENARIOS[name](pool)
            took[name] = round(time.monotonic() - start, 2)
    print(json.dumps({"uid": os.geteuid(), "isolation": isolation, "took": took}))


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[2:] if not argument.startswith("--")]
    asyncio.run(main(Path(sys.argv[1]), arguments))
