"""A disk that runs out of room costs records of output and saves, never a run, a text or the engine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project
from daemon_support import eventually, write_settings
from mounts import needs_mounts, small_disk

from engine import Engine
from engine.models.runs import Outcome, RunKind, RunRequest
from engine.models.scripts import SaveRequest
from engine.services.access import ServiceError

pytestmark = needs_mounts

MB = 1 << 20
SETTINGS = "[disk]\nkeep_free = '8 MiB'\nkeep_free_percent = 0\n"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    with small_disk(tmp_path / "plant", 48 * MB) as root:
        write_settings(root, SETTINGS)
        async with Engine.open(root, pool_size=1) as opened:
            yield opened


def fill(root: Path, leave: int) -> Path:
    """Take the disk's room but for ``leave`` bytes."""
    found = os.statvfs(root)
    ballast = root / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)
    return ballast


async def until_short(engine: Engine, short: bool) -> None:
    """Wait until the engine has seen how much room there is."""
    await eventually(lambda: any("not recorded" in problem for problem in engine.problems) is short)


async def recorded(engine: Engine, run_id: int) -> tuple[str, str | None]:
    await engine.runs.recorder.flush()
    page = await engine.runs.output(run_id, engine.owner)
    info = await engine.runs.get(run_id, engine.owner)
    return "".join(chunk.text for chunk in page.chunks), info.unrecorded


async def test_output_is_not_recorded_saves_are_refused_and_all_comes_back(engine: Engine) -> None:
    root = engine.project.root
    before = await engine.execute("print('before')")
    ballast = fill(root, 4 * MB)
    await until_short(engine, True)

    run = await engine.execute("print('meanwhile'); open('x', 'w').write('y'); result = {'files': ['x']}")
    assert (run.outcome, run.stdout) == (Outcome.OK, "meanwhile\n")
    text, why = await recorded(engine, run.id)
    assert text == ""
    assert why is not None
    assert why.startswith("Output is not recorded: the disk has only ")
    info = await engine.runs.get(run.id, engine.owner)
    assert (info.outcome, info.output_complete, info.files) == (Outcome.OK, False, [])

    with pytest.raises(ServiceError, match=r"late\.py was not saved: the disk has only") as refusal:
        await engine.scripts.save("late.py", SaveRequest(text="print()"), engine.owner)
    assert refusal.value.code == "low_disk"
    tour = await engine.scripts.load("defaults/tour.py")
    with pytest.raises(ServiceError, match="was not saved"):
        await engine.scripts.save(
            "defaults/tour.py", SaveRequest(text="print()", base_sha256=tour.info.sha256), engine.owner
        )
    assert (await engine.scripts.load("defaults/tour.py")).text == tour.text
    assert "late.py" not in [info.path for info in (await engine.scripts.list()).scripts]
    assert (await engine.scripts.search("tour")).scripts
    assert await recorded(engine, before.id) == ("before\n", None)

    ballast.unlink()
    await until_short(engine, False)
    await engine.scripts.save("late.py", SaveRequest(text="print('saved')"), engine.owner)
    again = await engine.call_script("late.py")
    assert await recorded(engine, again.id) == ("saved\n", None)


async def test_a_run_that_meets_the_shortage_keeps_what_it_had_and_says_so(engine: Engine) -> None:
    code = "import time\nprint('kept')\nwhile True:\n    print('more')\n    time.sleep(0.05)"
    active = await engine.runs.launch(RunRequest(kind=RunKind.EXEC, code=code), engine.owner, "library")
    await eventually(lambda: bool(active.chunks()))
    fill(engine.project.root, 4 * MB)
    async for item in active.follow(0):
        if not isinstance(item, list) and item.unrecorded:
            break
    count = len(active.chunks())
    await eventually(lambda: len(active.chunks()) >= count + 3)
    await engine.runs.cancel(active.info.id, engine.owner)
    text, why = await recorded(engine, active.info.id)
    assert text.startswith("kept\n")
    assert len(text) < sum(len(chunk.text) for chunk in active.chunks())
    assert why is not None


def test_the_command_line_says_it_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 48 * MB) as disk, cli_project(disk / "plant", SETTINGS) as project:
        fill(disk, 4 * MB)
        _until_told(project)
        ran = project.call("exec", "print('seen')")
        assert (ran.returncode, ran.stdout) == (0, "seen\n")
        assert "Output is not recorded: the disk has only" in ran.stderr
        outside = tmp_path / "mine.py"
        outside.write_text("print('mine')\n")
        done = project.call("scripts", "import", str(outside))
        assert done.returncode != 0
        assert "was not saved: the disk has only" in done.stdout
        assert outside.read_text() == "print('mine')\n"
        shown = project.json("runs", "show", str(project.newest_run()["id"]))
        assert shown["unrecorded"].startswith("Output is not recorded")


def _until_told(project: CliProject) -> None:
    while "not recorded" not in project.call("engine", "status").stdout:
        pass
