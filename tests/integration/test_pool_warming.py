"""Slots with packages imported ahead: for whom, how many, how long, and for how much memory."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pool_kit import FREE_IMPORTS, Sink, limits, make_job, pool_of, run, until, until_ready

from engine.models.engine import SlotInfo, SlotState
from engine.models.runs import Outcome
from engine.pool.environment import _ensure
from engine.pool.job import AHEAD, Environment
from engine.pool.pool import Pool
from engine.pool.warming import LONGEST_KEEP, Use
from engine.worker import exercises

SIZE = 48 << 20
"""Bytes that the packages of these tests take once they are imported."""

FOUND = "import sys\nresult = sorted({name.partition('.')[0] for name in sys.modules} & {'numpy', 'pandas', 'special'})"
"""What a run finds imported before it imports anything."""

WAITING = "import time\nprint('there', flush=True)\ntime.sleep(600)"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Packages of the names of large ones, that hold as much memory and nothing else."""
    environment = _ensure(tmp_path_factory.mktemp("warm") / "default")
    for name in ("numpy", "pandas"):
        (environment.packages / name).mkdir()
        held = f"held = b'1' * {SIZE if name == 'numpy' else 1}\n"
        uses = "uses = []\ndef Series(values):\n    uses.append(values)\n    raise ValueError\n"
        (environment.packages / name / "__init__.py").write_text(held + uses)
    (environment.packages / "special.py").write_text("")
    return environment


async def found(pool: Pool, *names: str, **options: Any) -> tuple[list[str], str | None]:
    """Run what wants these packages; return what it found, and its note."""
    ahead = sorted({module for name in names for module in AHEAD[name]})
    done = await run(pool, FOUND, ahead=ahead, **options)
    assert done.outcome is Outcome.OK, done.ending
    return done.value, done.ending.note


def warm(pool: Pool) -> list[SlotInfo]:
    return [slot for slot in pool.info().slots if slot.ahead and slot.state is SlotState.READY]


async def until_warm(pool: Pool, count: int = 1) -> None:
    await until(lambda: len(warm(pool)) == count, f"{count} slots are warm")


async def test_the_first_run_waits_for_nothing_and_the_next_ones_find_it(packages: Environment) -> None:
    async with pool_of(2, environment=packages) as pool:
        states: list[SlotState] = []
        pool.on_change = lambda: states.extend(slot.state for slot in pool.info().slots)
        assert await found(pool, "pandas") == ([], None)
        await until_warm(pool)
        for _ in range(5):  # and none of them takes the other slot while the next child is made
            assert await found(pool, "pandas") == (["numpy", "pandas"], None)
        assert await found(pool, "numpy") == (["numpy", "pandas"], None)
        await until_ready(pool)
        # It was used already, by the zygote and by this very process, and that it fails is no matter.
        done = await run(pool, "import pandas\nresult = len(pandas.uses)", ahead=("pandas",))
        assert done.value == exercises.ROUNDS + 1
        await until_ready(pool)
        assert await found(pool) == ([], None)
        assert SlotState.STARTING not in states
        assert [slot.ahead for slot in pool.info().slots] == [[], ["numpy", "pandas"]]


@pytest.mark.slow
async def test_the_last_usual_slot_is_never_taken(packages: Environment) -> None:
    async with pool_of(2, environment=packages) as pool:
        await found(pool, "numpy")
        await until_warm(pool)
        # Another set of packages joins the first one in the slot that is warm.
        assert await found(pool, "pandas") == ([], None)
        await until(lambda: [slot.ahead for slot in pool.info().slots] == [[], ["numpy", "pandas"]], "both are there")
        await until_ready(pool)
        special = replace(FREE_IMPORTS, preloads=("special",))
        value, note = await found(pool, profile=special)
        assert (value, note) == (
            [],
            "special was not imported ahead (preload): every slot but one has other modules imported ahead.",
        )
    async with pool_of(1, environment=packages) as pool:
        for _ in range(3):
            assert await found(pool, "pandas") == ([], None)
        assert pool.info().slots[0].ahead == []
        # What a script asks for itself in its header it gets there, too.
        assert await found(pool, profile=replace(FREE_IMPORTS, preloads=("special",))) == (["special"], None)


async def test_a_run_that_needs_nothing_of_it_may_have_the_warm_slot_and_leaves_it_so(packages: Environment) -> None:
    async with pool_of(2, environment=packages) as pool:
        await found(pool, "pandas")
        await until_warm(pool)
        await until_ready(pool)
        job = make_job(WAITING, limits=limits(wall=120.0))
        ending = pool.submit(job)
        assert isinstance(job.sink, Sink)
        await until(lambda: job.sink.stdout, "the usual slot is busy")  # type: ignore[attr-defined]
        assert (await found(pool))[0] == ["numpy", "pandas"]
        assert await found(pool, "pandas") == (["numpy", "pandas"], None)
        pool.cancel(job.run_id)
        await ending


