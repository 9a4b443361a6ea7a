"""``gatewright backup`` of a project in use, and ``gatewright restore`` of it elsewhere, as a user calls them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_support import ordinary_account
from cli_support import PROGRAM, CliProject, cli_project
from mounts import needs_mounts, small_disk

SETTINGS = '[retention]\noutput_days = 3\n[listen]\naddress = "127.0.0.1:0"\n'


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("backup") / "plant", SETTINGS) as project:
        project.script("a.py", "print('first')\n")
        project.call("scripts", "set", "a", "title=A")
        assert project.call("run", "a").stdout == "first\n"
        project.call("token", "create", "--name", "dash", "--role", "viewer")
        project.call("secrets", "set", "PLC", stdin="geheim")
        yield project


def restored(file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *options, "restore", str(file), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
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
    (new.root / ".gatewright" / "backup-left").mkdir()  # as an engine leaves it that was killed at one
    try:
        runs = {run["name"]: run["outcome"] for run in new.json("runs", "list")["runs"]}
        assert runs == {"a.py": "ok", "<exec>": "interrupted"}, "what ran then was cut off in the copy"
        assert "first" in new.call("runs", "output", "1").stdout
        assert len(new.json("history", "a")["versions"]) == len(plant.json("history", "a")["versions"]) == 1
        assert new.call("run", "a").stdout == "first\n"
        assert (new.root / ".gatewright" / "settings.toml").read_text() == SETTINGS
        assert new.json("token", "list")["tokens"] == []
        assert new.call("audit", "--verify").returncode == 0
        assert "restore backup" in new.call("audit").stdout
        then, now = (each.json("engine", "status")["engine"].get("problems") for each in (plant, new))
        assert then == now
    finally:
        new.call("engine", "stop", "--force")
        busy.terminate()
        busy.communicate(timeout=30)
    for project in (plant, new):
        assert list((project.root / ".gatewright").glob("backup-*")) == []


@pytest.mark.slow
def test_an_engine_elsewhere_sends_it_to_administrators_only(plant: CliProject, tmp_path: Path) -> None:
    (url,) = plant.json("engine", "status")["engine"]["listening"]
    done = {}
    for role in ("author", "admin"):
        token = tmp_path / f"{role}.token"
        assert plant.call("token", "create", "--name", role, "--role", role, "--output", str(token)).returncode == 0
        command = [PROGRAM, "--url", url, "--token-file", str(token), "backup", str(tmp_path / f"{role}.gwbackup")]
        done[role] = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done["author"].returncode == 4
    assert "author may not back up the project: that needs the role admin" in done["author"].stderr
    assert done["admin"].returncode == 0, done["admin"].stderr
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".gwbackup", ".token", ".token"]


@pytest.mark.slow
def test_an_ordinary_account_does_the_same_and_root_does_it_as_the_owner() -> None:
    with ordinary_account() as account:
        root, place = account.folder("plant"), account.folder("backups")
        here = ("--project", str(root))
        try:
            assert account.call(*here, "init").returncode == 0
            assert account.call(*here, "exec", "print('first')").returncode == 0
            made = account.call(*here, "backup", str(place / "one"))
            assert made.returncode == 0, made.stderr
            if os.geteuid() == 0:
                command = account.command_of_root(*here, "backup", str(place / "two"))
                assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
                assert (place / "two").stat().st_uid == root.stat().st_uid
            back = account.call("restore", str(place / "one"), str(place / "new"))
            assert back.returncode == 0, back.stderr
            new = ("--project", str(place / "new"))
            assert account.call(*new, "runs", "output", "1").stdout == "first\n"
            account.call(*new, "engine", "stop", "--force")
        finally:
            account.call(*here, "engine", "stop", "--force")


@pytest.mark.slow
def test_nothing_is_overwritten(plant: CliProject, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = plant.call("backup", str(tmp_path / "mine"))
    assert (done.returncode, done.stdout) == (5, "")
    assert "nothing is overwritten" in done.stderr
    assert plant.call("backup", str(tmp_path / "no" / "such")).returncode == 1
    for inside in (plant.root, plant.root / "documents" / "x"):
        refused = plant.call("backup", str(inside))
        assert (refused.returncode, "lies in the project" in refused.stderr) == (2, True), refused.stderr
    assert restored(tmp_path / "mine", tmp_path / "new").stderr.startswith("gatewright: ")
    assert restored(tmp_path / "mine", Path("/tmp")).returncode == 1
    assert restored(tmp_path / "mine", tmp_path / "new", "--project", "x").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.slow
@needs_mounts
def test_a_disk_without_room_for_it_is_said_and_left_as_it_was(plant: CliProject, tmp_path: Path) -> None:
    big = plant.root / "documents" / "big.bin"
    big.write_bytes(os.urandom(8 << 20))
    try:
        assert plant.call("backup", str(tmp_path / "good")).returncode == 0
        with small_disk(tmp_path / "disk", 4 << 20) as disk:
            done = plant.call("backup", str(disk / "full"))
            assert (done.returncode, "No space left" in done.stderr) == (1, True), done.stderr
            done = restored(tmp_path / "good", disk / "new")
            assert (done.returncode, "There is no room for the project" in done.stderr) == (1, True), done.stderr
            assert [name for name in os.listdir(disk) if name != "lost+found"] == []
    finally:
        big.unlink()


@pytest.mark.slow
@needs_mounts
def test_a_project_without_room_for_its_own_backup_goes_on(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 32 << 20) as disk,
        cli_project(disk / "plant", "[disk]\nkeep_free = '1 MiB'\nkeep_free_percent = 0\n") as project,
    ):
        (project.root / "documents" / "big.bin").write_bytes(os.urandom(16 << 20))
        done = project.call("backup", str(tmp_path / "out"))
        assert (done.returncode, "the disk is full" in done.stderr) == (1, True), done.stderr
        assert list((project.root / ".gatewright").glob("backup-*")) == []
        (project.root / "documents" / "big.bin").unlink()
        assert project.call("exec", "print(1)").returncode == 0
        assert project.call("backup", str(tmp_path / "out")).returncode == 0


@pytest.mark.slow
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
