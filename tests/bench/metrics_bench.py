"""The figures of a plant that has run for a month: what is asked of them, and what counting costs a run.

    python tests/bench/metrics_bench.py [--runs 1000000] [--scripts 200] [--folder /var/tmp] [--quick]

The records are made by SQL and the figures through the store's own merging, from minutes with as many different
durations as a busy plant has. The bars: figures of the console's pool screen within 300 ms, lists of runs with filters
within 50 ms, a scrape within 5 ms, 10 microseconds a run. Each question is asked several times; the middle one counts.
Nothing here passes or fails.

Two cores that eight others kept busy (load 7): the pool screen 2 ms, history of a day by minutes 22 ms and of 30 days
38 ms, groups of 30 days 69 ms by script, 12 ms by caller and 10 ms by failure, lists of runs 0.1 to 14 ms, a scrape of
200 scripts 1.6 ms, a minute of 1,000 runs written in 15 ms, 2.3 to 4.3 microseconds a run (1.8 without the groups).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engine.api.exposition import Exposition
from engine.library import Engine
from engine.models.metrics import GroupedBy
from engine.registry.runs import RunListParams
from engine.services.runs.metrics import GroupKey, RunMetrics, bin_of, script_of
from store.state.metrics import (
    DAY,
    GROUP_STEPS,
    MINUTE,
    SPAN_STEPS,
    GroupRow,
    SpanRow,
    merged_groups,
    merged_spans,
    packed,
)

RUNS = """
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :runs)
    INSERT INTO run (id, kind, name, state, mode, actor, source, queued_at, timeout, code_sha256, isolation,
        started_at, finished_at, duration, slot, outcome, output_bytes, output_complete)
    SELECT n, 'script', 'line' || (n % 7) || '/job' || (n % :scripts) || '.py', 'finished', 'RESTRICTED',
        CASE WHEN n % 50 = 0 THEN 'anna' ELSE 'token:scada' END, 'rest', :now - (:runs - n) * :every, 30.0, 'c0de',
        'full', :now - (:runs - n) * :every, :now - (:runs - n) * :every + 0.1, 0.1, 1,
        CASE WHEN n % 1000 = 0 THEN 'timeout' WHEN n % 20 = 0 THEN 'script_error' ELSE 'ok' END, 0, 1
    FROM number
"""


def bins(random_: random.Random, runs: int) -> bytes:
    found: dict[int, int] = {}
    for _ in range(runs):
        bin_ = bin_of(int(random_.lognormvariate(9, 1.2)))
        found[bin_] = found.get(bin_, 0) + 1
    return packed(found)


def put(database: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    database.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def fill(path: Path, runs: int, scripts: int, now: float) -> None:
    """Write a month of records and figures beside a closed engine."""
    from msgspec.structs import astuple, replace

    random_ = random.Random(15)
    kinds = [bins(random_, 30) for _ in range(64)]
    first = int(now - 30 * DAY) // MINUTE * MINUTE
    with closing(sqlite3.connect(path)) as database:
        database.execute(RUNS, {"runs": runs, "scripts": scripts, "now": now, "every": 30 * DAY / runs})
        longer: dict[tuple[int, int], list[SpanRow]] = {}
        for number in range(30 * DAY // MINUTE):
            row = SpanRow(
                step=MINUTE, at=first + number * MINUTE, total=30, successful=29, timed=30, duration=900_000,
                shortest=700, longest=400_000, durations=random_.choice(kinds), busy=1.0, slots=180.0, size=3,
                samples=1, engine_cpu=3.0, engine_memory=10**8, load=0.5,
            )  # fmt: skip
            for step in SPAN_STEPS:
                longer.setdefault((step, row.at - row.at % step), []).append(row)
        spans = [replace(merged_spans(rows), step=step, at=at) for (step, at), rows in longer.items()]
        put(database, "metric_span", [astuple(row) for row in spans])
        for step, kept in GROUP_STEPS.items():
            rows = [
                GroupRow(
                    kind=kind, step=step, at=at, name=f"job{number}.{kind}", total=30, successful=29, timed=30,
                    duration=900_000, shortest=700, longest=400_000,
                    durations=merged_groups([one(random_.choice(kinds)) for _ in range(4)]).durations,
                    errors='{"script_error": 1}', last_at=now,
                )
                for at in range(int(max(first, now - kept)) // step * step, int(now), step)
                for kind, many in (("script", scripts), ("caller", 20), ("error", 6))
                for number in range(many)
            ]  # fmt: skip
            put(database, "metric_group", [astuple(row) for row in rows])
        database.execute("INSERT OR REPLACE INTO metric_through VALUES (1, ?)", (now,))
        database.commit()


def one(durations: bytes) -> GroupRow:
    return GroupRow(kind="", step=0, at=0, name="", durations=durations)


async def timed(ask: Callable[[], Awaitable[object]], times: int = 9) -> float:
    """Milliseconds of the middle one."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def cost_of_counting() -> float:
    """Microseconds that a run costs to count: begin, end, processor time."""
    names = [f"job{number}.py" for number in range(50)]
    best = float("inf")
    for _ in range(5):
        runs = RunMetrics()
        began = time.perf_counter()
        for number in range(50_000):
            runs.started(number)
            key = GroupKey(script_of("script", names[number % 50]), "token:scada", "ok")
            runs.ended(number, key, 0.001 + number % 97 / 10_000, time.time())
            runs.used(0.001)
        best = min(best, (time.perf_counter() - began) / 50_000 * 1e6)
    return best


