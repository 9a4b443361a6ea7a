"""Packages that a script names, on the command line: seen, approved, built while ``run`` says so, used."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from account_support import ordinary_account
from cli_support import CliProject, cli_project
from package_index import Release, wheelhouse

pytestmark = pytest.mark.slow

TEXT = '# /// script\n# dependencies = ["gwtable"]\n# ///\nimport gwtable, gwcell\nprint("table", gwtable.VERSION)\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    house = wheelhouse(
        tmp_path_factory.mktemp("house"), Release("gwtable", "2.1", requires=("gwcell",)), Release("gwcell", "1.0")
    )
    settings = f'[packages]\nindex = "none"\nwheelhouse = "{house}"\n'
    with cli_project(tmp_path_factory.mktemp("cli") / "project", settings) as made:
        yield made


def test_packages_are_shown_approved_and_there_when_the_script_runs(project: CliProject) -> None:
    project.script("table.py", TEXT)
    refused = project.call("run", "table")
    assert refused.returncode == 4
    assert "asks for packages that are not all installed here (gwtable)" in refused.stderr
    assert "gatewright scripts approve table.py" in refused.stderr
    shown = project.call("scripts", "approve", "table")
    assert shown.returncode == 2
    for told in ("gwtable  2.1", "gwcell   1.0", "never approved", "new", "house"):
        assert told in shown.stdout
    review = json.loads(project.call("--json", "scripts", "approve", "table").stdout)
    assert f"--yes --sha256 {review['whole_sha256']}" in shown.stderr
    assert review["whole_sha256"] != review["sha256"], "what is approved is the text with the lock"
    assert project.call("scripts", "approve", "table", "--yes", "--sha256", review["sha256"]).returncode == 5
    approved = project.call("scripts", "approve", "table", "--yes", "--sha256", review["whole_sha256"])
    assert "approved the packages of table.py" in approved.stderr
    ran = project.call("run", "table")
    assert (ran.returncode, ran.stdout) == (0, "table 2.1\n")
    assert "waits: building environment with gwtable 2.1, gwcell 1.0" in ran.stderr
    again = project.call("run", "table")
    assert (again.stdout, again.stderr) == ("table 2.1\n", "")
    assert "approved already" in project.call("scripts", "approve", "table").stderr
    assert project.call("scripts", "approve", "table", "--refuse", "--yes").returncode == 0
    assert "was refused the packages" in project.call("run", "table").stderr


def test_what_is_not_to_be_had_is_said_with_what_to_do(project: CliProject) -> None:
    project.script("missing.py", TEXT.replace("gwtable", "gwnowhere"))
    refused = project.call("scripts", "approve", "missing", "--yes")
    assert refused.returncode == 2
    assert "missing.py cannot be approved: " in refused.stderr
    assert "gwnowhere" in refused.stderr
    assert "Change the dependencies in its header" in refused.stderr


def test_an_ordinary_account_has_them_built_and_run_behind_its_layers() -> None:
    with ordinary_account() as account:
        root, house = account.folder("plant"), account.folder("house")
        wheelhouse(house, Release("gwtable", "2.1", requires=("gwcell",)), Release("gwcell", "1.0"))
        private = root / ".gatewright"
        private.mkdir(mode=0o700)
        settings = private / "settings.toml"
        settings.write_text(f'[packages]\nindex = "none"\nwheelhouse = "{house}"\n')
        settings.chmod(0o600)
        account.own(root)
        call = lambda *arguments: account.call("--project", str(root), *arguments)  # noqa: E731
        started = call("engine", "start")
        assert started.returncode == 0, started.stderr
        try:
            (root / "scripts" / "table.py").write_text(TEXT)
            assert call("run", "table").returncode == 4
            approved = call("scripts", "approve", "table", "--yes")
            assert approved.returncode == 0, approved.stderr
            ran = call("run", "table")
            assert (ran.returncode, ran.stdout) == (0, "table 2.1\n"), ran.stderr
            assert "building environment" in ran.stderr
        finally:
            call("engine", "stop", "--force")
