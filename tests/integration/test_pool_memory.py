"""Memory of the host: who goes first when it is short, which runs are admitted, and what each of them is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_kit import (
    ADMIN,
    FREE_IMPORTS,
    Sink,
    limits,
    make_job,
    parent_of,
    plain_plans,
    plans,
    pool_of,
    run,
    until,
    until_ready,
)

from engine.models.runs import Outcome
from engine.pool.job import Job, NotEnoughMemory, Profile
from engine.pool.outcome import Ending
from engine.pool.pool import Pool
from engine.sandbox.host_memory import HostMemory, cgroups
from engine.worker.limits import RUN_NICENESS, ZYGOTE_NICENESS
from engine.worker.oom import CHILD, ZYGOTE

MIB = 1 << 20
FOREVER = "print('there', flush=True)\nwhile True: pass"
HOLDS = "hold = b'x' * (200 << 20)\nprint('held', flush=True)\nwhile True: pass"


def oom_score(pid: int) -> int:
    with open(f"/proc/{pid}/oom_score_adj") as file:
        return int(file.read())


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


async def begin(pool: Pool, source: str = FOREVER, memory: int = 512 * MIB, **options: object) -> Job:
    """Submit a run and wait until its script is at work."""
    job, _ = submit(pool, source, memory, **options)
    await until(lambda: sink_of(job).stdout, "the script is at work")
    return job


def submit(
    pool: Pool, source: str = FOREVER, memory: int = 512 * MIB, **options: object
) -> tuple[Job, asyncio.Future[Ending]]:
    job = make_job(source, **{"limits": limits(memory=memory, wall=60.0)} | options)
    return job, pool.submit(job)


def sink_of(job: Job) -> Sink:
    assert isinstance(job.sink, Sink)
    return job.sink


class Host:
    """A host whose available memory is what a test says."""

    def __init__(self, available: int) -> None:
        self.available = available
        self.reads = 0

    def read(self) -> HostMemory:
        self.reads += 1
        return HostMemory(self.available)


# -- who goes first --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [FREE_IMPORTS, ADMIN], ids=["restricted", "admin"])
@pytest.mark.parametrize("chosen", [plans, plain_plans], ids=["contained", "plain"])
async def test_the_kernel_takes_runs_before_zygotes_and_both_before_the_engine(
    profile: Profile, chosen: object
) -> None:
    """Parked and dedicated children alike. The engine stays as whoever started it wanted."""
    before = oom_score(os.getpid())
    async with pool_of(1, profile=profile, **chosen()) as pool:  # type: ignore[operator]
        for memory in (512 * MIB, 300 * MIB):
            job = await begin(pool, memory=memory, profile=profile)
            child = sink_of(job).starts[0][1]
            template = parent_of(child)
            scores = [oom_score(pid) for pid in (child, template, parent_of(template))]
            assert scores == [int(CHILD), int(ZYGOTE), int(ZYGOTE)]
            nice = [niceness(pid) for pid in (child, template, parent_of(template))]
            added = [ZYGOTE_NICENESS + RUN_NICENESS, ZYGOTE_NICENESS, ZYGOTE_NICENESS]
            assert nice == [min(19, os.nice(0) + more) for more in added]
            pool.cancel(job.run_id)
            await until_ready(pool)
    assert oom_score(os.getpid()) == before
    assert (CHILD, ZYGOTE) == (b"900", b"500")


# -- admission -------------------------------------------------------------------------------------------------------


async def test_a_run_waits_for_memory_and_is_told_so_and_runs_when_there_is_some() -> None:
    async with pool_of(3, host_memory=Host(1100 * MIB).read) as pool:
        first = await begin(pool)
        await begin(pool)
        job, ending = submit(pool, "result = 1")
        await until(lambda: sink_of(job).positions, "it is told why it waits")
        [entry] = pool.info().queue
        assert entry.reason.startswith("it asks for 512 MiB of memory; ")
        assert entry.reason.endswith(" are free beside what running scripts may take")
        assert sink_of(job).positions[0][0] == 1
        _, small_ending = submit(pool, "result = 2", 10 * MIB)
        assert (await small_ending).value == 2, "who asks for little need not wait for who asks for much"
        assert not sink_of(job).starts
        pool.cancel(first.run_id)
        assert (await ending).value == 1


async def test_ordinary_runs_fill_every_slot_of_a_host_of_two_gibibytes() -> None:
    """With what an idle system of that size has available."""
    async with pool_of(3, host_memory=Host(1620 * MIB).read) as pool:
        for _ in range(3):
            await begin(pool)


async def test_what_a_run_holds_is_not_counted_twice() -> None:
    """The host has it no more; what the run may still take is so much less."""
    host = Host(600 * MIB)
    async with pool_of(2, host_memory=host.read, memory_reserve=0) as pool:
        job = await begin(pool, HOLDS)
        host.available = 850 * MIB  # 312 for the first, 512 for the second, and what the interpreter itself takes
        await begin(pool)
        pool.cancel(job.run_id)


async def test_memory_that_others_give_back_lets_a_run_start() -> None:
    host = Host(600 * MIB)
    async with pool_of(2, host_memory=host.read, health_interval=3600.0) as pool:
        await begin(pool)
        _, ending = submit(pool, "result = 1")
        await until(lambda: pool.info().queue, "it waits")
        host.available = 1200 * MIB
        assert (await asyncio.wait_for(ending, 30)).value == 1


async def test_a_run_that_no_end_of_a_run_makes_room_for_is_refused_with_both_figures() -> None:
    async with pool_of(1, host_memory=Host(300 * MIB).read) as pool:
        with pytest.raises(NotEnoughMemory) as refusal:
            submit(pool)
        sentence = "The run asks for 512 MiB of memory; this host has 300 MiB available, of which 64 MiB stay free."
        assert str(refusal.value) == sentence
        assert (await run(pool, "result = 1", limits=limits(memory=200 * MIB))).value == 1


async def test_a_run_that_waited_is_refused_when_nothing_runs_any_more() -> None:
    host = Host(2000 * MIB)
    async with pool_of(1, host_memory=host.read) as pool:
        first = await begin(pool)
        _, ending = submit(pool, memory=1024 * MIB)
        host.available, reads = 700 * MIB, host.reads
        await until(lambda: host.reads > reads, "the pool has seen that there is less")
        pool.cancel(first.run_id)
        ended = await asyncio.wait_for(ending, 30)
        assert ended.outcome is Outcome.MEMORY
        assert ended.error is not None
        assert "asks for 1 GiB of memory; this host has 700 MiB available" in ended.error.message


async def test_who_waited_too_long_hears_that_it_was_for_memory() -> None:
    async with pool_of(2, host_memory=Host(1000 * MIB).read, queue_wait=0.3) as pool:
        await begin(pool)
        _, ending = submit(pool)
        ended = await asyncio.wait_for(ending, 30)
        assert ended.outcome is Outcome.TIMEOUT
        assert ended.error is not None
        assert "waited 0.3 s, as long as it may: it asks for 512 MiB of memory" in ended.error.message


# -- ADMIN -----------------------------------------------------------------------------------------------------------

SHARED = """
import multiprocessing
import os
from multiprocessing import shared_memory

