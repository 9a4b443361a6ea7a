"""Whoever follows a run gets all of its output as long as he reads: the run waits. Who does not read falls behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project, ended, wait_until

from engine import Engine
from engine.config import LimitsSection, Settings
from engine.models.runs import Outcome, OutputChunk, RunInfo, RunKind, RunRequest, Stream
from engine.services.runs import follower

LIMIT = 32 << 10
LINES = 20_000
CODE = f"for n in range({LINES}): print(n, 'E [Tags] line of a table' * 15)"
WRITTEN = "".join(f"{n} {'E [Tags] line of a table' * 15}\n" for n in range(LINES))
PATIENCE = 30.0
AGES = 600.0
GAP = " missing here: "

Item = list[OutputChunk] | RunInfo


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", settings=Settings(limits=LimitsSection(output=LIMIT))) as opened:
        yield opened


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("slow") / "plant") as made:
        made.script("table.py", CODE)
        made.script("long.py", "print('x' * 3_000_000)")
        yield made


async def launched(engine: Engine, code: str = CODE) -> int:
    return (await engine.runs.start(RunRequest(kind=RunKind.EXEC, code=code), engine.owner, "library")).id


async def the_rest(items: AsyncIterator[Item]) -> list[OutputChunk]:
    async with asyncio.timeout(PATIENCE):
        return [chunk async for item in items if not isinstance(item, RunInfo) for chunk in item]


def text_of(chunks: list[OutputChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if not chunk.gap)


async def until_held(engine: Engine, run_id: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while not engine.runs._active[run_id].held():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


def memory(pid: int, field: str) -> int:
    """Bytes (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":"))


def test_a_reader_who_begins_late_gets_everything(project: CliProject) -> None:
    process = project.popen("run", "table.py")
    time.sleep(2)  # it is what is tested: by then the run would have ended
    code, out, err = ended(process)
    assert out == WRITTEN
    assert code == 0
    assert "All of the output was printed; the record keeps its beginning and its end" in err
    assert "limits.output" in err
    assert "not kept" not in err


@pytest.mark.parametrize("attempt", range(5))
def test_one_long_line_is_whole_every_time(project: CliProject, attempt: int) -> None:
    done = project.call("run", "long.py")
    assert (done.returncode, len(done.stdout)) == (0, 3_000_001), attempt


def test_the_output_of_a_record_tells_of_its_gap_on_stderr(project: CliProject) -> None:
    project.call("run", "table.py")
    done = project.call("runs", "output", str(project.newest_run()["id"]))
    assert done.returncode == 1
    assert GAP not in done.stdout
    assert WRITTEN.startswith(done.stdout[:1000])
    assert WRITTEN.endswith(done.stdout[-1000:])
    assert done.stderr.startswith("gatewright: what was printed is not whole: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_reader_who_never_reads_holds_nobody_for_ever(project: CliProject) -> None:
    """Real patience of the engine; what it keeps meanwhile stays small."""
    pid = project.json("engine", "status")["engine"]["pid"]
    project.call("run", "long.py")
    before = memory(pid, "VmHWM")
    project.script("much.py", "for n in range(100_000): print('x' * 999)")
    process = project.popen("run", "much.py")
    wait_until(lambda: project.newest_run()["name"] == "much.py", "it began")
    assert project.call("exec", "print('others run')").stdout == "others run\n"
    wait_until(lambda: all(run["state"] == "finished" for run in project.json("runs", "list")["runs"]), "it ended")
    assert memory(pid, "VmHWM") - before < 24 << 20
    code, out, err = ended(process)
    assert code == 1
    assert GAP not in out
    assert set(out) == {"x", "\n"}
    assert len(out) < 10_000_000
    assert "gatewright: what was printed is not whole: " in err
    assert "All of the output was printed" not in err


async def test_nothing_is_missing_of_what_is_written_before_the_first_look(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PATIENCE", AGES)
    run_id = await launched(engine)
    items = engine.runs.follow(run_id, engine.owner)
    await until_held(engine, run_id)
    active = engine.runs._active[run_id]
    (waiting,) = active._followers or ()
    assert follower.MOST_WAITING <= waiting._size < 3 * follower.MOST_WAITING
    chunks = await the_rest(items)
    assert text_of(chunks) == WRITTEN
    assert not any(chunk.gap for chunk in chunks)
    assert (await engine.runs.get(run_id, engine.owner)).outcome is Outcome.OK


async def test_of_two_followers_the_stuck_one_falls_behind_and_the_other_gets_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PATIENCE", 0.5)
    run_id = await launched(engine)
    stuck = engine.runs.follow(run_id, engine.owner)
    assert text_of(await the_rest(engine.runs.follow(run_id, engine.owner))) == WRITTEN
    chunks = await the_rest(stuck)
    assert sum(chunk.gap for chunk in chunks) == 1
    assert len(text_of(chunks)) <= LIMIT
    assert WRITTEN.endswith(chunks[-1].text)


async def test_a_follower_who_leaves_holds_the_run_no_longer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PATIENCE", AGES)
    run_id = await launched(engine)
    items = engine.runs.follow(run_id, engine.owner)
    unread = engine.runs.follow(run_id, engine.owner)
    await anext(items)
    await until_held(engine, run_id)
    await items.aclose()
    assert engine.runs._active[run_id].held()
    del unread
    async with asyncio.timeout(PATIENCE):
        assert (await engine.runs.wait(run_id, engine.owner)).outcome is Outcome.OK


async def test_a_run_that_is_held_is_stopped_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PATIENCE", AGES)
    run_id = await launched(engine, "while True: print('x' * 999)")
    items = engine.runs.follow(run_id, engine.owner)
    await until_held(engine, run_id)
    start = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        run = await engine.runs.cancel(run_id, engine.owner)
    assert run.outcome is Outcome.CANCELLED
    assert time.monotonic() - start < 10, "the limit on time would have been 30 s"
    assert text_of(await the_rest(items))


async def test_the_limit_on_time_goes_on_while_a_run_is_held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PATIENCE", AGES)
    request = RunRequest(kind=RunKind.EXEC, code="while True: print('x' * 999)", timeout=1)
    run_id = (await engine.runs.start(request, engine.owner, "library")).id
    items = engine.runs.follow(run_id, engine.owner)
    async with asyncio.timeout(PATIENCE):
        assert (await engine.runs.wait(run_id, engine.owner)).outcome is Outcome.TIMEOUT
    assert text_of(await the_rest(items))


async def test_who_takes_a_little_now_and_then_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "CHUNK", 0)
    reader = follower.Follower(0, lambda _: [], live=True)
    text = "x" * follower.BATCH
    chunks = [OutputChunk(seq=n, stream=Stream.STDOUT, text=text, at=0.0) for n in range(100)]
    reader.put(chunks)
    now = 0.0
    for chunk in chunks[:50]:
        for _ in range(int(follower.PATIENCE / follower.LONGEST_LOOK) - 2):
            now += follower.LONGEST_LOOK
            assert reader.holds(now)
        now += 3600.0  # the host was asleep
        assert reader.holds(now)
        assert reader.take() == [chunk]
    for _ in range(int(follower.PATIENCE / follower.LONGEST_LOOK) + 2):
        now += follower.LONGEST_LOOK
        held = reader.holds(now)
    assert not held
    assert reader.take() == []
