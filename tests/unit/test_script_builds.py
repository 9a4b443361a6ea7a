"""Builds of scripts' own environments: which ones go when nothing needs them for long, or all take too much."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path

import pytest

from engine.config import PackagesSection
from engine.pool.job import Environment
from engine.sandbox.interpreters import Interpreter
from engine.services.packages.builds import BUILDS, Builds
from engine.services.packages.lock import Lock
from engine.services.packages.script_builds import CLAIMS, NOTED_EVERY, ScriptBuilds
from engine.services.packages.script_environments import NEVER_OPENED, opened
from engine.services.packages.uv import Uv

PYTHON = Interpreter(Path(os.path.realpath(sys.executable)), platform.python_version(), "own")
DAY = 86400.0
PLENTY = 1 << 40


async def made(folder: Path, size: int = PLENTY, keep: float = 30 * DAY) -> ScriptBuilds:
    """Three builds: ``old`` that no run needed for 40 days, ``older`` for 50 and ``new`` that one needed just now."""
    found = ScriptBuilds(Builds(folder / "envs", Uv(PackagesSection(), folder)), size, keep)
    for key, age in (("old", 40 * DAY), ("older", 50 * DAY), ("new", 0.0)):
        await found.make(key, Lock(), [], PYTHON, "ann", lambda *_: None)
        then = time.time() - age
        os.utime(folder / "envs" / CLAIMS / key, (then, then), follow_symlinks=False)
    return found


async def test_what_no_run_needed_for_long_goes_with_its_files(tmp_path: Path) -> None:
    found = await made(tmp_path)
    assert sorted(found.evict([])) == ["old", "older"]
    [left] = (tmp_path / "envs" / BUILDS).iterdir()
    new = found.find("new")
    assert new is not None
    assert new.prefix == left
    assert found.find("old") is None


async def test_the_longest_unused_go_first_when_all_take_too_much(tmp_path: Path) -> None:
    found = await made(tmp_path, keep=1000 * DAY)
    assert found.evict([]) == []
    each = (
        sum(os.lstat(Path(place, name)).st_blocks * 512 for place, _, names in os.walk(tmp_path) for name in names) // 3
    )
    tight = ScriptBuilds(Builds(tmp_path / "envs", Uv(PackagesSection(), tmp_path)), 2 * each + each // 2, 1000 * DAY)
    assert tight.evict([]) == ["older"]
    nothing = ScriptBuilds(Builds(tmp_path / "envs", Uv(PackagesSection(), tmp_path)), 1, 1000 * DAY)
    assert nothing.evict([]) == ["old"], "what was needed just now stays, however large"


async def test_what_a_process_runs_with_stays(tmp_path: Path) -> None:
    found = await made(tmp_path)
    old = found.find("old")  # which is a use
    assert old is not None
    then = time.time() - 40 * DAY
    os.utime(tmp_path / "envs" / CLAIMS / "old", (then, then), follow_symlinks=False)
    assert found.evict([old.prefix]) == ["older"]
    assert old.prefix.is_dir()


async def test_finding_one_notes_that_it_is_used(tmp_path: Path) -> None:
    found = await made(tmp_path)
    assert found.find("old") is not None
    link = tmp_path / "envs" / CLAIMS / "old"
    assert time.time() - link.lstat().st_mtime < NOTED_EVERY
    assert found.evict([]) == ["older"]
    assert len(found.claimed()) == 2


async def test_one_whose_files_or_interpreter_are_gone_is_none(tmp_path: Path) -> None:
    found = await made(tmp_path)
    new = found.find("new")
    assert new is not None
    new.packages.rmdir()
    assert found.find("new") is None


@pytest.mark.parametrize(
    "name", ["subprocess", "os", "ctypes", "threading", "lib", "gatewright", "_socket", "imp", "http"]
)
def test_names_of_others_are_never_opened_by_a_package(name: str) -> None:
    folder = Path("/nowhere")
    made_of = Environment(folder, folder, folder, "3.12.1", "x", (name, "pandas"))
    assert opened(made_of).modules == ("pandas",)
    assert name in NEVER_OPENED
