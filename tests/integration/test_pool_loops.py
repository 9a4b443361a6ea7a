"""The pool on the daemon's event loop, uvloop, does what it does on asyncio's own."""

from __future__ import annotations

import asyncio

import uvloop
from pool_kit import DEAF, descendants, expect_innocent, limits, make_job, pool_of, run, until, until_ready

from engine.models.runs import Outcome


async def _a_little_of_everything() -> None:
    async with pool_of(2) as pool:
        values = await asyncio.gather(*(run(pool, f"print({n})\nresult = {n}") for n in range(30)))
        assert [done.value for done in values] == list(range(30))
        assert [done.sink.stdout for done in values] == [f"{n}\n" for n in range(30)]
        assert (await run(pool, "import os; os.write(1, b'x' * 300_000)")).sink.stdout == "x" * 300_000
        assert (await run(pool, "import os; os._exit(1)")).outcome is Outcome.EXITED
        assert (await run(pool, "import os; os.write(3, b'garbage!')\nwhile True: pass")).outcome is Outcome.PROTOCOL
        assert (
            await run(pool, "while True: print('x' * 99)", limits=limits(output_stop=True))
        ).outcome is Outcome.OUTPUT_LIMIT
        assert (await run(pool, DEAF, wall=0.3)).outcome is Outcome.TIMEOUT
        assert len((await run(pool, f"result = 'y' * 900_000\n#{'z' * 600_000}")).value) == 900_000
        job = make_job("while True: pass", limits=limits(open_files=32))
        ending = pool.submit(job)
        await until(lambda: pool.info().running == 1, "it is under way")
        assert pool.cancel(job.run_id)
        assert (await ending).outcome is Outcome.CANCELLED
        pool.resize(1)
        await until_ready(pool)
        await expect_innocent(pool)
    assert not descendants()


def test_on_uvloop() -> None:
    uvloop.run(_a_little_of_everything())


def test_on_asyncio() -> None:
    asyncio.run(_a_little_of_everything())
