"""A path that is swapped between its approval and the run is not granted: what lies there now was never approved.

Each swap is first shown to reach the secret by the path alone, as an engine that trusted the path would.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from place import token
from pool_kit import Done, pool_of, run

from engine.models.permissions import Access
from engine.models.runs import Mode, Outcome
from engine.pool.job import Profile
from engine.pool.pool import Pool
from engine.sandbox.grants import OpenedGrant


@dataclass
class Scene:
    """``plant/logs/day.txt`` was approved, as file or with its folder; ``private/day.txt`` holds a secret."""

    root: Path
    secret: str

    @property
    def logs(self) -> Path:
        return self.root / "plant" / "logs"

    @property
    def private(self) -> Path:
        return self.root / "private"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path.resolve(), token())
    made.logs.mkdir(parents=True)
    made.private.mkdir()
    (made.logs / "day.txt").write_text("harmless")
    (made.private / "day.txt").write_text(made.secret)
    return made


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pool_of(1) as started:
        yield started


def approved(path: Path, access: Access = Access.READ) -> OpenedGrant:
    found = path.lstat()
    return OpenedGrant(access, str(path), found.st_dev, found.st_ino, path.is_dir())


async def run_with(pool: Pool, code: str, *grants: OpenedGrant, wall: float = 10.0) -> Done:
    return await run(pool, code, wall=wall, profile=Profile(mode=Mode.RESTRICTED, grants=grants))


def reading(path: Path) -> str:
    return f"result = open({str(path)!r}).read()"


def folder_for_a_link(scene: Scene) -> None:
    scene.logs.rename(scene.root / "away")
    scene.logs.symlink_to(scene.private)


def folder_for_another(scene: Scene) -> None:
    scene.logs.rename(scene.root / "away")
    scene.private.rename(scene.logs)


def component_for_a_link(scene: Scene) -> None:
    scene.logs.parent.rename(scene.root / "away")
    (scene.root / "other").mkdir()
    scene.private.rename(scene.root / "other" / "logs")
    scene.logs.parent.symlink_to(scene.root / "other")


def file_for_a_link(scene: Scene) -> None:
    (scene.logs / "day.txt").unlink()
    (scene.logs / "day.txt").symlink_to(scene.private / "day.txt")


def file_for_another(scene: Scene) -> None:
    os.replace(scene.private / "day.txt", scene.logs / "day.txt")


def file_for_a_hard_link(scene: Scene) -> None:
    (scene.logs / "day.txt").unlink()
    (scene.logs / "day.txt").hardlink_to(scene.private / "day.txt")


def exchanged(scene: Scene) -> None:
    scene.logs.rename(scene.root / "away")
    scene.private.rename(scene.logs)
    (scene.root / "away").rename(scene.private)


SWAPS_OF_FOLDERS = [folder_for_a_link, folder_for_another, component_for_a_link, exchanged]
SWAPS_OF_FILES = [file_for_a_link, file_for_another, file_for_a_hard_link, component_for_a_link]


@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("swap", SWAPS_OF_FOLDERS)
async def test_a_swapped_folder(pool: Pool, scene: Scene, swap: Callable[[Scene], None], access: Access) -> None:
    grant = approved(scene.logs, access)
    swap(scene)
    await expect_refused(pool, scene, grant)


@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("swap", SWAPS_OF_FILES)
async def test_a_swapped_file(pool: Pool, scene: Scene, swap: Callable[[Scene], None], access: Access) -> None:
    grant = approved(scene.logs / "day.txt", access)
    swap(scene)
    await expect_refused(pool, scene, grant)


async def expect_refused(pool: Pool, scene: Scene, grant: OpenedGrant) -> None:
    path = scene.logs / "day.txt"
    assert path.read_text() == scene.secret, "the swap reaches nothing, so its refusal proves nothing"
    done = await run_with(pool, reading(path), grant)
    assert done.outcome is not Outcome.OK, done.ending
    assert scene.secret not in repr(done)
    assert (await run(pool, "result = 1")).value == 1


async def test_a_folder_that_is_a_pipe_now(pool: Pool, scene: Scene) -> None:
    """Nobody waits for the other end."""
    grant = approved(scene.logs / "day.txt")
    (scene.logs / "day.txt").unlink()
    os.mkfifo(scene.logs / "day.txt")
    done = await run_with(pool, reading(scene.logs / "day.txt"), grant, wall=1.0)
    assert done.outcome is not Outcome.OK


async def test_links_inside_a_granted_folder_lead_nowhere(pool: Pool, scene: Scene) -> None:
    grant = approved(scene.logs)
    (scene.logs / "link").symlink_to(scene.private / "day.txt")
    (scene.logs / "way").symlink_to(scene.private)
    for path in (scene.logs / "link", scene.logs / "way" / "day.txt", scene.logs / ".." / ".." / "private" / "day.txt"):
        assert path.read_text() == scene.secret
        done = await run_with(pool, reading(path), grant)
        assert done.outcome is Outcome.SCRIPT_ERROR, path
        assert scene.secret not in repr(done)


async def test_a_swap_while_the_script_runs(pool: Pool, scene: Scene) -> None:
    """The rule holds for the folder that was opened, whatever its path leads to later."""
    grant = approved(scene.logs)
    code = f"""
import time
for _ in range(200):
    try:
        text = open({str(scene.logs / "day.txt")!r}).read()
    except OSError as error:
        text = type(error).__name__
    if text != "harmless":
        break
    print(text, flush=True)
    time.sleep(0.01)
result = text
"""
    running = asyncio.ensure_future(run_with(pool, code, grant))
    await asyncio.sleep(1.0)
    folder_for_a_link(scene)
    done = await running
    assert "harmless" in done.sink.stdout
    assert scene.secret not in repr(done)


async def test_what_was_approved_and_is_still_there(pool: Pool, scene: Scene) -> None:
    done = await run_with(pool, reading(scene.logs / "day.txt"), approved(scene.logs))
    assert done.value == "harmless"
    done = await run_with(pool, reading(scene.private / "day.txt"), approved(scene.logs))
    assert done.outcome is Outcome.SCRIPT_ERROR
    writing = f"open({str(scene.logs / 'new.txt')!r}, 'w').write('x')"
    done = await run_with(pool, writing, approved(scene.logs))
    assert done.outcome is Outcome.SCRIPT_ERROR
    done = await run_with(pool, writing, approved(scene.logs, Access.WRITE))
    assert done.outcome is Outcome.OK
    assert (scene.logs / "new.txt").read_text() == "x"
    done = await run_with(pool, reading(scene.logs / "day.txt"))
    assert done.outcome is Outcome.SCRIPT_ERROR