ours = shared_memory.SharedMemory(create=True, size=1000)
ours.buf[0] = 7
theirs = shared_memory.SharedMemory(name=ours.name)
with multiprocessing.get_context("fork").Pool(2) as workers:
    found = workers.map(abs, [-1, -2])
before = os.listdir("/dev/shm")
open(f"/dev/shm/{mark}", "wb").close()
result = [theirs.buf[0], found, before == [ours.name]]
"""
HELD = """
import mmap
import os
import time

with open(f"/dev/shm/{mark}", "w+b") as file:
    file.write(bytes(100 << 20))
    file.flush()
    if mapped:
        hold = mmap.mmap(file.fileno(), 100 << 20)
        sum(hold[at] for at in range(0, 100 << 20, 4096))
    else:
        hold = b"x" * (100 << 20)
    time.sleep(1.2 if mapped else 60)
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """A name in ``/dev/shm`` that no test leaves on the host, whatever comes of it."""
    name = f"gwtest-{os.getpid()}"
    yield name
    Path("/dev/shm", name).unlink(missing_ok=True)


async def test_shared_memory_of_an_admin_run_goes_with_it_and_is_not_the_hosts(mark: str) -> None:
    async with pool_of(1, profile=ADMIN, lifted=("multiprocessing", "threading", "subprocess")) as pool:
        for _ in range(2):
            done = await run(pool, SHARED, profile=ADMIN, variables={"mark": mark})
            assert done.value == [7, [1, 2], True], done.ending
    assert mark not in os.listdir("/dev/shm")


@pytest.mark.parametrize("mapped", [False, True], ids=["beside", "mapped"])
async def test_bytes_in_shared_memory_count_once(mapped: bool, mark: str) -> None:
    """Beside what processes hold; what they have mapped of it is held already."""
    async with pool_of(1, profile=ADMIN, admin_memory=170 * MIB) as pool:
        done = await run(pool, HELD, wall=60, profile=ADMIN, variables={"mapped": mapped, "mark": mark})
        assert done.outcome is (Outcome.OK if mapped else Outcome.MEMORY), done.ending


# -- a real cgroup ---------------------------------------------------------------------------------------------------


@pytest.fixture
def limited() -> Iterator[Path]:
    """A cgroup v2 of this test's own with a limit of 96 MiB."""
    own = next(cgroups(), None)
    if own is None:
        pytest.skip("this host has no cgroup v2")
    folder = own / f"gatewright-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as refusal:
        pytest.skip(f"no cgroup can be made here: {refusal.strerror}")
    try:
        try:
            (folder / "memory.max").write_text(str(96 * MIB))
        except OSError as refusal:
            pytest.skip(f"cgroup v2 has no memory controller to use here: {refusal.strerror}")
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def test_the_limit_of_a_real_cgroup_counts(limited: Path) -> None:
    code = (
        "import os, sys; from engine.sandbox.host_memory import host_memory\n"
        f"open({str(limited / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        "found = host_memory(); print(found.available, found.limit)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    available, limit = done.stdout.split()
    assert int(available) <= 96 * MIB
    assert limit == str(limited / "memory.max")
