"""Slots that rest: without a process and without runs, never the last one, and no run is ended for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pool_kit import ADMIN, FREE_IMPORTS, Sink, descendants, make_job, pool_of, run, until, until_ready

from engine.models.engine import SlotState
from engine.models.runs import Outcome, Priority
from engine.pool.job import Limits
from engine.pool.pool import Pool

BUSY = "The load is 9.5 on 2 processors."

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Pool]:
    async with pool_of(3) as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="module")
async def pool(shared: Pool) -> AsyncIterator[Pool]:
    """The pool with three slots that are ready, before each test and after it."""
    await until_ready(shared)
    yield shared
    shared.resize(3)
    shared.rest(0, "")
    await until_ready(shared)


def states(pool: Pool) -> list[SlotState]:
    return [slot.state for slot in pool.info().slots]


def resting(pool: Pool) -> list[int]:
    return [slot.slot for slot in pool.info().slots if slot.state is SlotState.RESTING]


async def test_idle_slots_rest_without_a_process_and_come_back(pool: Pool) -> None:
    before = len(descendants())
    pool.rest(2, BUSY)
    info = pool.info()
    assert (info.size, info.resting, info.rest_reason, resting(pool)) == (3, 2, BUSY, [2, 3])
    assert all(slot.pid is None and slot.problem is None and not slot.isolation for slot in info.slots[1:])
    await until(lambda: len(descendants()) <= before - 4, "their processes are gone")
    assert (await run(pool, "result = 6 * 7")).value == 42
    pool.rest(1, BUSY)
    await until(lambda: pool.info().ready == 2, "one has come back")
    assert resting(pool) == [3]
    pool.rest(0, "")
    await until_ready(pool)
    assert (pool.info().resting, pool.info().rest_reason) == (0, "")
    starts = [(await run(pool, f"result = {number}")).outcome for number in range(6)]
    assert set(starts) == {Outcome.OK}


async def test_one_slot_is_always_left(pool: Pool) -> None:
    for count in (3, 20):
        pool.rest(count, BUSY)
        assert len(resting(pool)) == 2
        assert (await run(pool, "result = 1")).outcome is Outcome.OK


async def test_no_run_is_ended_and_its_slot_rests_after_it(pool: Pool) -> None:
    jobs = [make_job("while True: pass") for _ in range(3)]
    endings = [pool.submit(job) for job in jobs]
    await until(lambda: pool.info().running == 3, "all slots have runs")
    pool.rest(2, BUSY)
    assert (pool.info().running, pool.info().resting) == (3, 0)
    waiting = make_job("result = 'done'")
    answer = pool.submit(waiting)
    [entry] = pool.info().queue
    assert entry.reason == "waiting for a free slot, while 2 of 3 rest: the load is 9.5 on 2 processors"
    assert isinstance(waiting.sink, Sink)
    assert waiting.sink.positions[0] == (1, entry.reason)
    order = {slot.run_id: slot.slot for slot in pool.info().slots}
    for job in jobs:
        if order[job.run_id] != 1:
            pool.cancel(job.run_id)
    await until(lambda: pool.info().resting == 2, "their slots rest")
    assert not answer.done(), "a slot that rests takes no run"
    assert sum(ending.done() for ending in endings) == 2
    pool.cancel(next(job.run_id for job in jobs if order[job.run_id] == 1))
    assert (await asyncio.wait_for(answer, 20)).value == "done"


async def test_a_slot_whose_rest_is_called_off_while_it_runs_goes_on(pool: Pool) -> None:
    jobs = [make_job("while True: pass") for _ in range(3)]
    for job in jobs:
        pool.submit(job)
    await until(lambda: pool.info().running == 3, "all slots have runs")
    pool.rest(2, BUSY)
    pool.rest(0, "")
    for job in jobs:
        pool.cancel(job.run_id)
    await until_ready(pool)
    # The same while the process of the run is being taken away and no successor was asked for.
    jobs = [make_job("while True: pass") for _ in range(3)]
    for job in jobs:
        pool.submit(job)
    await until(lambda: pool.info().running == 3, "all slots have runs")
    pool.rest(2, BUSY)
    for job in jobs:
        pool.cancel(job.run_id)
    pool.rest(0, "")
    await until_ready(pool)


async def test_people_go_before_batches_and_one_slot_is_left_to_them_while_two_are_awake(pool: Pool) -> None:
    pool.rest(1, BUSY)
    batches = [make_job("while True: pass", priority=Priority.BATCH) for _ in range(2)]
    for job in batches:
        pool.submit(job)
    await until(lambda: pool.info().running == 1, "one batch runs")
    assert (await run(pool, "result = 2", priority=Priority.INTERACTIVE)).value == 2
    assert pool.info().running == 1
    for job in batches:
        pool.cancel(job.run_id)


async def test_the_size_can_be_changed_meanwhile(pool: Pool) -> None:
    pool.rest(2, BUSY)
    pool.resize(5)
    await until(lambda: pool.info().ready == 3, "three are awake")
    assert (pool.info().size, len(resting(pool))) == (5, 2)
    pool.resize(1)
    await until(lambda: len(pool.info().slots) == 1, "the others are gone")
    assert states(pool) == [SlotState.READY]
    assert pool.info().resting == 0
    pool.resize(3)
    await until(lambda: len(resting(pool)) == 2, "as many rest as are to")
    pool.restart_slot(resting(pool)[0])
    assert len(resting(pool)) == 2, "a restart does not wake a slot"


async def test_one_that_cannot_start_rests_before_one_that_works(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the only slot that is awake broken, another one is woken."""
    pool.rest(2, BUSY)
    [awake] = [slot for slot in pool.slots() if slot.state is SlotState.READY]
    loop = asyncio.get_running_loop()

    def broken(profile: object) -> None:
        awake._supervisor._started_at = loop.time()  # as the real one does: what ends at once is not tried at once
        raise OSError(11, "no more processes")

    monkeypatch.setattr(awake._supervisor, "start", broken)
    awake._supervisor._started_at = 0.0  # it has lived for long, so the next one is to start at once
    awake.fail("its zygote was lost")
    await until(lambda: any(slot.state is SlotState.READY for slot in pool.slots()), "another one is awake")
    assert (await run(pool, "result = 3")).value == 3
    monkeypatch.undo()
    pool.rest(2, BUSY)
    await until(lambda: len(resting(pool)) == 2, "the others rest")
    assert (await run(pool, "result = 4")).value == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_asked_for_in_between_every_run_ends_and_every_slot_comes_back(pool: Pool, seed: int) -> None:
    chance = random.Random(seed)
    jobs = []
    endings = []
    for _ in range(120):
        match chance.randrange(8):
            case 0 | 1:
                pool.rest(chance.randrange(5), BUSY)
            case 2:
                pool.resize(chance.randrange(1, 6))
            case 3:
                slots = pool.info().slots
                pool.restart_slot(chance.choice(slots).slot)
            case 4 if jobs:
                pool.cancel(chance.choice(jobs).run_id)
            case _:
                code = chance.choice(["result = 1", "import time; time.sleep(0.05)", "import os; os._exit(3)", "1/0"])
                profile = chance.choice([FREE_IMPORTS, FREE_IMPORTS, ADMIN])
                limits = Limits(wall=chance.choice([10.0, 11.0]))  # another one than parked children have
                jobs.append(make_job(code, profile=profile, limits=limits))
                endings.append(pool.submit(jobs[-1]))
        for slot in pool.info().slots:
            assert slot.state is not SlotState.RESTING or slot.pid is None
        assert any(not slot.resting for slot in pool.slots()), "one is left"
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01, 0.05]))
    await asyncio.wait_for(asyncio.gather(*endings), 60)
    outcomes = {ending.result().outcome for ending in endings}
    assert outcomes <= {Outcome.OK, Outcome.SCRIPT_ERROR, Outcome.EXITED, Outcome.CANCELLED}, outcomes
