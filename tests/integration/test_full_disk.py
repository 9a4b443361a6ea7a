"""A disk without any room: the project is served for reading, and what is old can be removed to make some."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project, wait_until
from daemon_support import write_settings
from mounts import needs_mounts, small_disk

from engine import Engine, spare
from engine.models.engine import PruneRequest
from engine.models.runs import Outcome
from engine.models.scripts import SaveRequest
from engine.paths import EnginePaths
from engine.services.access import ServiceError
from store.disk_space import Reserve
from store.errors import LowDisk
from store.read_only import FullDiskProject

MB = 1 << 20
SETTINGS = "[disk]\nkeep_free = '1 MiB'\nkeep_free_percent = 0\n"
TALK = "print('x' * 900_000)"


def fill(root: Path) -> None:
    """Leave not one block free."""
    for size in (64 << 10, 1 << 10):
        with open(root / f"ballast-{size}", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * size)


@pytest.fixture
def disk(tmp_path: Path):
    with small_disk(tmp_path / "disk", 48 * MB) as disk:
        yield disk


@pytest.mark.slow
@needs_mounts
def test_a_stopped_engine_serves_for_reading_and_pruning_makes_room(disk: Path) -> None:
    with cli_project(disk / "plant", SETTINGS) as project:
        for _ in range(4):
            assert project.call("exec", TALK).returncode == 0
        project.script("own.py", "print('own')\n")
        project.call("engine", "stop", "--force")
        fill(disk)

        assert "own" in project.call("scripts", "list").stdout
        assert "The disk is full, so this project is open for reading only" in project.call("engine", "status").stdout
        assert len(project.json("runs", "list")["runs"]) == 4
        ran = project.call("run", "own")
        assert (ran.returncode, ran.stdout) == (0, "own\n")
        assert "Output is not recorded: the disk is full." in ran.stderr
        saved = project.call("scripts", "set", "own", "title=New")
        assert saved.returncode != 0
        assert "was not saved: the disk is full" in saved.stderr
        assert "gatewright retention --prune" in saved.stderr
        assert "3." in project.call("retention").stdout  # MiB of output
        asked = project.call("retention", "--prune", "--output-days", "0")
        assert asked.returncode == 2
        assert "--yes" in asked.stderr
        pruned = project.call("retention", "--prune", "--output-days", "0", "--yes")
        assert pruned.returncode == 0, pruned.stderr
        assert "removed 4 outputs; " in pruned.stderr
        assert "engine stop" in pruned.stderr
        project.call("engine", "stop", "--force")
        assert not any(folder.exists() for folder in spare.folders(EnginePaths(project.root), os.geteuid()))

        # The new engine makes its own files first.
        wait_until(lambda: project.call("scripts", "set", "own", "title=New").returncode == 0, "there is room to save")
        assert len(project.json("runs", "list")["runs"]) == 4
        assert project.call("exec", "print('recorded')").stderr == ""
        assert "prune" in project.call("audit").stdout
        assert project.call("audit", "--verify").returncode == 0


@pytest.mark.slow
@needs_mounts
def test_a_disk_that_fills_up_under_a_running_engine_can_be_pruned_too(disk: Path) -> None:
    """What was recorded last is in the database's log still, and the file would have to grow to take it."""
    with cli_project(disk / "plant", SETTINGS) as project:
        for _ in range(3):
            project.call("exec", TALK)
        wait_until(lambda: project.json("retention")["output_bytes"] >= 2_700_000, "all of it is recorded")
        fill(disk)
        pruned = project.call("retention", "--prune", "--output-days", "0", "--yes")
        assert pruned.returncode == 0, pruned.stderr
        assert "removed 3 outputs; " in pruned.stderr
        assert "engine stop" not in pruned.stderr
        wait_until(lambda: project.call("exec", "print('recorded')").stderr == "", "there is room to record")
        assert project.newest_run()["outcome"] == "ok"


@needs_mounts
@pytest.mark.slow
def test_without_the_reserve_it_says_why_nothing_can_be_removed(disk: Path) -> None:
    with cli_project(disk / "plant", SETTINGS) as project:
        project.call("exec", TALK)
        project.call("engine", "stop", "--force")
        (project.root / ".gatewright/reserve").unlink()
        fill(disk)
        refused = project.call("retention", "--prune", "--output-days", "0", "--yes")
        assert refused.returncode != 0
        assert "disk is" in refused.stderr
        assert "Remove or move away some file on that disk, about 1 MiB" in refused.stderr
        for ballast in disk.glob("ballast-*"):
            ballast.unlink()
        done = project.call("retention", "--prune", "--output-days", "0", "--yes")
        assert "removed 1 outputs" in done.stderr, done.stderr


@pytest.fixture
def no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project below which nothing more can be written, whoever asks the kernel."""
    root = tmp_path / "plant"
    real = os.posix_fallocate

    def refuse(descriptor: int, offset: int, length: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(root)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    return root


@pytest.fixture
async def made(tmp_path: Path) -> Path:
    """A project with records, and no engine."""
    root = tmp_path / "plant"
    root.mkdir()
    write_settings(root, SETTINGS)
    async with Engine.open(root, pool_size=1) as engine:
        await engine.execute(TALK)
    return root


async def test_a_refused_trial_write_is_a_full_disk_too(made: Path, no_room: Path) -> None:
    """A quota, for one: the file system's own figures say that there is room."""
    before = sorted((made / ".gatewright").rglob("*"))
    async with Engine.open(made, pool_size=1) as engine:
        assert isinstance(engine.project, FullDiskProject)
        assert (await engine.execute("result = 2")).outcome is Outcome.OK
        with pytest.raises(ServiceError, match="the disk is full"):
            await engine.scripts.save("x.py", SaveRequest(text="1"), engine.owner)
        result = await engine.retention.prune(PruneRequest(output_days=0), engine.owner)
        assert (result.removed.outputs, result.restart) == (1, True)
    after = {path for path in (made / ".gatewright").rglob("*") if not path.name.startswith("state.db-")}
    assert after == set(before) - {made / ".gatewright/reserve"}


async def test_no_room_anywhere_is_one_sentence(
    made: Path, no_room: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spare, "PLACES", (no_room, tmp_path / "gone"))
    with pytest.raises(LowDisk, match=r"is full, and there is no other place to work in: .* is full, too; .*cannot be"):
        async with Engine.open(made, pool_size=1):
            pass


async def test_pruning_goes_on_where_there_is_room_and_never_beyond_the_request(made: Path) -> None:
    async with Engine.open(made, pool_size=1) as engine:
        kept = await engine.retention.prune(PruneRequest(output_days=1_000), engine.owner)
        assert (kept.removed.outputs, kept.restart) == (0, False)
        gone = await engine.retention.prune(PruneRequest(output_days=0, run_days=0), engine.owner)
        assert gone.removed.outputs == 1
        assert (made / ".gatewright/reserve").stat().st_size == Reserve.SIZE


def test_the_project_s_own_engine_lock_is_one_on_a_full_disk_too(tmp_path: Path) -> None:
    project = FullDiskProject(tmp_path, [], tmp_path / "spare")
    paths = EnginePaths(tmp_path)
    assert (project.lock_file, project.socket) == (paths.home / "engine.lock", paths.home / "engine.sock")


def test_the_command_line_refuses_limits_without_prune(tmp_path: Path) -> None:
    (tmp_path / ".gatewright").mkdir(mode=0o700)
    done = CliProject(tmp_path).call("retention", "--versions", "1")
    assert done.returncode == 2
    assert "--prune" in done.stderr
