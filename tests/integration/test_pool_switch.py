"""The usual environment changes under the runs: slots go over beside what they do, and no run notices but new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pool_kit import FREE_IMPORTS, Sink, make_job, plans, pool_of, run, slot_state, until, until_ready

from engine.models.engine import SlotState
from engine.models.runs import Outcome, Priority
from engine.pool.environment import _ensure
from engine.pool.job import Environment
from engine.pool.pool import Pool
from engine.pool.settings import PoolSettings
from engine.pool.switching import UnusableEnvironment
from engine.services.macros.local import LocalExecutor
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.examiner import Examiner, tools_pool

WHICH = "import generation\nresult = generation.NAME"
WAITING = "import generation, time\nprint('there', flush=True)\ntime.sleep(600)"


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> list[Environment]:
    """Builds of one environment, each with a package that says which it is."""
    found = []
    for name in ("first", "second", "third"):
        environment = _ensure(tmp_path_factory.mktemp("builds") / "default")
        (environment.packages / "generation.py").write_text(f"NAME = {name!r}\n")
        found.append(environment)
    return found


def broken(environment: Environment, folder: Path) -> Environment:
    """The same on an interpreter that ends at once."""
    interpreter = folder / "python3"
    interpreter.write_text("#!/bin/sh\nexit 3\n")
    interpreter.chmod(0o755)
    return replace(environment, interpreter=interpreter)


async def name_here(pool: Pool, **options: Any) -> str:
    done = await run(pool, WHICH, **options)
    assert done.outcome is Outcome.OK, done.ending
    return str(done.value)


async def test_new_runs_have_the_new_one_at_once_and_every_slot_goes_over(generations: list[Environment]) -> None:
    first, second, _ = generations
    async with pool_of(2, environment=first) as pool:
        states: list[SlotState] = []
        pool.on_change = lambda: states.extend(slot.state for slot in pool.info().slots)
        assert await name_here(pool) == "first"
        pool.switch_environment(second)
        assert pool.environment == second
        assert await name_here(pool) == "second"
        await asyncio.wait_for(pool.switched(), 30)
        await until_ready(pool)
        await until(lambda: pool.environments_in_use() == {second}, "nothing has the one of before")
        both = await asyncio.gather(name_here(pool), name_here(pool))
        assert set(both) == {"second"}
        # Beside what was there: no slot was ever without a zygote.
        assert not {SlotState.STARTING, SlotState.FAILED} & set(states)
        assert sum(slot.restarts for slot in pool.info().slots) == 0


async def test_what_goes_on_or_waits_ends_where_it_was_submitted(generations: list[Environment]) -> None:
    first, second, _ = generations
    async with pool_of(1, environment=first) as pool:
        states: list[SlotState] = []
        pool.on_change = lambda: states.append(slot_state(pool))
        job = make_job(WAITING)
        ending = pool.submit(job)
        assert isinstance(job.sink, Sink)
        await until(lambda: job.sink.stdout, "it is at work")  # type: ignore[attr-defined]
        waiting = [pool.submit(make_job(WHICH)) for _ in range(5)]
        pool.switch_environment(second)
        late = pool.submit(make_job(WHICH))
        await asyncio.wait_for(pool.switched(), 30)
        assert pool.environments_in_use() == {first, second}
        assert slot_state(pool) is SlotState.RUNNING
        pool.cancel(job.run_id)
        assert (await ending).outcome is Outcome.CANCELLED
        assert [(await done).value for done in waiting] == ["first"] * 5
        assert (await late).value == "second"
        assert SlotState.STARTING not in states  # it went over once, after the last of them
        await until(lambda: pool.environments_in_use() == {second}, "nothing has the one of before")


@pytest.mark.slow
async def test_runs_with_an_environment_of_their_own_keep_it(generations: list[Environment]) -> None:
    first, second, third = generations
    own = replace(FREE_IMPORTS, environment=replace(third, name="reports"))
    async with pool_of(2, environment=first) as pool:
        assert await name_here(pool, profile=own) == "third"
        pool.switch_environment(second)
        await asyncio.wait_for(pool.switched(), 30)
        assert await name_here(pool, profile=own) == "third"
        assert await name_here(pool) == "second"
        assert own.environment in pool.environments_in_use()


async def test_what_a_batch_began_in_is_in_use_until_its_end(generations: list[Environment]) -> None:
    first, second, _ = generations
    async with pool_of(1, environment=first) as pool:
        batch = LocalExecutor(pool, run_id=1_000, actor="ann")
        pool.switch_environment(second)
        await pool.switched()
        await until(lambda: _left(pool, first), "no process has the one of before")
        assert pool.environments_in_use() == {first, second}
        await batch.close()
        await batch.close()
        assert pool.environments_in_use() == {second}


def _left(pool: Pool, environment: Environment) -> bool:
    return all(environment not in slot.environments for slot in pool.slots())


async def test_many_switches_under_load_fail_no_run(generations: list[Environment]) -> None:
    async with pool_of(2, environment=generations[0], queue_limit=100) as pool:
        over = False
        names = dict(zip(generations, ("first", "second", "third"), strict=True))
        seen: list[str] = []

        async def load(priority: Priority) -> None:
            while not over:
                expected = names[pool.environment]
                seen.append(await name_here(pool, priority=priority))
                assert seen[-1] == expected

        tasks = [asyncio.create_task(load(priority)) for priority in (Priority.API, Priority.BATCH, Priority.API) * 2]
        for to in ((1,), (2, 0), (2,), (1,)):  # the second one twice: before the first change came to anything
            count = len(seen)
            for number in to:
                pool.switch_environment(generations[number])
            await asyncio.wait_for(pool.switched(), 60)
            await until(lambda count=count: len(seen) > count + 10 or any(t.done() for t in tasks), "runs go on", 60)  # type: ignore[misc]
        over = True
        await asyncio.gather(*tasks)
        assert set(seen) == {"first", "second", "third"}
        assert sum(slot.restarts for slot in pool.info().slots) == 0


@pytest.mark.slow
async def test_an_environment_in_which_nothing_starts_changes_nothing(
    generations: list[Environment], tmp_path: Path
) -> None:
    first, second, _ = generations
    told: list[Environment] = []
    async with pool_of(2, environment=first) as pool:
        pool.on_switch = told.append
        bad = broken(second, tmp_path)
        pool.switch_environment(bad)
        waiting = asyncio.create_task(name_here(pool))
        with pytest.raises(UnusableEnvironment, match="the one from before is used on"):
            await asyncio.wait_for(pool.switched(), 60)
        assert await asyncio.wait_for(waiting, 60) == "first"
        assert (told, pool.environment) == ([bad, first], first)
        await until_ready(pool)
        assert pool.environments_in_use() == {first}
        assert sum(slot.restarts for slot in pool.info().slots) == 0
        pool.switch_environment(second)
        await asyncio.wait_for(pool.switched(), 30)
        assert await name_here(pool) == "second"


async def test_slots_that_have_no_zygote_start_in_the_new_one(generations: list[Environment], tmp_path: Path) -> None:
    """A first environment whose interpreter went away is mended by a switch."""
    first, second, _ = generations
    async with pool_of(1, environment=broken(first, tmp_path)) as pool:
        assert slot_state(pool) is SlotState.FAILED
        pool.switch_environment(second)
        await asyncio.wait_for(pool.switched(), 60)
        assert await name_here(pool) == "second"


@pytest.mark.slow
async def test_what_is_no_longer_there_is_not_imported_ahead_in_the_new_one(generations: list[Environment]) -> None:
    first, second, _ = generations
    (first.packages / "only_here.py").write_text("")
    ahead = replace(FREE_IMPORTS, preloads=("only_here",))
    async with pool_of(2, environment=first) as pool:
        assert (await run(pool, "result = 1", profile=ahead)).value == 1
        pool.switch_environment(second)
        await asyncio.wait_for(pool.switched(), 60)
        assert pool.environment == second
        await until_ready(pool)
        await until(lambda: pool.environments_in_use() == {second}, "nothing has the one of before")


@pytest.mark.slow
@pytest.mark.parametrize("while_switching", [Pool.close, lambda pool: pool.resize(1)], ids=["close", "shrink"])
async def test_the_pool_may_close_or_shrink_in_the_middle(
    generations: list[Environment], while_switching: Callable[[Pool], object]
) -> None:
    async with pool_of(3, environment=generations[0]) as pool:
        pool.switch_environment(generations[1])
        done = while_switching(pool)
        if done is not None:
            await done  # type: ignore[misc]
        else:
            await asyncio.wait_for(pool.switched(), 30)
            assert await name_here(pool) == "second"


async def test_texts_are_parsed_with_the_interpreter_of_the_new_one(
    generations: list[Environment], tmp_path: Path
) -> None:
    """And what they import is looked for there, though the same text was parsed before."""
    first, second, _ = generations
    (second.packages / "newly_installed.py").write_text("")
    settings = PoolSettings(environment=first, scratch=tmp_path, **plans())
    examiner = Examiner(tools_pool(settings))
    try:
        text = b"import newly_installed\n"
        before = await examiner.examine(text, "", "tester", Priority.API)
        assert examiner.environments_in_use() == {first}
        examiner.follow(second)
        assert examiner.environments_in_use() == {first, second}
        after = await examiner.examine(text, "", "tester", Priority.API)
    finally:
        await examiner.close()
    assert [found.imports[0].origin for found in (before, after)] == ["missing", "installed"]


def test_requirements_are_held_against_the_new_one(generations: list[Environment]) -> None:
    first, second, _ = generations
    metadata = second.packages / "plant_tools-2.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plant-tools\nVersion: 2.0\n")
    dependencies = Dependencies.of(first)
    assert dependencies.missing(["plant-tools>=2"]) == ["plant-tools>=2"]
    dependencies.follow(second)
    assert dependencies.missing(["plant-tools>=2"]) == []
    dependencies.follow(replace(second, version="3.9.1"))
    assert dependencies.python_problem(">=3.10") is not None


async def test_a_slot_that_rests_is_woken_in_the_environment_of_then(generations: list[Environment]) -> None:
    first, second, _ = generations
    async with pool_of(2, environment=first) as pool:
        pool.rest(1, "The load is high.")
        pool.switch_environment(second)
        await asyncio.wait_for(pool.switched(), 30)
        assert [slot.state for slot in pool.info().slots] == [SlotState.READY, SlotState.RESTING]
        assert [slot.environment for slot in pool.info().slots] == ["", ""], "both are of the usual one"
        await until(lambda: pool.environments_in_use() == {second}, "nothing has the one of before")
        pool.rest(0, "")
        await until_ready(pool)
        assert pool.environments_in_use() == {second}
        assert set(await asyncio.gather(name_here(pool), name_here(pool))) == {"second"}


async def test_a_switch_that_fails_wakes_no_slot(generations: list[Environment], tmp_path: Path) -> None:
    first, second, _ = generations
    async with pool_of(2, environment=first) as pool:
        pool.switch_environment(broken(second, tmp_path))
        pool.rest(1, "The load is high.")
        with pytest.raises(UnusableEnvironment):
            await asyncio.wait_for(pool.switched(), 60)
        assert pool.info().resting == 1
        assert await name_here(pool) == "first"
        pool.rest(0, "")
        await until_ready(pool)
        assert set(await asyncio.gather(name_here(pool), name_here(pool))) == {"first"}
