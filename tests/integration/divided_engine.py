"""A process that divides the cgroup it is in and runs something in a pool, for ``test_cgroup.py``.

    python divided_engine.py CGROUP [CONTROLLER…]

Prints one line of JSON: what the engine and a run's processes are in, and what is left at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from pool_kit import ADMIN, make_job, parent_of, pool_of, run, until

from engine.sandbox import cgroup

LEAVE = "import subprocess\nresult = subprocess.Popen(['sleep', '600'], start_new_session=True).pid"


def group_of(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup") as lines:
        return next(line[3:].strip() for line in lines if line.startswith("0::"))


def is_left(group: Path) -> bool:
    """Whether there are processes in a cgroup, and none of a slot."""
    try:
        pids = [int(pid) for pid in (group / "cgroup.procs").read_text().split()] if group.is_dir() else []
        return bool(pids) and all(parent_of(pid) != os.getpid() for pid in pids)
    except (OSError, StopIteration):  # it has just gone, or one of them
        return True


async def main(own: Path, controllers: list[str]) -> dict[str, object]:
    (own / "cgroup.procs").write_text(str(os.getpid()))
    try:
        cgroup.divide(controllers)
    except cgroup.NoCgroup as why:
        return {
            "why": str(why),
            "engine": group_of(os.getpid()),
            "left": sorted(p.name for p in own.iterdir() if p.is_dir()),
        }
    runs = cgroup.runs_cgroup()
    assert runs is not None
    async with pool_of(2, profile=ADMIN, cgroup=runs) as pool:
        job = make_job("print('there', flush=True)\nwhile True: pass", profile=ADMIN)
        ending = pool.submit(job)
        await until(lambda: job.sink.stdout, "the script is at work")  # type: ignore[attr-defined]
        child = job.sink.starts[0][1]  # type: ignore[attr-defined]
        template = parent_of(child)
        tree = [group_of(pid) for pid in (child, template, parent_of(template))]
        groups = len([path for path in runs.iterdir() if path.is_dir()])
        pool.cancel(job.run_id)
        await ending
        leaving = await run(pool, LEAVE, profile=replace(ADMIN, leaves=True))
        stayed = Path(group_of(leaving.value)).name
        members = runs / stayed / "cgroup.procs"
        await until(lambda: len(members.read_text().split()) == 2, "it and its reader are left")
        os.kill(leaving.value, signal.SIGKILL)
        await until(lambda: not members.read_text(), "what was kept has ended")
        await run(pool, LEAVE.replace("sleep", "true"), profile=replace(ADMIN, leaves=True))
        await until(lambda: not any(map(is_left, runs.iterdir())), "what was kept last has ended")
    left = [path.name for path in runs.iterdir() if path.is_dir()]
    return {
        "engine": group_of(os.getpid()), "tree": tree, "groups": groups, "left": left, "note": leaving.ending.note,
        "stayed": stayed,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))))
