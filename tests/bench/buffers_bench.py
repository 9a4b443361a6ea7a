"""What a run costs beyond its work when 100 MB go in and 100 MB come out in buffers.

    python tests/bench/buffers_bench.py [--quick] [--mb N]

The work is the same function on the same bytes in this process: a table of a log's lines made and filtered, text to
text (``lines``), and the heaviest case for what carries it, one pass over the bytes (``translate``). Rounds of both
take turns. RESTRICTED, with records on. Processor time, of all processes together, is what other load changes least.
On two cores with a load of 9: lines 1.28 x the processor time of the work (712 and 912 ms), translate 2.0 x (200, 405).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine import Engine
from engine.models.runs import Outcome

LINES = """
def work(data, create):
    kept = []
    for line in bytes(data).split(b"\\n"):
        if b"ERROR" not in line:
            kept.append(line.lower())
    text = b"\\n".join(kept)
    create(len(data))[:len(text)] = text
"""
TRANSLATE = """
def work(data, create):
    create(len(data))[:] = bytes(data).translate(bytes(range(255, -1, -1)))
"""
CALL = '\nimport gatewright\nwork(gatewright.buffers["data"], lambda size: gatewright.buffers.create("out", size))\n'
LINE = b"INFO   | jvm 1 | 2026/01/01 00:00:00 | Tag Line/Tag 42 has the value 17.25 (good)\n"


def local(source: str, data: bytes) -> Callable[[], None]:
    scope: dict[str, Callable[..., None]] = {}
    exec(source, scope)
    return lambda: scope["work"](data, bytearray)


def processor_time() -> float:
    """Return the seconds that this process has used."""
    used = os.times()
    return used.user + used.system


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--mb", type=int, default=100, help="megabytes each way")
    chosen = parser.parse_args()
    rounds = 3 if chosen.quick else 7
    size = (chosen.mb if not chosen.quick else 10) * 1_000_000
    data = (LINE * (size // len(LINE) + 1))[:size]
    with tempfile.TemporaryDirectory() as folder:
        async with Engine.open(Path(folder) / "plant", pool_size=3) as engine:
            for name, source in (("lines", LINES), ("translate", TRANSLATE)):
                work, floor, ours = local(source, data), [], []
                used_by_work, used_by_run = [], []
                for _ in range(rounds):
                    start, used = time.perf_counter(), processor_time()
                    work()
                    floor.append(time.perf_counter() - start)
                    used_by_work.append(processor_time() - used)
                    ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
                    engine.pool.on_exit = ended.set_result
                    start, used = time.perf_counter(), processor_time()
                    run = await engine.execute(source + CALL, buffers={"data": data}, timeout=60)
                    ours.append(time.perf_counter() - start)
                    used_by_run.append(await ended + processor_time() - used)
                    assert run.outcome is Outcome.OK, run
                    assert len(run.buffers["out"]) == size
                    del run
                floor.sort()
                ours.sort()
                work_p50, run_p50 = floor[rounds // 2], ours[rounds // 2]
                print(
                    f"{name:10} work p50 {work_p50 * 1e3:6.0f} ms p99 {floor[-1] * 1e3:6.0f} ms  "
                    f"run p50 {run_p50 * 1e3:6.0f} ms p99 {ours[-1] * 1e3:6.0f} ms  "
                    f"{run_p50 / work_p50:5.2f} x (best {ours[0] / floor[0]:.2f} x)"
                )
                work_p50, run_p50 = sorted(used_by_work)[rounds // 2], sorted(used_by_run)[rounds // 2]
                times = run_p50 / work_p50
                print(
                    f"{'':10} processor p50 {work_p50 * 1e3:4.0f} ms {'':12} processor p50 {run_p50 * 1e3:4.0f} ms "
                    f"{'':12} {times:5.2f} x"
                )


if __name__ == "__main__":
    asyncio.run(main())
