"""Checks of texts through a real engine: the sandboxed parser, what hostile texts do to it, and to others."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hostile_texts import HOSTILE, SLOW

from engine import Engine
from engine.models.checks import CheckReport, CheckRequest
from engine.models.runs import Outcome
from engine.services.access import ServiceError
from engine.services.scripts.examiner import QUEUE_LIMIT

TOO_LONG = "Checking this text takes longer than 1.5 s; it was not checked."

FRONTMATTER = "# /// script\n" + "# a.b.c.d.e.f.g = [[[[{x = 1}]]]]\n" * 1900 + "# ///\n"

ALLOWED = 0.050
"""Seconds that a hostile text may cost another user's run or key."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


async def check(engine: Engine, text: str) -> CheckReport:
    return await engine.checks.check(CheckRequest(text=text), engine.owner)


async def check_all(engine: Engine, texts: list[str]) -> None:
    for text in texts:
        await check(engine, text)


async def test_a_syntax_error_has_its_line_and_column(engine: Engine) -> None:
    (problem,) = (await check(engine, "é = 1\nß = = 2\n")).problems
    assert (problem.line, problem.column, problem.severity) == (2, 4, "error")
    assert problem.message == "invalid syntax"


async def test_functions_and_imports_come_back(engine: Engine) -> None:
    report = await check(engine, "import os.path, json\ndef main(a: int, b='x'):\n    'Adds.'\n")
    assert report.imports == ["json", "os"]
    (function,) = report.functions
    assert (function.name, function.summary) == ("main", "Adds.")
    assert [(p.name, p.required, p.annotation, p.default) for p in function.params] == [
        ("a", True, "int", ""), ("b", False, "", "'x'")
    ]  # fmt: skip
    assert report.problems == []


async def test_the_bundled_scripts_have_no_problems(engine: Engine) -> None:
    for info in (await engine.scripts.list()).scripts:
        loaded = await engine.scripts.load(info.path)
        assert (await check(engine, loaded.text)).problems == [], info.path


async def test_what_a_reader_would_not_see_or_should_not_have_is_told(engine: Engine) -> None:
    header = '# coding: utf-7\n# /// script\n# [tool.gatewright.params.api_key]\n# default = "hunter2"\n# ///\n'
    report = await check(engine, f"{header}is_ok\ufe0f = 1  # \u202e\n")
    assert [(p.line, p.severity, p.message.split(",")[0]) for p in report.problems] == [
        (1, "error", "It declares the encoding utf-7 in line 1"),
        (4, "warning", "params.api_key.default is the value of a secret parameter"),
        (6, "warning", "This line holds U+FE0F (variation selector-16)"),
    ]


async def test_the_parser_is_sandboxed_as_scripts_are(engine: Engine) -> None:
    await check(engine, "")
    (slot,) = engine.checks._examiner._pool.info().slots
    assert slot.isolation == engine.pool.info().isolation != ""


async def test_a_text_is_never_run(engine: Engine) -> None:
    assert (await check(engine, "while True: pass\n")).problems == []


@pytest.mark.slow
async def test_whatever_the_text_a_report_comes_and_the_next_one_works(engine: Engine) -> None:
    for name, text in HOSTILE.items():
        report = await check(engine, text)
        assert len(report.problems) <= 50, name
        assert len(report.functions) <= 500, name
        for problem in report.problems:
            assert len(problem.message) <= 500, name
            assert "broke" not in problem.message, name
    assert [p.line for p in (await check(engine, "a\nb c")).problems] == [2]


async def test_a_text_that_takes_too_long_is_given_up_and_never_keeps_a_run_waiting(engine: Engine) -> None:
    await check(engine, "")  # the slot stands
    checking = asyncio.create_task(check(engine, SLOW))
    runs = 0
    while not checking.done():
        assert (await engine.execute("result = 1")).outcome is Outcome.OK
        runs += 1
    (problem,) = checking.result().problems
    assert (problem.message, problem.severity) == (TOO_LONG, "error")
    assert runs > 10  # with the users' only slot free they come by the hundred
    assert (await check(engine, "x = 1")).problems == []


async def test_more_texts_than_may_wait_are_refused(engine: Engine) -> None:
    await check(engine, "")
    waiting = [asyncio.create_task(check(engine, f'{SLOW[:-10]}"\n{number}')) for number in range(QUEUE_LIMIT + 3)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(ServiceError, match="wait to be checked") as refusal:
        await done.pop()
    assert (refusal.value.code, refusal.value.status) == ("busy", 429)
    for task in waiting:
        task.cancel()


async def test_an_engine_that_stops_does_not_wait_for_texts(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        checking = asyncio.create_task(check(engine, SLOW))
        await asyncio.sleep(0.3)
    with pytest.raises(ServiceError, match="not checked"):
        await checking


class Blocks:
    """How long the event loop is blocked: the processor time of its thread in one callback, the longest of all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.longest = 0.0
        run = asyncio.Handle._run  # type: ignore[attr-defined]

        def timed(handle: asyncio.Handle) -> None:
            start = time.thread_time()
            run(handle)
            self.longest = max(self.longest, time.thread_time() - start)

        monkeypatch.setattr(asyncio.Handle, "_run", timed)


async def latencies(engine: Engine, until: Callable[[], bool]) -> list[float]:
    """What a short run costs its user, again and again, at a pace at which a parked child is ready."""
    found = []
    while not until():
        start = time.perf_counter()
        run = await engine.execute("result = 1")
        found.append(time.perf_counter() - start)
        assert run.value == 1
        await asyncio.sleep(0.02)
    return found


async def watched(engine: Engine, blocks: Blocks, work: Awaitable[object]) -> tuple[float, float]:
    """The loop's longest block and the median latency of others' runs while ``work`` goes on."""
    blocks.longest = 0.0
    task = asyncio.ensure_future(work)
    found = await latencies(engine, task.done)
    await task
    return blocks.longest, statistics.median(found)


async def test_a_hostile_text_delays_nobody_by_more_than_50_ms(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the same without it. Blocks are counted in processor time: a host busy otherwise fails nothing."""
    await check(engine, "")
    blocks = Blocks(monkeypatch)
    quiet_block, quiet_run = await watched(engine, blocks, asyncio.sleep(1.5))
    hostile_block, hostile_run = await watched(engine, blocks, check(engine, SLOW))
    other_block, _ = await watched(engine, blocks, check_all(engine, [HOSTILE["nulls"], HOSTILE["wide"], FRONTMATTER]))
    blocked = f"blocked {quiet_block:.4f}, {hostile_block:.4f}, {other_block:.4f} s"
    report = f"{blocked}; runs took {quiet_run:.4f}, {hostile_run:.4f} s"
    print(report)
    assert quiet_block > 0
    assert max(hostile_block, other_block) - quiet_block < ALLOWED, report
    assert hostile_run - quiet_run < ALLOWED, report


async def test_blocks_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure above does notice a callback that keeps the loop."""
    blocks = Blocks(monkeypatch)

    async def blocking() -> None:
        start = time.thread_time()
        while time.thread_time() - start < 2 * ALLOWED:
            pass

    await asyncio.create_task(blocking())
    assert blocks.longest > ALLOWED
