"""Repeated calls of a saved script by a token: one record and one audit entry a minute, and nothing is hidden."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from served_engine import until

from engine import Engine
from engine.models.runs import Outcome, ReplayRequest, RunInfo, RunKind, RunRequest
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.runs import condensed

SCADA = Actor("token:scada", NO_ACCOUNT, Role.AUTHOR, "t1")
OTHER = Actor("token:other", NO_ACCOUNT, Role.OPERATOR, "t2")
SCRIPT = "print('it runs')\nif params.get('fails'): raise ValueError('asked to')\nresult = params.get('n')"
ONE_MINUTE = 10**9
"""Seconds of a minute that no test sees the end of."""

CALLS = 40

SEEN = 0
"""The last run of the test before."""

TOLD = 0
"""The last audit record of the test before."""

KILLED = """
import asyncio, os, sys
from pathlib import Path
from engine import Engine
from engine.models.runs import RunKind, RunRequest
from engine.services.access import NO_ACCOUNT, Actor, Role
from engine.services.runs import condensed, service
condensed.MINUTE = 10**9
condensed.WRITE_EVERY = service.WRITE_EVERY = 0.2
actor = Actor("token:scada", NO_ACCOUNT, Role.AUTHOR, "t1")

async def main():
    async with Engine.open(Path(sys.argv[1])) as engine:
        (engine.project.scripts / "job.py").write_text("result = params.get('n')")
        async def call():
            request = RunRequest(kind=RunKind.SCRIPT, script="job.py")
            return (await engine.runs.run_to_end(request, actor, "rest", wait=20)).id
        for _ in range(10):
            await call()
        while (rows := await engine.state.condensed.unaudited()) == [] or rows[0].runs < 10:
            await asyncio.sleep(0.02)
        last = [await call() for _ in range(3)][-1]
        print(last, flush=True)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condensed, "MINUTE", ONE_MINUTE)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path_factory.mktemp("condensed") / "plant") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def engine(shared_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """The engine, in which no call has been made yet as far as a test can tell."""
    await shared_engine.runs.recorder.flush()
    shared_engine.runs._condenser._close_minutes(lambda _: True)
    await shared_engine.runs._condenser.write()
    shared_engine.runs._condenser._known.clear()
    newest = (await shared_engine.audit.list(shared_engine.owner, limit=1)).records[0]
    monkeypatch.setattr(sys.modules[__name__], "SEEN", await shared_engine.state.next_run_id())
    monkeypatch.setattr(sys.modules[__name__], "TOLD", newest.seq)
    write(shared_engine, SCRIPT)
    yield shared_engine


def write(engine: Engine, text: str) -> None:
    (engine.project.scripts / "job.py").write_text(text)


async def listed(engine: Engine, actor: Actor = SCADA) -> list[RunInfo]:
    """The records of a test, newest first."""
    return [run for run in (await engine.runs.list(actor, limit=500)).runs if run.id > SEEN]


async def call(engine: Engine, actor: Actor = SCADA, **fields: Any) -> RunInfo:
    request = RunRequest(**{"kind": RunKind.SCRIPT, "script": "job.py", **fields})
    return await engine.runs.run_to_end(request, actor, "rest", wait=30, queue_wait=30)


async def counted(engine: Engine, table: str) -> int:
    await engine.runs.recorder.flush()
    query = f"SELECT count(*) FROM {table} WHERE {'id' if table == 'run' else 'run_id'} > {SEEN}"
    return int(await engine.state._database.read(lambda connection: connection.execute(query).fetchone()[0]))


async def entries(engine: Engine) -> list[dict[str, Any]]:
    """What the audit has of runs, oldest first."""
    records = (await engine.audit.list(engine.owner, limit=500)).records
    return [
        {"actor": one.actor, "subject": one.subject, "at": one.at, **one.detail}
        for one in reversed(records)
        if one.action == "run" and one.seq > TOLD
    ]


async def figures(engine: Engine) -> int:
    """How many runs of the script the figures have."""
    return next((one.total for one in (await engine.metric_history.groups()).groups if one.name == "job.py"), 0)


async def test_what_is_repeated_is_counted_exactly_and_in_one_record(engine: Engine) -> None:
    counted_before = await figures(engine)
    first = await call(engine, params={"n": 0})
    others = await asyncio.gather(*(call(engine, params={"n": number % 7}) for number in range(CALLS)))
    assert [run.value for run in others] == [number % 7 for number in range(CALLS)]
    assert {run.output for run in others} == {"it runs\n"}
    assert await counted(engine, "run") == 1
    assert await counted(engine, "output") == await counted(engine, "run_input") == 1
    assert await figures(engine) - counted_before == CALLS + 1
    (only,) = await listed(engine)
    shown = await engine.runs.get(first.id, SCADA)
    assert shown.condensed == only.condensed
    found = shown.condensed
    assert found is not None
    assert (shown.id, shown.value, found.runs, found.failures) == (first.id, 0, CALLS + 1, 0)
    assert (found.inputs_distinct, len(found.inputs_first), found.inputs_more) == (7, 5, False)
    assert found.last_run == max(run.id for run in others)
    assert 0 < found.shortest <= found.average <= found.longest
    for run in (others[0], others[-1]):
        with pytest.raises(ServiceError) as told:
            await engine.runs.get(run.id, SCADA)
        assert (told.value.code, told.value.hint) == ("condensed", f"See gatewright runs show {first.id}.")
        with pytest.raises(ServiceError) as denied:
            await engine.runs.get(run.id, OTHER)
        assert denied.value.code == "forbidden"
    assert (await engine.runs.output(first.id, SCADA)).chunks[0].text == "it runs\n"


async def test_what_is_no_repetition_has_its_own_record_and_entry(engine: Engine) -> None:
    first = await call(engine)
    again = await call(engine)
    failed = await call(engine, params={"fails": True})
    by_other = await call(engine, OTHER)
    code = await call(engine, kind=RunKind.EXEC, script="", code="result = 1")
    unsaved = await call(engine, code="result = 2")
    started = await engine.runs.start(RunRequest(kind=RunKind.SCRIPT, script="job.py"), SCADA, "rest")
    await engine.runs.wait(started.id, SCADA)
    replay = await engine.run_history.replay(first.id, ReplayRequest(), SCADA, "rest", wait=20)
    person = await engine.runs.run_to_end(
        RunRequest(kind=RunKind.SCRIPT, script="job.py"), engine.owner, "cli", wait=20
    )
    write(engine, SCRIPT + "\n# changed")
    changed = await call(engine)
    write(engine, SCRIPT)
    own = [first, failed, by_other, code, unsaved, started, replay, person, changed]
    await engine.runs.recorder.flush()
    assert {run.id for run in await listed(engine, engine.owner)} == {run.id for run in own}
    assert (await engine.runs.output(failed.id, SCADA)).chunks[0].text == "it runs\n"
    assert (await engine.run_history.inputs(failed.id, SCADA)).params == {"fails": True}
    found = (await engine.runs.get(first.id, SCADA)).condensed
    assert found is not None
    assert (found.runs, found.failures) == (2, 1)
    told = {entry["subject"]: entry["outcome"] for entry in await entries(engine)}
    assert told == {
        f"#{failed.id} job.py": "script_error", f"#{code.id} <exec>": "ok", f"#{unsaved.id} job.py": "ok",
        f"#{started.id} job.py": "ok", f"#{replay.id} job.py": "ok", f"#{person.id} job.py": "ok",
    }  # fmt: skip
    assert again.id not in {run.id for run in own}


async def test_a_long_run_and_one_that_is_cancelled_are_on_record(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.services.runs.service.WRITE_EVERY", 0.2)
    write(engine, "import time\nprint('begun', flush=True)\ntime.sleep(params.get('seconds', 0))\nprint('done')")
    await call(engine)
    waiting = asyncio.create_task(call(engine, params={"seconds": 0.6}))
    await until(lambda: any(run.kept_back for run in engine.runs._active.values()), "it is kept back")
    run_id = max(engine.runs._active)
    assert await counted(engine, "run") == 1
    await until(lambda: not engine.runs._active[run_id].kept_back, "it has gone on for long")
    assert await counted(engine, "run") == 2
    await waiting
    output = await engine.runs.output(run_id, SCADA)
    assert "".join(chunk.text for chunk in output.chunks) == "begun\ndone\n"
    assert await counted(engine, "output") == 1 + len(output.chunks)
    left = asyncio.create_task(call(engine, params={"seconds": 20}))
    await until(lambda: any(run.kept_back for run in engine.runs._active.values()), "it is kept back")
    left.cancel()
    run_id = max(engine.runs._active)
    assert (await engine.runs.wait(run_id, SCADA)).outcome is Outcome.CANCELLED
    await engine.runs.recorder.flush()
    assert (await engine.runs.get(run_id, SCADA)).outcome is Outcome.CANCELLED


async def test_each_minute_has_a_record_and_an_entry(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in (ONE_MINUTE, ONE_MINUTE // 10):
        monkeypatch.setattr(condensed, "MINUTE", minute)
        for number in range(5):
            await call(engine, params={"n": number})
    await engine.runs.recorder.flush()
    runs = await listed(engine)
    assert [run.condensed.runs if run.condensed else 0 for run in runs] == [5, 5]
    await engine.runs._condenser.write()
    told = await entries(engine)
    assert [(entry["runs"], entry["inputs_distinct"]) for entry in told] == [(5, 5)]
    assert round(told[0]["at"], 3) == told[0]["last_at"], (
        "it is dated when the last of them ended, not when it is written"
    )


async def test_the_counts_outlive_the_engine(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant") as engine:
        write(engine, SCRIPT)
        ids = [(await call(engine)).id for _ in range(6)]
    async with Engine.open(tmp_path / "plant") as engine:
        found = (await engine.runs.get(ids[0], SCADA)).condensed
        assert found is not None
        assert (found.runs, found.last_run) == (6, ids[-1])
        with pytest.raises(ServiceError, match=f"record of run {ids[0]}"):
            await engine.runs.get(ids[3], SCADA)
        assert [entry["runs"] for entry in await entries(engine)] == [6]
        assert (await call(engine)).id > ids[-1]


async def test_a_killed_engine_loses_the_last_seconds_of_counts_at_most(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path / "plant"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    async with Engine.open(tmp_path / "plant") as engine:
        (run,) = (await engine.runs.list(engine.owner)).runs
        assert run.condensed is not None
        assert 10 <= run.condensed.runs <= 13
        told = await entries(engine)
        assert [entry["runs"] for entry in told] == [run.condensed.runs]
        assert told[0]["actor"] == "token:scada"
        assert (await call(engine)).id > int(out)
        assert (await engine.audit.verify(engine.owner)).problem is None
