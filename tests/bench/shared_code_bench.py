"""What ten imports of shared code cost a run, against the same files imported from a disk by a fresh python3.

    python tests/bench/shared_code_bench.py [ROUNDS]

Runs of both kinds take turns. "In the child" is the time of the ten statements, measured by the script itself; python3
has its compiled files ready. "More in all" is what a run with them takes longer than one without, as a caller sees it.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine import Engine
from engine.models.scripts import SaveRequest

FILES = 10
TEXT = '''"""Tags of area {number}."""

from __future__ import annotations

LIMITS = {{"low": 0.5, "high": 99.5, "number": {number}}}


class Tag:
    """One tag of the plant."""

    def __init__(self, area: str, device: str, item: str) -> None:
        self.area = area
        self.device = device
        self.item = item

    def path(self) -> str:
        return f"{{self.area}}/{{self.device}}.{{self.item}}"


def parse(text: str) -> Tag:
    area, _, rest = text.strip().partition("/")
    device, _, item = rest.partition(".")
    if not (area and device and item):
        raise ValueError(f"{{text!r}} is no tag")
    return Tag(area, device, item)


def changed(old: dict[str, float], new: dict[str, float], limit: float = 0.1) -> list[str]:
    """Names whose values differ by more than a limit."""
    return [name for name in sorted(old.keys() & new.keys()) if abs(old[name] - new[name]) > limit]


def means(rows: list[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {{}}
    counts: dict[str, int] = {{}}
    for name, value in rows:
        sums[name] = sums.get(name, 0.0) + value
        counts[name] = counts.get(name, 0) + 1
    return {{name: total / counts[name] for name, total in sums.items()}}


def limited(value: float) -> float:
    if LIMITS["low"] > LIMITS["high"]:
        raise ValueError("low is above high")
    return min(max(value, LIMITS["low"]), LIMITS["high"])
'''
IMPORTS = "\n".join(f"import lib.area{number}" for number in range(FILES))
TIMED = f"import time\nbegun = time.perf_counter()\n{IMPORTS}\nresult = time.perf_counter() - begun\n"
PLAIN = "import time\nbegun = time.perf_counter()\nresult = time.perf_counter() - begun\n"


async def main(rounds: int) -> None:
    in_child: list[float] = []
    ours: list[float] = []
    plain: list[float] = []
    disk: list[float] = []
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as folder:
        async with Engine.open(Path(folder) / "plant", pool_size=1) as engine:
            for number in range(FILES):
                text = SaveRequest(text=TEXT.format(number=number))
                await engine.scripts.save(f"lib/area{number}.py", text, engine.owner)
            main_file = engine.project.scripts / "main.py"
            main_file.write_text(TIMED + "print(result)\n")
            first = await timed(engine, TIMED, [])
            await engine.shared.compiled()
            for _ in range(rounds):
                plain.append(await timed(engine, PLAIN, []))
                ours.append(await timed(engine, TIMED, in_child))
                disk.append(await asyncio.to_thread(from_disk, main_file))
    print(f"ten imports in the child     {statistics.median(in_child) * 1000:6.2f} ms")
    print(f"ten imports by python3       {statistics.median(disk) * 1000:6.2f} ms")
    print(f"ratio                        {statistics.median(in_child) / statistics.median(disk):6.2f}")
    print(f"more in all                  {(statistics.median(ours) - statistics.median(plain)) * 1000:6.2f} ms")
    print(f"first run, not compiled yet  {first * 1000:6.2f} ms")


async def timed(engine: Engine, code: str, values: list[float]) -> float:
    while engine.pool.info().ready < 1:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    begun = time.perf_counter()
    run = await engine.execute(code)
    passed = time.perf_counter() - begun
    assert isinstance(run.value, float), run
    values.append(run.value)
    return passed


def from_disk(script: Path) -> float:
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
