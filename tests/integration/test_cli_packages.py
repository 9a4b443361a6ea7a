"""``gatewright packages`` and the module's routes for packages, as a user and a client ask, with an index beside."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest
from cli_support import CliProject, cli_project, ended, in_terminal, wait_until
from package_index import PackageIndex, Release, package_index
from wire_client import WireClient

from engine.paths import EnginePaths
from engine.sandbox.interpreters import find_interpreters
from tui.commands import exit_codes

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"

RELEASES = (
    Release("units"),
    Release("units", "2.0"),
    Release("sensors", requires=("units<2",)),
    Release("slow"),
    Release("closed"),
)
OTHERS = [one for one in find_interpreters() if not one.version.startswith(f"{MINOR}.")]


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index(*RELEASES) as serving:
        yield serving


@pytest.fixture(scope="module")
def project(index: PackageIndex, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    settings = f'[packages]\nindex = "{index.url}"\n[policy]\nmodules = ["sensors", "units"]\n'
    with cli_project(tmp_path_factory.mktemp("packages") / "plant", settings) as found:
        yield found


def installed(project: CliProject, *options: str) -> dict[str, str]:
    return {one["name"]: one["version"] for one in project.json("packages", "list", *options)["packages"]}


def test_packages_are_planned_installed_used_and_uninstalled(project: CliProject) -> None:
    empty = project.call("packages", "list")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert f"the environment default (Python {MINOR}." in empty.stderr
    plan = project.call("packages", "plan", "sensors")
    assert [line.split()[:3] for line in plan.stdout.splitlines()] == [
        ["package", "version", "change"], ["sensors", "1.0", "new"], ["units", "1.0", "new"],
    ]  # fmt: skip
    assert "nothing was changed" in plan.stderr
    assert installed(project) == {}
    code, live = in_terminal(project.command("packages", "install", "sensors"))
    assert (code, "new: sensors 1.0" in live, "new: units 1.0" in live) == (0, True, True), live
    assert "RESTRICTED scripts may not import" not in live
    ran = project.call("exec", "import sensors, units; result = [sensors.VERSION, units.VERSION]")
    assert ran.stdout == '["1.0", "1.0"]\n', ran.stderr
    shown = project.call("packages", "list").stdout.splitlines()
    assert [line.split()[:3] for line in shown[1:]] == [["sensors", "*", "1.0"], ["units", "1.0", "units"]]
    code, table = in_terminal(project.command("packages", "list"))
    assert (code, max(map(len, table.splitlines())) <= 80) == (0, True), table
    needed = project.call("packages", "uninstall", "units")
    assert (needed.returncode, "units is needed by sensors" in needed.stderr) == (exit_codes.CONFLICT, True)
    gone = project.call("packages", "uninstall", "sensors")
    assert (gone.returncode, gone.stdout) == (0, "removed: sensors 1.0\nremoved: units 1.0\n"), gone.stderr
    assert installed(project) == {}


@pytest.mark.slow
def test_an_installation_says_which_modules_restricted_scripts_may_not_import_yet(project: CliProject) -> None:
    told = project.call("packages", "install", "closed", "units<2")
    assert "RESTRICTED scripts may not import closed yet" in told.stderr, told.stderr
    assert ("policy.modules" in told.stderr, "units yet" in told.stderr) == (True, False), told.stderr
    project.call("packages", "uninstall", "closed", "units")
    assert installed(project) == {}


@pytest.mark.slow
def test_what_cannot_be_installed_is_told_in_a_sentence_and_changes_nothing(project: CliProject) -> None:
    before = installed(project)
    for name in ("nothing-of-this-name", "--index-url=http://127.0.0.1/", "-r", "./units", "units @ file:///tmp/units"):
        done = project.call("packages", "install", "--", name)
        assert done.returncode in (exit_codes.USAGE, exit_codes.REFUSED, exit_codes.CONFLICT), done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("gatewright: ")
    assert installed(project) == before


@pytest.mark.slow
def test_what_an_index_offers_is_searched(project: CliProject) -> None:
    found = project.call("packages", "search", "units")
    assert "2.0, 1.0" in found.stdout, found.stderr
    nothing = project.call("packages", "search", "nothing-of-this-name")
    assert (nothing.returncode, "nothing is offered by this name" in nothing.stderr) == (0, True), nothing.stderr


@pytest.mark.slow
def test_an_environment_is_made_for_code_and_removed(project: CliProject) -> None:
    made = project.call("packages", "environments", "create", "reports", "--python", MINOR, "units")
    assert (made.returncode, "the environment reports has Python" in made.stderr) == (0, True), made.stderr
    ran = project.call("exec", "--environment", "reports", "import units; result = units.VERSION")
    assert ran.stdout == "2.0\n", ran.stderr
    again = project.call("runs", "replay", str(project.newest_run()["id"]))
    assert again.stdout.endswith("2.0\n"), again.stderr
    assert project.call("exec", "import units").returncode == exit_codes.FAILED, "the default one has none of it"
    listed = project.call("packages", "environments", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["environment", "default", "reports"]
    assert not any("by hand" in line for line in listed), "the default one has nothing that was installed"
    used = {one["path"]: one.get("environments") for one in project.json("python", "list")["interpreters"]}
    assert ["default", "reports"] in used.values()
    assert project.call("packages", "environments", "remove", "reports").returncode == 0
    lost = project.call("exec", "--environment", "reports", "1")
    assert (lost.returncode, "reports" in lost.stderr) == (exit_codes.USAGE, True), lost.stderr


def test_ctrl_c_cancels_an_installation(project: CliProject, index: PackageIndex) -> None:
    before, asked = installed(project), len(index.asked)
    index.hang = True
    try:
        process = project.popen("packages", "install", "slow")
        wait_until(lambda: len(index.asked) > asked, "the index is asked")
        process.send_signal(signal.SIGINT)
        code, out, err = ended(process)
    finally:
        index.hang = False
    assert (code, out) == (exit_codes.CANCELLED, ""), err
    assert "cancelled" in err
    assert installed(project) == before


@pytest.mark.slow
def test_routes_of_the_module_install_search_and_remove(project: CliProject) -> None:
    wire = WireClient(unix=EnginePaths(project.root).socket)
    added = wire.post("/packages/install/units==1.0", {})
    assert (added["success"], added["installedWheels"]) == (True, ["units-1.0"]), added
    assert wire.get("/packages/status")["installed"] == ["units"]
    assert wire.get("/packages/catalog")["packages"]["units"]["importName"] == "units"
    assert wire.post("/packages/verify", {})["verification"] == {"units": True}
    assert [one["version"] for one in wire.get("/packages/search-pypi?q=units")["results"]] == ["2.0"]
    assert wire.get("/packages/pypi-info/units")["package"]["versions"] == ["2.0", "1.0"]
    for path in ("install/nothing-of-this-name", "uninstall/slow", "install/--upgrade", "install/-r%20x"):
        refused = wire.post(f"/packages/{path}", {})
        assert (refused["success"], refused["message"] == refused["error"]) == (False, True), path
    gone = wire.post("/packages/uninstall/units", {})
    assert (gone["success"], gone["message"]) == (True, "Removed units")
    assert wire.get("/packages/status")["installed"] == []


@pytest.mark.slow
def test_a_python_of_the_host_is_named_and_none_is_downloaded(project: CliProject) -> None:
    wire = WireClient(unix=EnginePaths(project.root).socket)
    there = wire.post("/distributions/install", {"version": MINOR})
    assert (there["success"], there["version"]) == (True, MINOR)
    missing = wire.post("/distributions/install", {"version": "2.7"})
    assert (missing["success"], missing["code"]) == (False, "no_python")
    assert wire.post("/distributions/uninstall", {"version": MINOR})["success"] is False


@pytest.mark.slow
def test_the_default_environment_is_built_again_on_the_same_python(project: CliProject) -> None:
    done = project.call("python", "use", MINOR)
    assert (done.returncode, f"scripts in default run with Python {MINOR}." in done.stderr) == (0, True), done.stderr
    refused = project.call("python", "use", "2.7")
    assert (refused.returncode, "There is no Python '2.7'" in refused.stderr) == (exit_codes.USAGE, True)
    assert project.call("exec", "result = 1").stdout == "1\n"


@pytest.mark.slow
@pytest.mark.skipif(not OTHERS, reason="this host has one version of Python")
def test_code_runs_on_the_python_that_it_asks_for(project: CliProject) -> None:
    other = OTHERS[-1].version
    minor = other.rpartition(".")[0]
    code = "import platform; result = platform.python_version()"
    ran = project.call("exec", "--python", minor, code)
    assert ran.stdout == f"{other}\n", ran.stderr
    wire = WireClient(unix=EnginePaths(project.root).socket)
    assert minor in wire.get("/versions")["versions"]
    answer = wire.run("/exec", {"code": code, "version": minor})
    assert (answer["success"], answer["result"]) == (True, other), answer
    project.script("old.py", f'# /// script\n# requires-python = "=={minor}.*"\n# ///\n{code}\n')
    assert project.call("run", "old").stdout == f"{other}\n"
    answer = wire.run("/call-script", {"scriptPath": "old", "version": minor})
    assert (answer["success"], answer["code"]) == (False, "no_python")