async def test_what_takes_too_much_goes_again_and_the_runs_say_so(packages: Environment) -> None:
    async with pool_of(2, environment=packages, preload_memory=SIZE // 2) as pool:
        seen: list[bool] = []
        pool.on_change = lambda: seen.append(bool(warm(pool)))
        assert await found(pool, "numpy") == ([], None)
        await until(lambda: any(seen) and not warm(pool), "it was warm, and is no longer")
        await until_ready(pool)
        value, note = await found(pool, "numpy")
        assert value == []
        assert note is not None
        assert note.startswith("numpy was not imported ahead: it takes ")
        assert note.endswith("in each slot that has it, and pool.preload_memory allows 24 MiB in all.")
        assert (await found(pool))[1] is None
        await until_ready(pool)
        assert not warm(pool)


@pytest.mark.slow
async def test_more_slots_than_the_memory_allows_are_not_warmed(packages: Environment) -> None:
    """Two of them would take it: the first is known, the second is never begun."""
    async with pool_of(4, environment=packages, preload_memory=SIZE + SIZE // 2) as pool:
        await found(pool, "numpy")
        await until_warm(pool)
        endings = [pool.submit(make_job(FOUND, ahead=("numpy",))) for _ in range(8)]
        for ending in endings:
            assert (await ending).outcome is Outcome.OK
        await until_ready(pool)
        assert len(warm(pool)) == 1
    async with pool_of(2, environment=packages, preload_memory=0) as pool:
        assert (await found(pool, "numpy"))[0] == []
        value, note = await found(pool, profile=replace(FREE_IMPORTS, preloads=("special",)))
        assert (value, note) == ([], "special was not imported ahead (preload): pool.preload_memory is 0.")
        assert all(not slot.ahead for slot in pool.info().slots)


@pytest.mark.slow
async def test_a_slot_that_no_run_wants_so_becomes_a_usual_one(packages: Environment) -> None:
    async with pool_of(2, environment=packages, profile_keep=0.05, health_interval=0.05) as pool:
        await found(pool, "pandas")
        seen: list[bool] = []
        pool.on_change = lambda: seen.append(any(slot.ahead for slot in pool.info().slots))
        await until(lambda: True in seen and not seen[-1], "it was warm, and is no longer")
        await until_ready(pool)


async def test_a_slot_is_ready_for_the_first_run_in_an_environment_that_is_expected(
    packages: Environment, tmp_path: Path
) -> None:
    own = replace(_ensure(tmp_path / "default"), name="reports")
    (own.packages / "only_there.py").write_text("")
    async with pool_of(2, environment=packages) as pool:
        states: list[SlotState] = []
        pool.on_change = lambda: states.extend(slot.state for slot in pool.info().slots)
        for _ in range(3):
            pool.expect(own)
        await until(lambda: [slot.environment for slot in pool.info().slots] == ["", "reports"], "one slot has it")
        await until_ready(pool)
        done = await run(pool, "import only_there\nresult = 1", profile=FREE_IMPORTS.inside(own))
        assert done.value == 1
        pool.expect(replace(own, name="other"))  # and the last usual slot stays one
        await until_ready(pool)
        assert SlotState.STARTING not in states
        assert [slot.environment for slot in pool.info().slots] == ["", "reports"]


@pytest.mark.slow
async def test_a_package_that_cannot_be_imported_is_the_runs_to_tell_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "engine.pool.warming")
    broken = _ensure(tmp_path / "default")
    (broken.packages / "numpy.py").write_text("raise OSError('no such library')\n")
    async with pool_of(2, environment=broken) as pool:
        for _ in range(3):
            done = await run(pool, "import numpy", ahead=("numpy",))
            await until(lambda: caplog.messages, "it was tried")
            assert done.outcome is Outcome.SCRIPT_ERROR
            assert done.ending.error is not None
            assert done.ending.error.message == "no such library"
        await until_ready(pool)
        assert sum(slot.restarts for slot in pool.info().slots) == 0
        assert len(caplog.messages) == 1  # and not again for each run


def test_a_slot_is_kept_for_as_long_as_its_runs_keep_coming() -> None:
    use = Use(0.0)
    assert use.keep(60.0) == 60.0
    use.again(600.0)
    assert use.keep(60.0) == 2400.0
    use.again(1200.0)
    assert use.keep(60.0) == 2400.0
    use.again(1201.0)
    assert use.keep(60.0) == 4 * 300.5
    use.again(1202.0)
    use.again(1203.0)
    assert 60.0 < use.keep(60.0) < 400.0
    use.again(1203.0 + LONGEST_KEEP + 1)
    assert use.keep(60.0) == 60.0
    use.again(1203.0 + 2 * LONGEST_KEEP)
    assert use.keep(60.0) == LONGEST_KEEP
