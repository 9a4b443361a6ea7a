"""Slots and queue at work: who waits and why, cancelling, resizing, health, and zygotes that die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pool_kit import (
    DEAF,
    Sink,
    descendants,
    environment,
    expect_innocent,
    interpreter,
    limits,
    make_job,
    parent_of,
    pool_of,
    run,
    slot_state,
    until,
    until_ready,
)

from engine.models.engine import SlotState
from engine.models.permissions import Access
from engine.models.runs import Outcome, Priority
from engine.pool.job import Job, PoolClosed, Profile, QueueFull
from engine.pool.outcome import Ending
from engine.pool.pool import Pool
from engine.sandbox.grants import OpenedGrant
from engine.sandbox.processes import ENTRY
from engine.services.runs.requests import refused_run

FOREVER = "while True: pass"
STUBBORN = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as started:
        yield started


def sink_of(job: Job) -> Sink:
    assert isinstance(job.sink, Sink)
    return job.sink


async def begin(pool: Pool, source: str, **options: object) -> tuple[Job, asyncio.Future[Ending]]:
    """Submit a run and wait until it really runs."""
    job = make_job(source, **{"limits": limits(wall=30.0)} | options)
    ending = pool.submit(job)
    await until(lambda: sink_of(job).starts, "the run has started")
    return job, ending


async def cancelled(pool: Pool, job: Job, ending: asyncio.Future[Ending]) -> Ending:
    assert pool.cancel(job.run_id)
    result = await asyncio.wait_for(ending, 10)
    assert result.outcome is Outcome.CANCELLED
    return result


# -- starting and the parked child -----------------------------------------------------------------------------------


async def test_a_run_says_where_it_runs_and_how_isolated(pool: Pool) -> None:
    job, ending = await begin(pool, FOREVER)
    (slot, pid, isolation) = sink_of(job).starts[0]
    info = pool.info()
    assert (slot, info.running, info.ready) == (1, 1, 0)
    assert info.slots[0].run_id == job.run_id
    assert (info.slots[0].script, info.slots[0].actor, info.slots[0].pid) == ("<exec>", "tester", pid)
    assert isolation == info.isolation == info.slots[0].isolation
    assert isolation.startswith("full: userns+pidns+netns+ipcns+tmpfs+view+landlock")
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert fields["NSpid"].split()[0] == str(pid)
    assert fields["NSpid"].split()[-1] == "1", "the first process of a pid namespace of its own"
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert (await cancelled(pool, job, ending)).isolation == isolation


async def test_arguments_tell_nobody_how_a_slot_was_set_up(tmp_path: Path) -> None:
    """The whole host can read them (proc(5)): what a run is granted and may import is no business of others."""
    folder = tmp_path / "granted"
    folder.mkdir()
    found = folder.stat()
    grant = OpenedGrant(Access.WRITE, str(folder), found.st_dev, found.st_ino, True)
    async with pool_of(1, modules=("allowedmodule",)) as pool:
        running, ending = await begin(pool, "print('ready')\n" + FOREVER, profile=Profile(grants=(grant,)))
        below = descendants()
        assert len(below) == 3, below
        assert {
            line.split()[1:] == ["-I", "-S", "-X", "utf8", str(ENTRY), str(environment().prefix)]
            for line in below.values()
        } == {True}, below
        await cancelled(pool, running, ending)


async def test_limits_of_its_own_mean_a_child_of_its_own(pool: Pool) -> None:
    source = "import os, resource\nresult = [resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.getpid()]"
    parked = pool.info().slots[0].pid
    job = make_job(source, limits=limits(open_files=32))
    ending = await pool.submit(job)
    assert ending.value == [32, 1]
    assert sink_of(job).starts[0][1] != parked
    assert (await run(pool, source)).value == [64, 1]


async def test_a_run_may_come_before_anything_is_parked(pool: Pool) -> None:
    for number in range(20):
        assert (await run(pool, f"result = {number}")).value == number, "submitted while the slot is being prepared"


# -- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [FOREVER, STUBBORN, DEAF, "9**9**9", "import time; time.sleep(60)"])
async def test_stop_stops(pool: Pool, source: str) -> None:
    job, ending = await begin(pool, source)
    await asyncio.sleep(0)
    result = await cancelled(pool, job, ending)
    assert 0 < result.duration < 20
    await expect_innocent(pool)
    timed_out = await run(pool, source, wall=0.3)
    assert timed_out.outcome is Outcome.TIMEOUT
    assert timed_out.ending.error is not None
    assert "0.3 s" in timed_out.ending.error.message
    assert timed_out.ending.duration >= 0.3
    await expect_innocent(pool)


async def test_the_wall_limit_counts_from_dispatch(pool: Pool) -> None:
    first = asyncio.ensure_future(run(pool, FOREVER, wall=1.0))
    await until(lambda: pool.info().running, "the first runs")
    second = await run(pool, "import time; time.sleep(0.3)\nresult = 1", wall=0.8)
    assert second.value == 1, "a second of waiting does not count"
    assert (await first).outcome is Outcome.TIMEOUT


async def test_cancelling_at_every_stage(pool: Pool) -> None:
    assert not pool.cancel(999_999_999)
    running, running_ending = await begin(pool, FOREVER)
    queued = make_job("result = 1", limits=limits())
    queued_ending = pool.submit(queued)
    result = await cancelled(pool, queued, queued_ending)
    assert result.duration == 0
    assert not sink_of(queued).starts
    assert not pool.cancel(queued.run_id), "it has ended"
    await cancelled(pool, running, running_ending)
    await until_ready(pool)
    preparing = make_job("result = 1", limits=limits(open_files=32))
    preparing_ending = pool.submit(preparing)
    assert not sink_of(preparing).starts
    assert pool.info().slots[0].run_id == preparing.run_id
    await cancelled(pool, preparing, preparing_ending)
    await expect_innocent(pool)
    assert not sink_of(preparing).starts


async def test_output_before_the_stop_is_kept(pool: Pool) -> None:
    job = make_job("print('begun', flush=True)\nimport os; os.write(1, b'raw\\n')\nwhile True: pass", limits=limits())
    ending = pool.submit(job)
    await until(lambda: "raw" in sink_of(job).stdout, "its output is there")
    await cancelled(pool, job, ending)
    assert sink_of(job).stdout == "begun\nraw\n"


# -- the queue -------------------------------------------------------------------------------------------------------


async def test_positions_and_reasons_are_told(pool: Pool) -> None:
    first, first_ending = await begin(pool, FOREVER)
    priorities = (Priority.BATCH, Priority.API, Priority.INTERACTIVE)
    jobs = [make_job(f"result = {number}", priority=priority) for number, priority in enumerate(priorities)]
    endings = [pool.submit(job) for job in jobs]
    entries = pool.info().queue
    assert [(entry.run_id, entry.position) for entry in entries] == [
        (job.run_id, position) for position, job in enumerate(reversed(jobs), 1)
    ]
    assert sink_of(jobs[0]).positions[0] == (1, "waiting for a free slot")
    await until(lambda: sink_of(jobs[0]).positions[-1][0] == 3, "the batch hears that others go first")
    order: list[int] = []
    for job, ending in zip(jobs, endings, strict=True):
        ending.add_done_callback(lambda _, run_id=job.run_id: order.append(run_id))
    await cancelled(pool, first, first_ending)
    assert [(await ending).value for ending in endings] == [0, 1, 2]
    assert order == [job.run_id for job in reversed(jobs)]
    assert pool.info().queue == []


async def test_a_script_may_limit_how_often_it_runs_at_once() -> None:
    async with pool_of(2) as pool:
        one, one_ending = await begin(pool, FOREVER, name="slow.py", max_parallel=1)
        two = make_job("result = 2", name="slow.py", max_parallel=1)
        two_ending = pool.submit(two)
        assert "already runs 1 times" in sink_of(two).positions[0][1]
        other = await run(pool, "result = 'passed by'", name="other.py")
        assert other.value == "passed by"
        assert not two_ending.done()
        await cancelled(pool, one, one_ending)
        assert (await two_ending).value == 2


async def test_a_batch_leaves_one_slot_to_people() -> None:
    async with pool_of(3) as pool:
        batches = [await begin(pool, FOREVER, priority=Priority.BATCH) for _ in range(2)]
        third = make_job("result = 3", priority=Priority.BATCH)
        third_ending = pool.submit(third)
        assert "people" in sink_of(third).positions[0][1]
        assert (await run(pool, "result = 'at once'")).value == "at once"
        assert not third_ending.done()
        await cancelled(pool, *batches[0])
        assert (await third_ending).value == 3
        await cancelled(pool, *batches[1])


async def test_the_queue_has_an_end() -> None:
    async with pool_of(1, queue_limit=2, queue_wait=0.2) as pool:
        first, first_ending = await begin(pool, FOREVER)
        waiting = [pool.submit(make_job("result = 1")) for _ in range(2)]
        with pytest.raises(QueueFull, match="2 runs are waiting"):
            pool.submit(make_job("result = 1"))
        late = [await asyncio.wait_for(ending, 10) for ending in waiting]
        assert {ending.outcome for ending in late} == {Outcome.TIMEOUT}
        assert late[0].error is not None
        assert "waited 0.2 s" in late[0].error.message
        await cancelled(pool, first, first_ending)
        await expect_innocent(pool)


# -- resizing --------------------------------------------------------------------------------------------------------


async def test_growing_adds_slots_that_work() -> None:
    async with pool_of(1, max_size=4) as pool:
        first, first_ending = await begin(pool, FOREVER)
        waiting = make_job(FOREVER, limits=limits(wall=30.0))
        waiting_ending = pool.submit(waiting)
        pool.resize(3)
        await until(lambda: sink_of(waiting).starts, "the waiting run got one of the new slots")
        assert (await run(pool, "result = 1")).value == 1
        for wrong in (0, -1, 5, 99):
            with pytest.raises(ValueError, match="1 to 4"):
                pool.resize(wrong)
        assert pool.info().size == 3
        await cancelled(pool, first, first_ending)
        await cancelled(pool, waiting, waiting_ending)


async def test_shrinking_waits_for_those_who_run() -> None:
    async with pool_of(3) as pool:
        jobs = [await begin(pool, FOREVER) for _ in range(3)]
        pool.resize(1)
        assert pool.info().size == 1
        waiting = pool.submit(make_job("result = 'later'", limits=limits()))
        for job, ending in jobs[1:]:
            assert not ending.done()
            await cancelled(pool, job, ending)
        await until(lambda: len(pool.info().slots) == 1, "two slots have gone")
        assert not waiting.done()
        await cancelled(pool, *jobs[0])
        assert (await waiting).value == "later"
        await until_ready(pool)
        await until(lambda: len(descendants()) == 3, "only one slot's processes are left")


async def test_shrinking_takes_the_idle_first_and_growing_keeps_who_was_leaving() -> None:
    async with pool_of(3) as pool:
        job, ending = await begin(pool, FOREVER)
        pool.resize(1)
        await until(lambda: len(pool.info().slots) == 1, "the idle ones have gone")
        assert pool.info().slots[0].run_id == job.run_id
        pool.resize(3)
        await until(lambda: pool.info().ready == 2, "new ones are ready")
        others = [await begin(pool, FOREVER) for _ in range(2)]
        pool.resize(1)
        pool.resize(3)
        for other in (*others, (job, ending)):
            await cancelled(pool, *other)
        await until_ready(pool)
        assert [slot.slot for slot in pool.info().slots] == [1, 2, 3]
        assert sum(slot.restarts for slot in pool.info().slots) == 0


async def test_resizing_up_and_down_under_load() -> None:
    async with pool_of(2) as pool:
        endings = [asyncio.ensure_future(run(pool, f"print({n})\nresult = {n}", wall=30)) for n in range(60)]
        for size in (4, 1, 3, 2, 4, 1, 2):
            await asyncio.sleep(0.02)
            pool.resize(size)
        assert [done.value for done in await asyncio.gather(*endings)] == list(range(60))
        await until_ready(pool)
        assert len(pool.info().slots) == 2


# -- health and lost zygotes -----------------------------------------------------------------------------------------


def zygote_processes(pool: Pool, slot: int = 1) -> dict[str, int]:
    """Launcher, template and child of a slot, found through /proc from its child upwards."""
    child = next(info.pid for info in pool.info().slots if info.slot == slot)
    assert child is not None
    template = parent_of(child)
    return {"launcher": parent_of(template), "template": template, "child": child}


@pytest.mark.parametrize("victim", ["launcher", "template", "child"])
async def test_an_idle_slot_whose_processes_die_is_replaced(pool: Pool, victim: str) -> None:
    old = zygote_processes(pool)
    os.kill(old[victim], signal.SIGKILL)
    await until(lambda: pool.info().slots[0].restarts == 1, "the loss was noticed")
    await expect_innocent(pool)
    await until_ready(pool)
    assert pool.info().slots[0].problem is None
    await until(lambda: not set(old.values()) & set(descendants()), "nothing of the old ones is left")


@pytest.mark.parametrize("victim", ["launcher", "template"])
async def test_a_run_whose_slot_is_lost_ends_as_crashed(pool: Pool, victim: str) -> None:
    _, ending = await begin(pool, FOREVER)
    os.kill(zygote_processes(pool)[victim], signal.SIGKILL)
    result = await asyncio.wait_for(ending, 10)
    assert result.outcome is Outcome.CRASHED
    assert result.error is not None
    assert "slot was lost" in result.error.message
    await expect_innocent(pool)


async def test_a_run_that_is_killed_from_outside_has_crashed(pool: Pool) -> None:
    _, ending = await begin(pool, FOREVER)
    os.kill(zygote_processes(pool)["child"], signal.SIGKILL)
    result = await asyncio.wait_for(ending, 10)
    assert (result.outcome, result.signal) == (Outcome.CRASHED, signal.SIGKILL)
    await expect_innocent(pool)
    assert pool.info().slots[0].restarts == 0


async def test_a_template_that_does_not_answer_is_replaced(pool: Pool) -> None:
    job, ending = await begin(pool, FOREVER)
    os.kill(zygote_processes(pool)["template"], signal.SIGSTOP)
    await cancelled(pool, job, ending)
    assert pool.info().slots[0].restarts == 1
    await expect_innocent(pool)


async def test_the_health_check_runs_and_replaces() -> None:
    async with pool_of(1, health_interval=0.05) as pool:
        first = pool.info().slots[0].pid
        await until(lambda: pool.info().slots[0].pid not in (first, None), "a probe has used the parked child")
        assert pool.info().slots[0].runs == 0, "probes are nobody's runs"
        await until(lambda: slot_state(pool) is SlotState.READY, "the next child is parked")
        os.kill(pool.info().slots[0].pid or 0, signal.SIGSTOP)
        await until(lambda: pool.info().slots[0].restarts == 1, "a child that does not answer was found out", 60)
        await expect_innocent(pool)


async def test_a_slot_can_be_restarted_by_hand(pool: Pool) -> None:
    _, ending = await begin(pool, FOREVER)
    old = zygote_processes(pool)
    pool.restart_slot(1)
    assert (await asyncio.wait_for(ending, 10)).outcome is Outcome.CANCELLED
    await expect_innocent(pool)
    assert zygote_processes(pool)["template"] != old["template"]
    with pytest.raises(KeyError):
        pool.restart_slot(7)


async def test_a_pool_that_cannot_start_says_so(tmp_path: Path) -> None:
    async with pool_of(1, environment=replace(environment(), interpreter=tmp_path / "no-python")) as pool:
        assert slot_state(pool) is SlotState.FAILED
        assert "no-python" in (pool.info().slots[0].problem or "")
        done = await run(pool, "result = 1")
        assert done.outcome is Outcome.SANDBOX_UNAVAILABLE
        assert done.ending.error is not None
        assert "no-python" in done.ending.error.message
        (tmp_path / "no-python").symlink_to(interpreter().resolve())
        await until(lambda: slot_state(pool) is SlotState.READY, "a later attempt succeeds", 60)
        await expect_innocent(pool)


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_closing_ends_every_run_and_every_process() -> None:
    async with pool_of(2) as pool:
        # A host that is short of processes refuses some: that is not what this is about.
        code = "import os\ntry:\n    for _ in range(3): os.fork()\nexcept OSError: pass\nwhile True: pass"
        running = [await begin(pool, code) for _ in range(2)]
        waiting = pool.submit(make_job("result = 1"))
        await pool.close()
        endings = [await ending for _, ending in running] + [await waiting]
        assert {ending.outcome for ending in endings} == {Outcome.INTERRUPTED}
        assert not descendants()
        with pytest.raises(PoolClosed, match="stopping") as refused:
            pool.submit(make_job("result = 1"))
        told = refused_run(refused.value)
        assert (told.code, told.status) == ("stopping", 503), "a program can tell it from a request that is wrong"


async def test_closing_while_starting() -> None:
    async with pool_of(2) as pool:
        pool.resize(4)
        await pool.close()
        assert not descendants()


async def test_changes_are_announced(pool: Pool) -> None:
    seen: list[SlotState] = []
    pool.on_change = lambda: seen.append(slot_state(pool))
    await run(pool, "result = 1")
    await until_ready(pool)
    assert [state for state, last in zip(seen, [None, *seen], strict=False) if state is not last] == [
        SlotState.RUNNING, SlotState.STOPPING, SlotState.PREPARING, SlotState.READY,
    ]  # fmt: skip