async def measure(root: Path, runs: int, scripts: int) -> None:
    now = time.time()
    async with Engine.open(root, pool_size=1):
        pass
    began = time.perf_counter()
    await asyncio.to_thread(fill, root / ".gatewright" / "state.db", runs, scripts, now)
    print(f"{runs} runs and 30 days of minutes were made in {time.perf_counter() - began:.0f} s")
    async with Engine.open(root, pool_size=1) as engine:
        history, owner = engine.metric_history, engine.owner

        async def pool_screen() -> None:
            await engine.metrics.info()
            await history.history(1.0, 60)
            await engine.alerts.alerts()

        for what, ask in (
            ("pool screen: metrics, last hour, alerts", pool_screen),
            ("history of 24 h in 1440 points", lambda: history.history(24.0, 1440)),
            ("history of 30 days in 60 points", lambda: history.history(720.0, 60)),
            ("history of 30 days in 1440 points", lambda: history.history(720.0, 1440)),
            *(
                (f"groups by {by} of {hours:g} h", lambda by=by, hours=hours: history.groups(by, hours, 50))
                for by in GroupedBy
                for hours in (1.0, 24.0, 168.0, 720.0)
            ),
        ):
            print(f"{await timed(ask):8.1f} ms  {what}")
        day = now - DAY
        for params in (
            RunListParams(),
            RunListParams(name=f"line1/job{1 % scripts}.py"),
            RunListParams(part="job7"),
            RunListParams(part="nothing has this name"),
            RunListParams(outcome="timeout"),
            RunListParams(outcome="memory"),
            RunListParams(actor="anna"),
            RunListParams(actor="ben"),
            RunListParams(actor="anna", outcome="timeout"),
            RunListParams(actor="anna", outcome="crashed"),
            RunListParams(name=f"line1/job{1 % scripts}.py", outcome="memory"),
            RunListParams(part="job7", outcome="memory"),
            RunListParams(part="job7", actor="ben"),
            RunListParams(since=day, until=day + 3600),
            RunListParams(since=day, outcome="timeout", part="job"),
            RunListParams(until=now - 29 * DAY),
            RunListParams(until=now - 29 * DAY, outcome="timeout"),
            RunListParams(until=now - 29 * DAY, part="job7"),
        ):
            print(
                f"{await timed(lambda params=params: engine.runs.find(params, owner), 5):8.1f} ms  runs list {params}"
            )
        print(f"{await timed(lambda: history.keep(None), 5):8.1f} ms  a minute that nothing happened in is written")
        for number in range(1_000):
            history._runs.started(number)
            history._runs.ended(number, GroupKey(f"job{number % scripts}.py", "anna", "ok"), 0.1, now)
        print(f"{await timed(lambda: history.keep(None), 1):8.1f} ms  a minute of 1000 runs of {scripts} scripts")
        exposition = Exposition(SimpleNamespace(engine=engine))  # type: ignore[arg-type]
        await exposition.text()
        print(f"{await timed(exposition.text, 25):8.1f} ms  scrape with {scripts} scripts")
    print(f"{cost_of_counting():8.1f} us  counting one run")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--scripts", type=int, default=200)
    parser.add_argument("--folder", default="/var/tmp")
    parser.add_argument("--quick", action="store_true", help="20,000 runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder).resolve() / "plant"
        asyncio.run(measure(root, 20_000 if options.quick else options.runs, options.scripts))


if __name__ == "__main__":
    main()
