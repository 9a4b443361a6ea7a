"""Root stays root unless it says whose project it means; nobody makes a project that was not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_support import UID, OrdinaryAccount, environment, ordinary_account
from cli_support import PROGRAM, CliProject, in_terminal
from ordinary_user import Forked

from default_scripts import bundle
from engine import Engine
from engine.client.finding import find_project
from engine.client.launch import LaunchError, LocalTarget
from engine.client.starter import daemon_command
from engine.models.git import GitStatus
from engine.project_folder import who_may_replace, why_no_project
from store.errors import ProjectError
from tui.widgets.git_pane import _heading

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

COMMANDS = (
    ["exec", "1"],
    ["eval", "1"],
    ["run", "defaults/tour"],
    ["scripts", "list"],
    ["scripts", "search", "x"],
    ["scripts", "new", "x"],
    ["runs", "list"],
    ["rebuild"],
    ["diff"],
    ["history", "x"],
    ["git", "status"],
    ["audit"],
    ["retention"],
    ["engine", "status"],
    ["engine", "stop"],
    ["engine", "serve"],
)


@pytest.fixture
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as account:
        yield account


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_folder_that_is_no_project_stays_none(tmp_path: Path, command: list[str]) -> None:
    named = CliProject(tmp_path).call(*command)
    assert (named.returncode, named.stdout) == (2, "")
    assert f"gatewright init {tmp_path}" in named.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_is_named_with_both_ways_on(tmp_path: Path) -> None:
    done = subprocess.run([PROGRAM, "runs", "list"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "gatewright init" in done.stderr
    assert "--project" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder_of_a_project(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.touch()
    done = CliProject(file).call("runs", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file} is a file, not a folder." in done.stderr


@pytest.mark.parametrize("folder", ["/", "/tmp", "/etc", "/usr", "/var", "/var/tmp", "/srv", "/home", "/dev/shm"])
def test_no_project_is_made_of_a_shared_folder(folder: str) -> None:
    for arguments in (["init", folder], ["--project", folder, "engine", "start"]):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"No project is made of {folder} itself" in done.stderr
        assert "Make a folder for it first" in done.stderr
        assert not os.path.lexists(f"{folder}/.gatewright")


def test_no_project_is_made_of_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments in ([], ["init"], ["engine", "start"], ["--project", str(tmp_path)]):
        command = ["env", f"--chdir={tmp_path}", PROGRAM, *arguments]
        status, shown = in_terminal(command)
        assert status == 2, shown
        assert "is a home folder" in " ".join(shown.split())
    (tmp_path / "plant").mkdir()
    assert why_no_project(tmp_path / "plant") is None
    (tmp_path / "plant").chmod(0o1777)
    assert "all accounts share" in str(why_no_project(tmp_path / "plant"))
    assert list(tmp_path.iterdir()) == [tmp_path / "plant"]


def test_init_makes_a_project_once_and_says_what_it_made(tmp_path: Path) -> None:
    root = tmp_path / "it's a plant"
    project = CliProject(root)
    made = subprocess.run([PROGRAM, "init", root], capture_output=True, text=True, check=False)
    try:
        assert made.returncode == 0, made.stderr
        assert f"made a project in {root}" in made.stderr
        assert f"{sum(path.startswith('scripts/') for path in bundle())} scripts" in made.stdout
        assert "a repository of its own" in made.stdout
        assert "'\"'\"'" in made.stdout  # the next step can be pasted
        before = sorted(root.rglob("scripts/*"))
        again = project.call("init")
        assert again.returncode == 0, again.stderr
        assert "is a project already; nothing changed" in again.stderr
        assert sorted(root.rglob("scripts/*")) == before
        told = project.json("init")
        assert (told["project"], told["made"], told["repository"]) == (str(root), False, str(root))
        assert project.call("eval", "1 + 1").stdout == "2\n"
    finally:
        project.call("engine", "stop", "--force")


def test_init_says_which_larger_repository_the_project_is_part_of(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    project = CliProject(tmp_path / "plant")
    made = subprocess.run([PROGRAM, "init", project.root], capture_output=True, text=True, check=False)
    try:
        assert f"the project is part of the repository at {tmp_path}\n" in made.stdout
        project.script("own.py", "1\n")
        status = project.call("git", "stage", "scripts/own.py")
        assert f"this project's part of the repository at {tmp_path}" in status.stdout
        assert "A  scripts/own.py" in status.stdout
        assert not (project.root / ".git").exists()
        assert "git init" not in made.stdout + made.stderr + status.stderr
    finally:
        project.call("engine", "stop", "--force")


@pytest.mark.slow
@as_root
def test_root_does_not_become_the_owner_of_a_project_that_it_did_not_name(account: OrdinaryAccount) -> None:
    root = account.folder("plant")
    account.own((root / ".gatewright").mkdir(mode=0o700) or root)
    inner = root / "logs"
    inner.mkdir()  # root's own, in the folder of somebody else
    for arguments in (["exec", "1"], ["engine", "start"], ["init"], ["runs", "list"], []):
        for place in (root, inner) if arguments in (["exec", "1"], ["runs", "list"]) else (root,):
            status, shown = in_terminal(["env", f"--chdir={place}", PROGRAM, *arguments])
            assert status == 2, shown
            assert f"The project in {root} belongs to uid {UID}." in " ".join(shown.split())
            assert f"--project {root}" in " ".join(shown.split())
    assert list((root / ".gatewright").iterdir()) == []
    done = subprocess.run(
        account.command_of_root("exec", "result = 1 + 1", "--project", str(root)),
        capture_output=True, text=True, check=False, cwd=inner, env=environment(),
    )  # fmt: skip
    try:
        assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
        assert done.stderr.count(f"gatewright: as uid {UID}, who owns {root}\n") == 1
        assert not [path for path in (root / ".gatewright").rglob("*") if path.lstat().st_uid != UID]
    finally:
        account.call("--project", str(root), "engine", "stop", "--force")


@as_root
def test_a_project_that_changes_hands_after_it_was_found_makes_nobody_somebody_else(account: OrdinaryAccount) -> None:
    """Whoever may write to the folder above can put another .gatewright there between two looks."""
    root = account.folder("plant")
    (root / ".gatewright").mkdir(mode=0o700)
    account.own(root)
    program = f"""
