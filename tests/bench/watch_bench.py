#!/usr/bin/env python3
"""How long an outside change of a script takes to the event that tells of it, and what watching costs at idle.

Compared with what a change costs at least: a look at all scripts. ``python tests/bench/watch_bench.py [--quick]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import uvloop
from engine_bench import percentile
from store_bench import generate

from engine.services.events import EventBus
from engine.services.sync.watch import WatchService
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.index.scan import QUIET_NS
from store.watch.folders import Watched


def replace_as_vim_does(file: Path, text: str) -> None:
    new = file.with_name("4913")
    new.write_text(text)
    os.replace(new, file)


def in_ms(samples: list[float]) -> dict[str, float]:
    return {"p50_ms": percentile(samples, 0.5) * 1e3, "p99_ms": percentile(samples, 0.99) * 1e3}


async def changes(scripts: Path, events: EventBus, rounds: int) -> dict[str, object]:
    """Seconds from a change to its event, the changes at any moment of the bell's step."""
    chooser, files = random.Random(2), sorted(scripts.rglob("*.py"))
    samples: dict[str, list[float]] = {"saved as vim does": [], "written in place": [], "200 files": []}
    with events.subscribe() as listener:
        for number in range(rounds):
            for name, each in samples.items():
                await asyncio.sleep(chooser.uniform(0.05, 0.15))
                some = chooser.sample(files, 200 if name == "200 files" else 1)
                begun = time.perf_counter()
                for file in some:
                    work = replace_as_vim_does if name == "saved as vim does" else Path.write_text
                    work(file, f"# {name}, {number}\n")
                if name == "200 files":
                    begun = time.perf_counter()  # the last of them is what is waited for
                told = 0
                while told < len(some):
                    told += sum(event.data.updated for event in await anext(listener) if event.type == "script")
                each.append(time.perf_counter() - begun)
    return {name: in_ms(each) for name, each in samples.items()}


async def at_idle(seconds: float) -> dict[str, object]:
    before = time.process_time()
    await asyncio.sleep(seconds)
    return {"idle": {"cpu_percent": (time.process_time() - before) / seconds * 100}}


async def measure(root: Path, count: int, *, quick: bool) -> dict[str, object]:
    scripts = root / "scripts"
    generate(scripts, count)
    (root / "history").mkdir()
    reconciler = await Reconciler.open(ScriptFiles(scripts, root / "history"), root / "index.db")
    events = EventBus()
    watch = WatchService(Watched(root), reconciler, events)
    await asyncio.sleep(QUIET_NS / 1e9)
    running = asyncio.create_task(watch.run())
    try:
        await reconciler.scripts()
        looks = []
        for _ in range(5):
            begun = time.perf_counter()
            await reconciler.scripts()
            looks.append(time.perf_counter() - begun)
        await asyncio.sleep(1)
        figures: dict[str, object] = {"a look": in_ms(looks)}
        figures |= await changes(scripts, events, 3 if quick else 40)
        await asyncio.sleep(1)
        figures |= await at_idle(2 if quick else 20)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await watch.gone()
        await reconciler.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: does every figure come out?")
    parser.add_argument("--scripts", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as name:
        count = 300 if options.quick else options.scripts
        figures = uvloop.run(measure(Path(name), count, quick=options.quick))
    for key, values in figures.items():
        assert isinstance(values, dict)
        print(f"{key:36}", "  ".join(f"{what} {value:.3f}" for what, value in values.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
