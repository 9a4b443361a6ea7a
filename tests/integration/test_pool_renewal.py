"""Zygotes are replaced after so many children: by a new one that is ready before the old one goes, so nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pool_kit import (
    ADMIN,
    descendants,
    environment,
    expect_innocent,
    interpreter,
    limits,
    make_job,
    parent_of,
    plain_plans,
    plans,
    pool_of,
    run,
    slot_state,
    until,
    until_ready,
)

from engine.models.engine import SlotState
from engine.models.runs import Outcome
from engine.pool.pool import Pool

LAYOUT = "result = [hash('layout'), id(int)]"
"""What the children of one zygote have in common: the seed of its hashes, the places of its libraries."""


def template(pool: Pool) -> int:
    """The zygote's process that forks the children, of a slot whose child is parked."""
    return parent_of(pool.info().slots[0].pid or 0)


async def until_renewed(pool: Pool, before: int, between: Callable[[], Any] | None = None) -> None:
    """Wait for another zygote, with a run at a time if ``between`` makes them."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        await until_ready(pool)
        if template(pool) != before:
            return
        assert asyncio.get_running_loop().time() < deadline, "no other zygote took over"
        await (asyncio.sleep(0.01) if between is None else between())


@pytest.mark.parametrize("chosen", [plans, plain_plans], ids=["contained", "plain"])
async def test_a_busy_slot_is_renewed_between_two_runs(chosen: Callable[[], dict[str, Any]]) -> None:
    """With another memory layout and hash seed. The slot never waits for a zygote, and no run finds none."""
    async with pool_of(1, recycle_busy=5, recycle_idle=1000, **chosen()) as pool:
        states: list[SlotState] = []
        pool.on_change = lambda: states.append(slot_state(pool))
        layouts = set()
        for _ in range(3):
            before = template(pool)

            async def once() -> None:
                done = await run(pool, LAYOUT)
                assert done.outcome is Outcome.OK, done.ending
                layouts.add(tuple(done.value))

            await until_renewed(pool, before, once)
        await expect_innocent(pool)
        await once()
        assert len(layouts) >= 3
        assert not {SlotState.STARTING, SlotState.FAILED} & set(states)
        assert pool.info().slots[0].restarts == 0
        await until(lambda: len(descendants()) <= 3, "the zygotes of before have gone")


async def test_an_idle_slot_is_renewed_earlier_and_without_a_run() -> None:
    async with pool_of(1, recycle_idle=3, recycle_busy=1000, health_interval=0.05) as pool:
        before = template(pool)
        await until_renewed(pool, before)
        await expect_innocent(pool)
        assert pool.info().slots[0].restarts == 0


async def test_a_slot_is_not_renewed_before_its_time() -> None:
    async with pool_of(1, recycle_idle=1000, recycle_busy=1000, health_interval=0.05) as pool:
        before = template(pool)
        for _ in range(60):  # several times as long as a successor would take
            await run(pool, "result = 1")
            await until_ready(pool)
            await asyncio.sleep(0.01)
        assert template(pool) == before


async def test_runs_of_every_kind_go_on_while_zygotes_come_and_go() -> None:
    """Those that get a child of their own, those that are cancelled, those that kill themselves, those that wait."""
    async with pool_of(1, recycle_busy=2, recycle_idle=2, health_interval=0.05) as pool:
        before = template(pool)
        for number in range(12):
            own = limits(memory=(300 + number) << 20)
            jobs = [make_job(f"result = {number}"), make_job(f"result = {number}", limits=own)]
            endings = [pool.submit(job) for job in jobs]
            assert [(await ending).value for ending in endings] == [number, number]
            crash = await run(pool, "import os\nos.abort()")
            assert crash.outcome is Outcome.CRASHED
            job = make_job("print('there', flush=True)\nwhile True: pass")
            ending = pool.submit(job)
            await until(lambda job=job: job.sink.stdout, "it is at work")  # type: ignore[misc]
            pool.cancel(job.run_id)
            assert (await ending).outcome is Outcome.CANCELLED
        await until_ready(pool)
        assert template(pool) != before
        await expect_innocent(pool)
        assert pool.info().slots[0].restarts == 0


async def test_admin_slots_are_renewed_too() -> None:
    async with pool_of(1, recycle_busy=3, profile=ADMIN) as pool:
        before = template(pool)
        await until_renewed(pool, before, lambda: run(pool, "open('/dev/shm/left', 'w').close()", profile=ADMIN))
        done = await run(pool, "import os\nresult = os.listdir('/dev/shm') + os.listdir('.')", profile=ADMIN)
        assert done.value == []


async def test_a_slot_goes_on_with_its_zygote_while_no_other_can_be_had(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(interpreter())
    async with pool_of(1, recycle_busy=3, environment=replace(environment(), interpreter=python)) as pool:
        before = template(pool)
        python.rename(tmp_path / "elsewhere")
        for _ in range(10):
            assert (await run(pool, "result = 1")).value == 1
        await until_ready(pool)
        assert template(pool) == before
        assert pool.info().slots[0].restarts == 0
        (tmp_path / "elsewhere").rename(python)
        await until_renewed(pool, before, lambda: run(pool, "result = 1"))


async def test_closing_ends_a_successor_too() -> None:
    async with pool_of(2, recycle_busy=1) as pool:
        await asyncio.gather(*(run(pool, "result = 1") for _ in range(4)))
        await pool.close()
        assert not descendants()
