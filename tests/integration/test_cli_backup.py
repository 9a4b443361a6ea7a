"""``gatewright backup`` of a project in use, and ``gatewright restore`` of it elsewhere, as a user calls them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import PROGRAM, CliProject, cli_project

from engine.client.answers import EngineError
from engine.client.launch import connect
from engine.registry.engine import BACKUP, BackupParams


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("backup") / "plant", "[retention]\noutput_days = 3\n") as project:
        project.script("a.py", "print('first')\n")
        project.call("scripts", "set", "a", "title=A")
        assert project.call("run", "a").stdout == "first\n"
        project.call("token", "create", "--name", "dash", "--role", "viewer")
        project.call("secrets", "set", "PLC", stdin="geheim")
        yield project


def restored(file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *options, "restore", str(file), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_project_in_use_comes_back_elsewhere_with_all_that_it_was(plant: CliProject, tmp_path: Path) -> None:
    busy = plant.popen("exec", "import time\nprint('begun', flush=True)\ntime.sleep(600)")
    assert busy.stdout is not None
    assert busy.stdout.readline() == b"begun\n"
    told = plant.json("backup", str(tmp_path))
    [file] = tmp_path.iterdir()
    assert told["place"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert any("PLC" in sentence for sentence in told["left_out"])
    assert plant.call("backup", str(file), "--check").returncode == 0
    done = restored(file, tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "left out: The secrets of tokens" in done.stderr
    assert done.stdout == f"Open it: gatewright {tmp_path / 'new'}\n"
    new = CliProject(tmp_path / "new")
    try:
        runs = {run["name"]: run["outcome"] for run in new.json("runs", "list")["runs"]}
        assert runs == {"a.py": "ok", "<exec>": "interrupted"}, "what ran then was cut off in the copy"
        assert "first" in new.call("runs", "output", "1").stdout
        assert len(new.json("history", "a")["versions"]) == len(plant.json("history", "a")["versions"]) == 1
        assert new.call("run", "a").stdout == "first\n"
        assert new.json("retention")["limits"]["output_days"] == 3
        assert new.json("token", "list")["tokens"] == []
        assert new.json("secrets", "list")["secrets"] == []
        assert new.call("audit", "--verify").returncode == 0
        assert "restore backup" in new.call("audit").stdout
        assert "problems" not in new.json("engine", "status")["engine"]
    finally:
        new.call("engine", "stop", "--force")
        busy.terminate()
        busy.communicate(timeout=30)
    assert [name for name in os.listdir(plant.root / ".gatewright") if name.startswith("backup-")] == []


def test_nothing_is_overwritten(plant: CliProject, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = plant.call("backup", str(tmp_path / "mine"))
    assert (done.returncode, done.stdout) == (5, "")
    assert "nothing is overwritten" in done.stderr
    assert plant.call("backup", str(tmp_path / "no" / "such")).returncode == 1
    assert restored(tmp_path / "mine", tmp_path / "new").stderr.startswith("gatewright: ")
    assert restored(tmp_path / "mine", Path("/tmp")).returncode == 1
    assert restored(tmp_path / "mine", tmp_path / "new", "--project", "x").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_what_could_not_be_taken_is_named_and_the_exit_code_says_so(plant: CliProject, tmp_path: Path) -> None:
    hidden = plant.root / "documents" / "hidden.bin"
    hidden.symlink_to("hidden.bin")
    told = plant.json("backup", str(tmp_path / "one"))
    assert any("documents/hidden.bin" in sentence for sentence in told["left_out"])
    hidden.unlink()
    shutil.move(plant.root / ".git" / "HEAD", tmp_path / "HEAD")
    try:
        done = plant.call("backup", str(tmp_path / "two"))
    finally:
        shutil.move(tmp_path / "HEAD", plant.root / ".git" / "HEAD")
    assert done.returncode == 1
    assert "problem: The repository could not be taken" in done.stderr
    assert (tmp_path / "two").exists(), "the rest is better than nothing"


def test_two_at_once_and_one_that_is_not_waited_for(plant: CliProject) -> None:
    async def both() -> list[Any]:
        first, second = [await connect(plant.root, client="cli") for _ in range(2)]
        try:
            sizes: list[int] = []
            calls = [
                client.download(BACKUP, BackupParams(name="x"), lambda data: sizes.append(len(data)))
                for client in (first, second)
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            left = asyncio.ensure_future(first.download(BACKUP, BackupParams(name="x"), len))
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left])
            return answers
        finally:
            await first.close()
            await second.close()

    refusals = [answer for answer in asyncio.run(both()) if answer is not None]
    assert all(isinstance(error, EngineError) and error.code == "busy" for error in refusals)
    assert len(refusals) < 2
    assert plant.call("runs", "list").returncode == 0
