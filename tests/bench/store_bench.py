"""What the store costs, as ratios of one run: rebuild, unchanged rescan, search, blocked event loop, durable save.

    python tests/bench/store_bench.py [--quick] [--scripts N] [--json FILE]

Generated scripts of 2 KB with a frontmatter block each and words as code has them. A rebuild is compared with reading
every file in a plain loop, taking turns; a rescan with ``git status`` on the same folder; searches are for words of the
scripts: single ones, two at once, beginnings, titles. A save is compared with the system calls that no durable one can
do without. Nothing here passes or fails: README and ARCHITECTURE.md quote the ratios. Processor time is printed as
well, because a shared host makes wall time a matter of luck.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvloop
from engine_bench import percentile

from store.files.scripts import ScriptFiles
from store.index import database
from store.index.reconcile import Reconciler
from store.index.rows import to_columns
from store.index.scan import QUIET_NS, look

TICK = 0.002
"""Seconds between two looks at the event loop."""

SYLLABLES = (
    "re",
    "ad",
    "val",
    "ue",
    "tag",
    "log",
    "con",
    "fig",
    "sen",
    "sor",
    "pump",
    "heat",
    "lim",
    "it",
    "al",
    "arm",
)

TEXT = '''# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# title = "{title}"
# description = "What it does with {word}"
# tags = ["{tag}", "generated"]
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# ///
"""About {word}."""
import json


def main(hours):
{body}    return result
'''


def words(chooser: random.Random) -> list[str]:
    """Four thousand identifiers of two parts each, out of fifteen hundred parts."""
    parts = ["".join(chooser.choices(SYLLABLES, k=3)) for _ in range(1_500)]
    return ["_".join(chooser.choices(parts, k=2)) for _ in range(4_000)]


def generate(folder: Path, count: int) -> list[str]:
    """Scripts in a hundred folders; returns what to search for."""
    chooser = random.Random(1)
    known = words(chooser)
    for number in range(count):
        place = folder / f"area_{number % 100:02}"
        place.mkdir(parents=True, exist_ok=True)
        title = " ".join(chooser.choices(known, k=2)).replace("_", " ").capitalize()
        lines = (f"    {chooser.choice(known)} = {' + '.join(chooser.choices(known, k=4))}\n" for _ in range(28))
        text = TEXT.format(title=title, word=chooser.choice(known), tag=chooser.choice(known), body="".join(lines))
        (place / f"script_{number:05}.py").write_text(text)
    queries = chooser.choices(known, k=60)
    queries += [" ".join(chooser.choices(known, k=2)) for _ in range(40)]
    queries += [word[: chooser.randrange(3, 6)] for word in chooser.choices(known, k=40)]
    queries += ["main hours", "import json", "result", "script 77", "def main"]
    return queries


def read_plainly(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                size += len(file.read())
    return size


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def rows_only(files: ScriptFiles) -> None:
    """A rebuild as it would be without search: the same reading, the same table of scripts."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(database._TABLES)
        connection.execute("BEGIN")
        for number, entry in enumerate(look(files, {}, {}).entries):
            connection.execute(database._INSERT_AS, (number, *to_columns(entry.row)))
        connection.execute("COMMIT")


@contextlib.asynccontextmanager
async def watched_loop(late: list[float]) -> AsyncIterator[None]:
    """Collect by how many seconds the event loop is late."""

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - before - TICK)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


async def rebuilds(folder: Path, reconciler: Reconciler, files: ScriptFiles, rounds: int) -> dict[str, object]:
    samples: dict[str, list[tuple[float, float]]] = {"read": [], "rows": [], "rebuild": []}
    late: list[float] = []
    for _ in range(rounds):
        samples["read"].append(await asyncio.to_thread(timed, lambda: read_plainly(folder)))
        samples["rows"].append(await asyncio.to_thread(timed, lambda: rows_only(files)))
        wall, processor = time.perf_counter(), time.process_time()
        async with watched_loop(late):
            await reconciler.rebuild(lambda _, __: None)
        samples["rebuild"].append((time.perf_counter() - wall, time.process_time() - processor))
    base = [statistics.median(each) for each in zip(*samples["read"], strict=True)]
    figures: dict[str, object] = {}
    for name, each in samples.items():
        middle = [statistics.median(one) for one in zip(*each, strict=True)]
        figures[name] = {
            "p50_ms": middle[0] * 1e3,
            "p99_ms": percentile([wall for wall, _ in each], 0.99) * 1e3,
            "ratio": middle[0] / base[0],
            "cpu_ratio": middle[1] / base[1],
        }
    figures["event loop, late while rebuilding"] = {"p99_ms": percentile(late, 0.99) * 1e3, "max_ms": max(late) * 1e3}
    return figures


