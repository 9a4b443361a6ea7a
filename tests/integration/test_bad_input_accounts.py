"""Projects of other accounts: refused in one sentence, whatever the command; and root becomes their owner."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_support import UID, OrdinaryAccount, environment, ordinary_account
from cli_support import PROGRAM
from daemon_support import ProjectUnderTest, alive, family, listens, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

COMMANDS = (
    ["exec", "1"],
    ["run", "defaults/tour"],
    ["scripts", "list"],
    ["runs", "list"],
    ["engine", "start"],
    ["engine", "stop"],
    ["engine", "status"],
    ["engine", "serve"],
)


@pytest.fixture
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as account:
        yield account


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_anothers_project_is_refused_with_the_owners_name(account: OrdinaryAccount, command: list[str]) -> None:
    root = account.home / "roots"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    done = account.call("--project", str(root), *command)
    assert done.returncode == 4
    assert "This project belongs to root" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(root.rglob("*")) == [root / ".gatewright"]


def test_a_folder_that_the_account_may_not_enter(account: OrdinaryAccount) -> None:
    closed = account.home / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    done = account.call("--project", str(closed), "exec", "1")
    assert (done.returncode, done.stderr) == (4, f"gatewright: This account may not look into {closed}.\n")
    done = account.call("--project", str(closed / "inner"), "exec", "1")
    assert done.returncode == 2
    assert f"There is no folder {closed / 'inner'}" in done.stderr


def test_the_doctor_tells_a_stranger_whose_project_it_is_and_breaks_nowhere(account: OrdinaryAccount) -> None:
    root = account.home / "roots"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    done = account.call("--project", str(root), "doctor")
    assert done.returncode == 0
    assert "This project belongs to root" in done.stdout
    assert "itself failed" not in done.stdout


def test_an_engine_served_by_root_runs_as_the_projects_owner(account: OrdinaryAccount) -> None:
    project = ProjectUnderTest(account.folder("plant"))
    project.settings("")
    account.own(project.root)
    serving = subprocess.Popen(
        account.command_of_root("--project", str(project.root), "engine", "serve"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", env=environment(),
    )  # fmt: skip
    try:
        wait_for(lambda: listens(project.paths.socket) or serving.poll() is not None)
        assert os.stat(f"/proc/{serving.pid}").st_uid == UID
        assert account.call("--project", str(project.root), "exec", "result = 1 + 1").stdout == "2\n"
        assert {path.lstat().st_uid for path in project.root.rglob("*")} == {UID}
    finally:
        members = family(serving.pid)
        serving.terminate()
        serving.communicate(timeout=20)
        wait_for(lambda: not alive(members))


def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"pl\xffnt")
    os.mkdir(folder)
    done = subprocess.run([PROGRAM, "--project", folder, "exec", "1"], capture_output=True, check=False, timeout=30)
    assert done.returncode == 2
    assert b"its path is not UTF-8" in done.stderr
    assert os.listdir(folder) == []
