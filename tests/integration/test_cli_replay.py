"""Runs repeated, compared and searched by the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli_support import CliProject, cli_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("replay") / "project", "[policy]\nadmin_as_root = true\n") as made:
        yield made


def test_a_run_is_repeated_with_its_parameters_and_compared(project: CliProject) -> None:
    project.script("sum.py", "print('adding')\nresult = int(params['a']) + 1\n")
    assert project.call("run", "sum", "-p", "a=41").stdout == "adding\n42\n"
    first = project.newest_run()["id"]
    again = project.call("runs", "replay", str(first))
    assert (again.returncode, again.stdout) == (0, "adding\n42\n")
    second = project.newest_run()
    assert second["replay_of"] == first
    shown = project.call("runs", "show", str(second["id"])).stdout
    assert f"run {first}" in shown
    assert "param a" in shown
    assert f"gatewright runs replay {second['id']}" in shown
    assert project.json("runs", "show", str(first))["inputs"]["params"] == {"a": "41"}
    same = project.call("runs", "compare", str(first), str(second["id"])).stdout
    assert same == "inputs: the same\ncode: the same\nresult: the same\noutput: the same\n"
    project.call("run", "sum", "-p", "a=1")
    other = project.json("runs", "compare", str(first), str(project.newest_run()["id"]))
    assert '-  "a": "41"' in other["inputs"]
    assert "+result: 2" in other["result"]


def test_a_replay_ends_with_the_exit_code_of_its_outcome(project: CliProject) -> None:
    project.call("exec", "raise ValueError('no')")
    failed = project.call("runs", "replay", str(project.newest_run()["id"]))
    assert failed.returncode == 1
    assert "ValueError: no" in failed.stderr
    whole = project.call("--json", "runs", "replay", str(project.newest_run()["id"]))
    assert '"outcome":"script_error"' in whole.stdout


def test_an_admin_run_needs_admin_again(project: CliProject) -> None:
    project.call("exec", "--mode", "admin", "result = 7")
    first = str(project.newest_run()["id"])
    refused = project.call("runs", "replay", first)
    assert (refused.returncode, "--mode admin" in refused.stderr) == (4, True), refused.stderr
    assert project.call("runs", "replay", first, "--mode", "admin").stdout == "7\n"


def test_a_file_is_handed_over_again_and_must_be_the_same(project: CliProject) -> None:
    log = project.root / "one.log"
    log.write_text("line\n")
    project.call("exec", "result = 1", "--file", f"log={log}")
    first = str(project.newest_run()["id"])
    assert project.call("runs", "replay", first, "--file", f"log={log}").stdout == "1\n"
    log.write_text("another line\n")
    refused = project.call("runs", "replay", first, "--file", f"log={log}")
    assert (refused.returncode, "differs" in refused.stderr) == (5, True), refused.stderr


def test_the_list_is_searched(project: CliProject) -> None:
    project.call("exec", "raise KeyError")
    found = project.json("runs", "list", "--search", "outcome:script_error since:today exec")["runs"]
    assert found
    assert {run["outcome"] for run in found} == {"script_error"}
    assert project.json("runs", "list", "--search", "who:nobody")["runs"] == []
    assert "no run matches" in project.call("runs", "list", "--search", "who:nobody").stderr
    wrong = project.call("runs", "list", "--search", "when:now")
    assert (wrong.returncode, "outcome:" in wrong.stderr) == (2, True)