def make_repository(git: list[str]) -> None:
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)


async def rescans(folder: Path, reconciler: Reconciler, rounds: int) -> dict[str, object]:
    git = ["git", "-C", str(folder), "-c", "user.name=b", "-c", "user.email=b@b"]
    await asyncio.to_thread(make_repository, git)
    await asyncio.sleep(QUIET_NS / 1e9)
    await reconciler.scripts()
    samples: dict[str, list[float]] = {"git status": [], "rescan": []}
    for _ in range(rounds):
        status = [*git, "status", "--porcelain=v2"]
        samples["git status"].append(timed(lambda: subprocess.run(status, check=True, capture_output=True))[0])  # noqa: B023
        before = time.perf_counter()
        await reconciler.scripts()
        samples["rescan"].append(time.perf_counter() - before)
    base = statistics.median(samples["git status"])
    return {
        name: {
            "p50_ms": percentile(each, 0.5) * 1e3,
            "p99_ms": percentile(each, 0.99) * 1e3,
            "ratio": statistics.median(each) / base,
        }
        for name, each in samples.items()
    }


async def searches(reconciler: Reconciler, queries: list[str], rounds: int) -> dict[str, object]:
    await reconciler.scripts()
    samples: list[float] = []
    for query in queries * rounds:
        before = time.perf_counter()
        await reconciler._index.search(query, 50)
        samples.append(time.perf_counter() - before)
    return {
        "search": {
            name: percentile(samples, part) * 1e3
            for name, part in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))
        }
    }


class Floor:
    """The fewest system calls that replace a file durably: a temporary one, written and synced, renamed, the folder
    synced. Nobody's text is looked at, and nothing is kept."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def save(self, data: bytes) -> None:
        descriptor = os.open("x.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._folder)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename("x.tmp", "x.py", src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def close(self) -> None:
        os.close(self._folder)


def durable_saves(folder: Path, rounds: int) -> dict[str, object]:
    """Saves of 2 KB by the store, each on what the last one left, and by the floor, taking turns."""
    for name in ("scripts", "history"):
        (folder / name).mkdir(parents=True)
    files = ScriptFiles(folder / "scripts", folder / "history")
    floor = Floor(folder / "floor")
    base = files.save("x.py", b"", None)
    samples: dict[str, list[float]] = {"save floor": [], "durable save": []}
    for number in range(rounds):
        data = b"%08d = 'what a script holds'\n" % number * 55
        samples["save floor"].append(timed(lambda: floor.save(data))[0])  # noqa: B023
        before = time.perf_counter()
        base = files.save("x.py", data, base)
        samples["durable save"].append(time.perf_counter() - before)
    floor.close()
    base_p50 = statistics.median(samples["save floor"])
    return {
        name: {
            "p50_ms": percentile(each, 0.5) * 1e3,
            "p99_ms": percentile(each, 0.99) * 1e3,
            "ratio": statistics.median(each) / base_p50,
        }
        for name, each in samples.items()
    }


async def measure(folder: Path, count: int, rounds: int) -> dict[str, object]:
    scripts = folder / "scripts"
    (folder / "history").mkdir()
    queries = generate(scripts, count)
    files = ScriptFiles(scripts, folder / "history")
    reconciler = await Reconciler.open(files, folder / "index.db")
    try:
        await reconciler.scripts()
        figures = await rebuilds(scripts, reconciler, files, rounds)
        figures |= await rescans(scripts, reconciler, 4 * rounds)
        figures |= await searches(reconciler, queries, rounds)
        figures |= await asyncio.to_thread(durable_saves, folder / "saves", 100 * rounds)
    finally:
        await reconciler.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: does every figure come out?")
    parser.add_argument("--scripts", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as name:
        figures = uvloop.run(measure(Path(name), 300 if options.quick else options.scripts, 1 if options.quick else 5))
    for key, values in figures.items():
        assert isinstance(values, dict)
        print(f"{key:36}", "  ".join(f"{what} {value:.3f}" for what, value in values.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
