"""``gatewright python``: as a user calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import PATIENCE, CliProject, cli_project, in_terminal

from tui.commands import exit_codes

VERSION = ".".join(map(str, sys.version_info[:3]))


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("python") / "plant") as found:
        yield found


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    place = tmp_path / "bin" / "python3"
    place.parent.mkdir(mode=0o755)
    shutil.copy(os.path.realpath(sys.executable), place)
    place.chmod(0o755)
    return place


def test_the_list_names_the_interpreter_of_each_environment(project: CliProject) -> None:
    done = project.call("python", "list")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["python", "environments", "from", "interpreter"]
    assert [row for row in rows if row.split()[:2] == [VERSION, "default"]], done.stdout
    code, shown = in_terminal(project.command("python", "list"))
    table = [line for line in shown.splitlines() if not line.startswith("gatewright: ")]
    assert (code, max(map(len, table)) <= 80) == (0, True), shown
    found = project.json("python", "list")["interpreters"]
    assert [one["version"] for one in found if "default" in one.get("environments", [])] == [VERSION]


def test_one_is_added_from_the_folder_that_the_user_is_in_and_removed(project: CliProject, copied: Path) -> None:
    command = project.command("python", "add", "bin/python3")
    done = subprocess.run(command, cwd=copied.parent.parent, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode() == f"gatewright: scripts can run on Python {VERSION}: {copied}\n"
    found = {one["path"]: one for one in project.json("python", "list")["interpreters"]}
    assert found[str(copied)]["source"] == "added"
    copied.chmod(0o777)
    listed = project.call("python", "list")
    assert listed.returncode == 0
    assert f"not usable: {copied} cannot be trusted: every account may write to {copied}." in listed.stderr
    assert project.call("python", "remove", str(copied)).returncode == 0
    again = project.call("python", "remove", str(copied))
    assert again.returncode == exit_codes.USAGE
    assert "No interpreter was added by the path" in again.stderr


def test_what_cannot_be_used_is_refused_with_a_sentence(project: CliProject, copied: Path) -> None:
    copied.chmod(0o777)
    for path, told in ((copied, "every account may write to"), ("/nowhere/python3", "There is no file"),
                       ("/bin/true", "is no Python interpreter"), ("--help", "")):  # fmt: skip
        done = project.call("python", "add", "--", str(path))
        assert (done.returncode, told in done.stderr) == (exit_codes.USAGE, True), done.stderr
        assert "Traceback" not in done.stderr


def test_versions_are_completed(project: CliProject) -> None:
    line = " ".join(project.command("python", "use", "3"))
    environ = os.environ | {"_GATEWRIGHT_COMPLETE": "bash_complete", "COMP_LINE": line, "COMP_WORD": "3"}
    done = subprocess.run(project.command()[:1], env=environ, capture_output=True, timeout=PATIENCE, check=True)
    assert VERSION.rpartition(".")[0] in [row.split("\t")[1] for row in done.stdout.decode().splitlines()]