import asyncio, os
from pathlib import Path
from engine.client import launch
for work in (launch.connect, launch.stop):
    try:
        asyncio.run(work(Path({str(root)!r}), client="cli", become=False))
    except launch.LaunchError as error:
        print(error.exit_code, os.geteuid(), error.message.partition(";")[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == f"4 0 This project belongs to uid {UID}\n" * 2, done.stderr


@as_root
def test_a_project_of_ones_own_is_found_past_that_of_another(
    account: OrdinaryAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    (account.home / ".gatewright").mkdir(mode=0o700)
    root = account.folder("plant")
    (root / ".gatewright").mkdir(mode=0o700)
    account.own(root)
    told: list[str] = []
    monkeypatch.chdir(root)
    assert find_project(None, tell=told.append) == account.home
    assert told == [f"passed over the project in {root}: it belongs to uid {UID}"]


@as_root
def test_a_project_planted_above_keeps_nobody_from_a_folder_of_their_own(
    account: OrdinaryAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = account.folder("shared")
    (planted / ".gatewright").mkdir(mode=0o700)
    account.own(planted)
    own = planted / "own"
    own.mkdir()
    monkeypatch.chdir(own)
    assert find_project(None, tell=lambda _: None, make=True) == own
    with pytest.raises(LaunchError, match="belongs to"):
        find_project(None, tell=lambda _: None)


@as_root
def test_root_works_in_no_project_that_another_account_could_exchange(account: OrdinaryAccount) -> None:
    """Whoever may rename it would have root run an interpreter of theirs."""
    above = account.folder("shared")
    account.own(above)
    own = above / "own"
    own.mkdir(mode=0o700)
    refused = CliProject(own).call("engine", "start")
    assert refused.returncode == 4
    assert f"Root works in no project that others could exchange: {above} belongs to another account." in refused.stderr
    assert list(own.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(0o755, None), (0o775, None), (0o777, "may be written to"), (0o1777, None)],
)
def test_who_may_replace_a_project_is_seen_by_the_folders_above_it(
    tmp_path: Path, mode: int, reason: str | None
) -> None:
    project = tmp_path / "shared" / "plant"
    project.mkdir(parents=True)
    project.parent.chmod(mode)  # its group is this account's own
    found = who_may_replace(project.resolve(), os.geteuid())
    assert (found is None) if reason is None else (found is not None and reason in found)


@as_root
def test_a_folder_of_a_group_or_of_another_account_lets_others_replace_what_is_in_it(tmp_path: Path) -> None:
    project = tmp_path.resolve() / "shared" / "plant"
    project.mkdir(parents=True)
    os.chown(project.parent, 0, UID)
    project.parent.chmod(0o775)
    assert who_may_replace(project, 0) == f"{project.parent} may be written to by other accounts"
    os.chown(project.parent, UID, 0)
    project.parent.chmod(0o755)
    assert who_may_replace(project, 0) == f"{project.parent} belongs to another account"
    assert who_may_replace(project, UID) is None


def test_an_engine_in_the_background_becomes_nobody_else(tmp_path: Path) -> None:
    """The client that starts it is the owner by then, whatever is found where the project was a moment later."""
    assert "--stay" in daemon_command(tmp_path, background=True)
    assert "--stay" not in daemon_command(tmp_path)


@as_root
def test_a_stranger_in_anothers_project_hears_whose_it_is(account: OrdinaryAccount) -> None:
    root = account.home / "roots"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)

    def find() -> str:
        os.chdir(root)
        try:
            return str(find_project(None, tell=lambda _: None, make=True))
        except LaunchError as error:
            return f"{error.exit_code} {error.message}"

    assert Forked(find, UID).answer() == f"4 The project in {root} belongs to root."


@as_root
def test_the_header_of_the_console_says_as_whom_root_works(account: OrdinaryAccount, tmp_path: Path) -> None:
    from tui.app import GatewrightApp
    from tui.commands import console

    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GatewrightApp, "run", lambda self: seen.append(self._console._place))
        console.run_console(LocalTarget(account.folder("plant")), account="alice")
        console.run_console(LocalTarget(tmp_path))
    assert seen[0].endswith("/plant as alice")
    assert seen[1].endswith(str(tmp_path))


async def test_the_library_makes_no_project_of_a_home_folder_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ProjectError, match="is a home folder"):
        async with Engine.open(tmp_path, pool_size=1):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_git_pane_says_that_a_project_is_part_of_a_larger_repository() -> None:
    status = GitStatus(available=True, branch="main", head="0" * 40, repository="/srv/mono", is_part=True)
    assert _heading(status) == " on main, nothing changed, part of /srv/mono"
