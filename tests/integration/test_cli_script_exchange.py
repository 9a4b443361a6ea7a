"""``gatewright scripts compare``, ``push`` and ``pull`` between a project and two gateways, as a user calls them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from account_support import environment, ordinary_account
from cli_support import CliProject, cli_project

FILE = """\
[gateways.gw-01]
project = "{folder}/one"
groups = ["line"]

[gateways.gw-02]
project = "{folder}/two"
groups = ["line"]

[gateways.gone]
socket = "{folder}/nothing.sock"
"""


@dataclass
class Plant:
    here: CliProject
    one: CliProject
    folder: Path
    stack: ExitStack

    @cached_property
    def two(self) -> CliProject:
        """A second gateway, for those tests that need one."""
        return self.stack.enter_context(cli_project(self.folder / "two"))

    def scripts(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.here.call("scripts", *arguments)

    def told(self, *arguments: str, code: int = 0) -> Any:
        done = self.scripts(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("exchange")
    settings = folder / "config" / "gatewright"
    settings.mkdir(mode=0o700, parents=True)
    (settings / "gateways.toml").write_text(FILE.format(folder=folder))
    (settings / "gateways.toml").chmod(0o600)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        here, one = (stack.enter_context(cli_project(folder / name)) for name in ("here", "one"))
        yield Plant(here, one, folder, stack)


def text_of(project: CliProject, path: str) -> str | None:
    file = project.root / "scripts" / path
    return file.read_text() if file.exists() else None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def states(told: Any) -> dict[str, dict[str, str]]:
    """What became of each script, by gateway and path."""
    return {side["name"]: {one["path"]: one["state"] for one in side["scripts"]} for side in told["gateways"]}


@pytest.mark.slow
def test_a_pushed_script_takes_its_shared_code_along_and_is_the_same_then(plant: Plant) -> None:
    plant.here.script("lib/pushed/deep.py", "Y = 2\n")
    plant.here.script("lib/pushed/__init__.py", "from .deep import Y\n")
    plant.here.script("night/pushed.py", "import lib.pushed\nprint(lib.pushed.Y)\n")
    with_it = ["lib/pushed/__init__.py", "lib/pushed/deep.py", "night/pushed.py"]
    dry = plant.told("push", "night/pushed", "--on", "gw-01", "--dry-run")
    assert states(dry) == {"gw-01": dict.fromkeys(with_it, "new")}
    assert text_of(plant.one, "night/pushed.py") is None
    done = plant.scripts("push", "night/pushed", "--on", "gw-01")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [["gw-01", "new", path] for path in with_it]
    assert "gw-01: 3 new" in done.stderr
    assert plant.one.call("run", "night/pushed").stdout == "2\n"
    compared = plant.scripts("compare", "night/pushed", "--on", "gw-01", "--exit-code")
    assert (compared.returncode, compared.stdout) == (0, "")
    assert "gw-01: 3 same" in compared.stderr


@pytest.mark.slow
def test_a_group_of_gateways_is_pushed_to_at_once(plant: Plant) -> None:
    plant.two.script("group/a.py", "print(1)\n")
    plant.here.script("group/a.py", "print(2)\n")
    plant.here.script("group/b.py", "print(2)\n")
    told = plant.told("push", "group/", "--on", "@line", code=5)
    assert states(told) == {
        "gw-01": {"group/a.py": "new", "group/b.py": "new"},
        "gw-02": {"group/a.py": "conflict", "group/b.py": "new"},
    }
    assert text_of(plant.two, "group/a.py") == "print(1)\n"
    plant.here.script("defaults/tour.py", "print('mine')\n")
    every = states(plant.told("push", "--on", "gw-02", "--dry-run", code=5))["gw-02"]
    assert [path for path in every if path.startswith("defaults/")] == ["defaults/tour.py"], "the others came with it"


@pytest.mark.slow
def test_comparing_tells_what_differs_and_where_and_a_gateway_that_is_away(plant: Plant) -> None:
    plant.here.script("cmp/differs.py", "print(1)\n")
    plant.here.script("cmp/mine.py", "print(1)\n")
    for gateway in (plant.one, plant.two):
        gateway.script("cmp/differs.py", "print(2)\n")
        gateway.script("cmp/\x1btheirs.py", "print(3)\n")
    done = plant.scripts("compare", "cmp/", "--on", "gw-01,gw-02,gone", "--diff")
    assert done.returncode == 3, "one is not there"
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["differs", "cmp/differs.py", digest("print(2)\n")[:8], "gw-01,", "gw-02"] in lines
    assert ["only", "here", "cmp/mine.py", "gw-01,", "gw-02"] in lines
    assert ["only", "there", "cmp/\\x1btheirs.py", "gw-01,", "gw-02"] in lines, "a name that no script can have"
    assert "+++ gw-01, gw-02 cmp/differs.py" in done.stdout
    assert done.stdout.count("-print(1)") == 1, "one difference for both"
    assert "\x1b" not in done.stdout
    assert "gone: Nothing listens at" in done.stderr
    told = plant.told("compare", "cmp/", "--on", "gw-01")
    assert states(told)["gw-01"]["cmp/differs.py"] == "differs"
    assert plant.scripts("compare", "cmp/differs", "--on", "gw-01", "--exit-code").returncode == 1


def test_a_text_that_was_changed_on_a_gateway_is_never_written_over_and_stops_nothing_else(plant: Plant) -> None:
    for name in ("a", "b"):
        plant.here.script(f"race/{name}.py", "print(1)\n")
    assert plant.scripts("push", "race/", "--on", "gw-01").returncode == 0
    for name in ("a", "b"):
        plant.here.script(f"race/{name}.py", "print(2)\n")  # by an editor: no history has the text before
    plant.one.script("race/a.py", "print('there')\n")
    done = plant.scripts("push", "race/", "--on", "gw-01")
    assert done.returncode == 5
    there = digest("print('there')\n")[:8]
    assert f"conflict  race/a.py: The text there ({there}) is one that was never here." in done.stdout
    pulled = plant.scripts("pull", "race/a", "--on", "gw-01")
    assert pulled.returncode == 5
    here = digest("print(2)\n")[:8]
    assert f"conflict  race/a.py: The text here ({here}) is one that was never there." in pulled.stdout
    assert "compare race/a.py --on gw-01 --diff" in done.stderr
    assert text_of(plant.one, "race/a.py") == "print('there')\n"
    assert text_of(plant.one, "race/b.py") == "print(2)\n", "which was not changed there"
    other = digest("print(7)\n")[:8]
    assert plant.scripts("push", "race/", "--on", "gw-01", "--over", other).returncode == 5
    told = plant.told("push", "race/", "--on", "gw-01", "--over", there)
    assert states(told)["gw-01"] == {"race/a.py": "replaced", "race/b.py": "same"}
    assert text_of(plant.one, "race/a.py") == "print(2)\n"
    versions = plant.one.json("history", "race/a")["versions"]
    assert digest("print('there')\n") in {one["sha256"] for one in versions}, "it can be brought back"


@pytest.mark.slow
def test_a_gateway_that_has_gone_on_is_newer_and_is_pulled_from(plant: Plant) -> None:
    plant.here.script("on/a.py", "print(1)\n")
    assert plant.scripts("push", "on/a", "--on", "gw-01").returncode == 0
    plant.one.script("on/a.py", "print(2)\n")
    pushed = plant.scripts("push", "on/a", "--on", "gw-01")
    assert pushed.returncode == 5
    assert "is newer: it grew out of the other one" in pushed.stdout
    assert plant.scripts("pull", "on/a", "--on", "gw-01").returncode == 0
    assert text_of(plant.here, "on/a.py") == "print(2)\n"
    plant.here.script("on/a.py", "print(3)\n")
    told = plant.told("pull", "on/a", "--on", "gw-01")
    assert [(one["path"], one["state"], one["from"]) for one in told["scripts"]] == [("on/a.py", "older", "gw-01")]
    assert text_of(plant.here, "on/a.py") == "print(3)\n"
    plant.one.script("on/a.py", "print(4)\n")
    assert plant.scripts("pull", "on/a", "--on", "gw-01").returncode == 5, "changed on both sides"
    assert text_of(plant.here, "on/a.py") == "print(3)\n"


@pytest.mark.slow
def test_what_the_history_has_was_seen_even_if_nothing_else_remembers_it(plant: Plant) -> None:
    plant.here.call("scripts", "new", "hist/a", "--from", "-", stdin="print(1)\n")
    plant.one.script("hist/a.py", "print(1)\n")
    assert plant.here.call("scripts", "set", "hist/a", "title=A").returncode == 0
    told = plant.told("push", "hist/a", "--on", "gw-01")
    assert states(told)["gw-01"] == {"hist/a.py": "replaced"}
    assert text_of(plant.one, "hist/a.py") == text_of(plant.here, "hist/a.py")


@pytest.mark.slow
def test_a_note_that_others_could_have_written_counts_for_nothing(plant: Plant) -> None:
    assert plant.two
    plant.here.script("note/a.py", "print(1)\n")
    assert plant.scripts("push", "note/a", "--on", "gw-02").returncode == 0
    plant.here.script("note/a.py", "print(2)\n")
    notes = list((plant.folder / "state" / "gatewright" / "common").iterdir())
    try:
        for note in notes:
            assert note.stat().st_mode & 0o777 == 0o600
            note.chmod(0o622)
        assert plant.scripts("push", "note/a", "--on", "gw-02", "--dry-run").returncode == 5
    finally:
        for note in notes:
            note.unlink()


@pytest.mark.slow
def test_gateways_that_do_not_agree_are_a_conflict_and_one_alone_is_none(plant: Plant) -> None:
    plant.one.script("two/a.py", "print(1)\n")
    plant.two.script("two/a.py", "print(2)\n")
    plant.two.script("two/b.py", "print(2)\n")
    both = plant.scripts("pull", "two/", "--on", "@line")
    assert both.returncode == 5
    assert "not the same on all of these gateways" in both.stdout
    assert (text_of(plant.here, "two/a.py"), text_of(plant.here, "two/b.py")) == (None, "print(2)\n")
    assert plant.scripts("pull", "two/a", "--on", "gw-02,gone").returncode == 3
    assert text_of(plant.here, "two/a.py") == "print(2)\n"


@pytest.mark.slow
def test_approvals_do_not_travel_and_that_is_said(plant: Plant) -> None:
    header = f'# /// script\n# [tool.gatewright.permissions]\n# read = ["{plant.folder}/config"]\n# ///\n'
    plant.here.script("asks.py", header + "print(1)\n")
    assert plant.here.call("scripts", "approve", "asks", "--yes").returncode == 0
    done = plant.scripts("push", "asks", "--on", "gw-01")
    assert done.returncode == 0, done.stderr
    assert "asks.py has to be approved there" in done.stderr
    assert "gatewright --gateway gw-01 scripts approve asks.py" in done.stderr
    assert plant.one.call("run", "asks").returncode == 4


@pytest.mark.slow
def test_what_cannot_be_done_is_said_and_the_rest_is_done(plant: Plant) -> None:
    file = plant.here.root / "scripts" / "odd" / "latin.py"
    plant.here.script("odd/good.py", "print(1)\n")
    file.write_bytes(b"# \xff\n")
    plant.one.script("odd/latin.py", "")
    assert states(plant.told("compare", "odd/latin", "--on", "gw-01")) == {"gw-01": {"odd/latin.py": "differs"}}
    told = plant.told("push", "odd/", "--on", "gw-01", code=2)
    assert states(told)["gw-01"] == {"odd/good.py": "new", "odd/latin.py": "failed"}
    file.unlink()
    for arguments, sentence in (
        (("push", "nowhere", "--on", "gw-01"), "there is no script 'nowhere'"),
        (("push", "odd/good", "--on", "gw-09"), "There is no gateway 'gw-09'"),
        (("push", "odd/good"), "Missing option '--on'"),
        (("push", "odd/good", "--on", "gw-01", "--over", "xyz"), "no beginning of a hash"),
        (("pull", "race/only_here", "--on", "gw-01"), "there is no script"),
    ):
        done = plant.scripts(*arguments)
        assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_an_ordinary_account_does_the_same_and_root_with_projects_of_two_accounts() -> None:
    with ordinary_account() as account:
        here, there = account.folder("here"), account.folder("there")
        settings = account.folder("config")

        def called(command: list[str]) -> subprocess.CompletedProcess[str]:
            known = environment() | {"XDG_CONFIG_HOME": str(settings), "XDG_STATE_HOME": str(account.home / "state")}
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, cwd="/",
                env=known,
            )  # fmt: skip

        account.folder("state")
        file = settings / "gatewright" / "gateways.toml"
        file.parent.mkdir()
        file.write_text(f'[gateways.there]\nproject = "{there}"\n')
        file.chmod(0o600)
        account.own(settings)
        try:
            for project in (here, there):
                assert account.call("--project", str(project), "init").returncode == 0
                assert account.call("--project", str(project), "engine", "start").returncode == 0
            new = ("--project", str(here), "scripts", "new", "a", "--title", "A")
            assert account.call(*new).returncode == 0
            push = ("--project", str(here), "scripts", "push", "a", "--on", "there")
            done = called(account.command(*push))
            assert (done.returncode, done.stdout.split()) == (0, ["there", "new", "a.py"]), done.stderr
            if os.geteuid() == 0:
                assert account.call("--project", str(here), "scripts", "set", "a", "title=B").returncode == 0
                file.chmod(0o600)
                os.chown(file, 0, 0)
                done = called(account.command_of_root(*push))
                assert (done.returncode, done.stdout.split()) == (0, ["there", "replaced", "a.py"]), done.stderr
                assert (there / "scripts" / "a.py").stat().st_uid == there.stat().st_uid
        finally:
            for project in (here, there):
                account.call("--project", str(project), "engine", "stop", "--force")
