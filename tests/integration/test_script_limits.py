"""What a script declares in its frontmatter's ``limits``: it gets it, up to the ceilings of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine import Engine
from engine.config import CeilingsSection, LimitsSection, PolicySection, Settings
from engine.models.runs import Outcome, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.services.access import ServiceError

SETTINGS = Settings(
    limits=LimitsSection(output=4096),
    ceilings=CeilingsSection(
        timeout=20.0, memory=1 << 30, output=1 << 20, result=2 << 20, scratch=32 << 20, open_files=128
    ),
    policy=PolicySection(modules=("os", "resource")),
)
LOOK = """
import os, resource
space = os.statvfs(".")
result = {
    "scratch": space.f_blocks * space.f_frsize,
    "inodes": space.f_files,
    "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
}
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=2, settings=SETTINGS) as opened:
        yield opened


async def save(engine: Engine, path: str, body: str, *limits: str) -> None:
    lines = "".join(f"# {line}\n" for line in limits)
    await engine.scripts.save(
        path, SaveRequest(text=f"# /// script\n# [tool.gatewright.limits]\n{lines}# ///\n{body}"), engine.owner
    )


async def test_a_script_gets_the_scratch_and_the_open_files_it_asks_for(engine: Engine) -> None:
    await save(engine, "big.py", LOOK, 'scratch = "16 MiB"', "open_files = 100", "inodes = 9")
    run = await engine.call_script("big.py")
    assert run.value == {"scratch": 16 << 20, "inodes": 4096, "open_files": 100}
    plain = await engine.execute(LOOK)
    assert plain.value == {"scratch": 32 << 20, "inodes": 4096, "open_files": 64}, "the default is over its ceiling"


async def test_a_script_gets_the_output_and_the_result_it_asks_for(engine: Engine) -> None:
    body = "print('x' * 20_000)\nresult = 'y' * 1_500_000"
    short = await engine.execute(body)
    assert short.error is not None
    assert short.error.type == "ResultTooLarge"
    assert 4_096 < len(short.stdout) < 4_300
    assert short.stdout.count(" missing here: ") == 1
    await save(engine, "wordy.py", body, 'output = "32 KiB"', 'result = "2 MiB"')
    run = await engine.call_script("wordy.py")
    assert (run.outcome, len(run.stdout), len(run.value)) == (Outcome.OK, 20_001, 1_500_000)


async def test_a_script_may_ask_for_less(engine: Engine) -> None:
    await save(engine, "small.py", "result = 'y' * 5000", "result = 4096", 'memory = "128 MiB"')
    run = await engine.call_script("small.py")
    assert run.error is not None
    assert run.error.type == "ResultTooLarge"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("timeout = 21", r"limits\.timeout = 21 s; the ceiling is 20 s"),
        ('memory = "2 GiB"', r"limits\.memory = 2 GiB; the ceiling is 1 GiB"),
        ('output = "2 MiB"', r"limits\.output = 2 MiB; the ceiling is 1 MiB"),
        ('result = "3 MiB"', r"limits\.result = 3 MiB; the ceiling is 2 MiB"),
        ('scratch = "33 MiB"', r"limits\.scratch = 33 MiB; the ceiling is 32 MiB"),
        ("open_files = 129", r"limits\.open_files = 129 files; the ceiling is 128 files"),
    ],
)
async def test_what_is_over_a_ceiling_is_refused_by_its_name(engine: Engine, line: str, said: str) -> None:
    await save(engine, "greedy.py", "result = 1", line)
    with pytest.raises(ServiceError, match=said) as refusal:
        await engine.call_script("greedy.py")
    key = line.partition(" ")[0]
    assert refusal.value.code == "bad_limit"
    assert refusal.value.hint == (f"Lower limits.{key} in its header, or have ceilings.{key} raised in the settings.")


async def test_the_timeout_of_a_request_counts_instead_of_the_scripts(engine: Engine) -> None:
    await save(engine, "slow.py", "while True: pass", "timeout = 21")
    run = await engine.call_script("slow.py", timeout=0.2)
    assert run.outcome is Outcome.TIMEOUT
    with pytest.raises(ServiceError, match="at most 20 seconds"):
        await engine.call_script("slow.py", timeout=21.0)


async def test_a_script_runs_as_often_at_once_as_it_says(engine: Engine) -> None:
    await save(engine, "alone.py", "import time; time.sleep(0.3)", "parallel = 1")
    request = RunRequest(kind=RunKind.SCRIPT, script="alone.py")
    first = await engine.runs.launch(request, engine.owner, "library")
    second = await engine.runs.launch(request, engine.owner, "library")
    assert second.info.queue_reason == "it already runs 1 times at once, as often as it may"
    other = await engine.execute("result = 1")
    assert other.value == 1, "others do not wait for it"
    assert not first.finished
    ends = await asyncio.gather(first.ended(), second.ended())
    assert [info.outcome for info in ends] == [Outcome.OK, Outcome.OK]
    assert ends[1].started_at is not None
    assert ends[0].finished_at is not None
    # The end is noted a turn of the loop later than the slot knows of it; runs side by side would be 0.3 s apart.
    assert ends[1].started_at > ends[0].finished_at - 0.1


async def test_a_run_whose_end_is_recorded_while_a_list_is_read_is_listed_as_it_ended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(engine, "short.py", "import time; time.sleep(0.3)", "parallel = 1")
    request = RunRequest(kind=RunKind.SCRIPT, script="short.py")
    run = await engine.runs.launch(request, engine.owner, "library")
    await engine.runs.recorder.flush()
    read = engine.runs._state.runs

    async def read_before_the_end(**how: Any) -> Any:
        rows = await read(**how)
        await run.ended()
        await engine.runs.recorder.flush()
        return rows

    monkeypatch.setattr(engine.runs._state, "runs", read_before_the_end)
    (listed,) = (await engine.runs.list(engine.owner, limit=1)).runs
    assert (listed.id, listed.outcome) == (run.info.id, Outcome.OK)


@pytest.mark.parametrize(("limits", "most"), [((), 56), (("open_files = 128",), 64)])
async def test_as_many_files_as_its_open_files_leave_room_for(
    engine: Engine, limits: tuple[str, ...], most: int
) -> None:
    ids = []
    for number in range(most + 1):
        writer = engine.buffers.create(f"{number}.txt", engine.owner)
        writer.write(str(number).encode())
        ids.append(writer.finish().id)
    body = "result = sum(int(file.read()) for file in params.values())\nopen('one_more', 'w').close()"
    await save(engine, "files.py", body, *limits)

    def request(count: int) -> RunRequest:
        files = {f"f{number}": ids[number] for number in range(count)}
        return RunRequest(kind=RunKind.SCRIPT, script="files.py", files=files)

    with pytest.raises(ServiceError, match=f"can take {most} files and buffers, not {most + 1}"):
        await engine.run(request(most + 1))
    run = await engine.run(request(most))
    assert (run.outcome, run.value) == (Outcome.OK, sum(range(most))), run.traceback
