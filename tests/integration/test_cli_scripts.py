"""Saved scripts from the command line: names, parameters, files, and the other lists."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import CliProject, cli_project, ended, in_terminal, read_line

PARAMS = """# /// script
# [tool.gatewright]
# title = "Types"
# entrypoint = "main"
# [tool.gatewright.params.count]
# type = "int"
# [tool.gatewright.params.ratio]
# type = "float"
# default = 0.5
# [tool.gatewright.params.deep]
# type = "bool"
# default = false
# [tool.gatewright.params.tags]
# type = "list"
# default = []
# [tool.gatewright.params.level]
# type = "choice"
# choices = ["low", "high"]
# default = "low"
# ///
def main(count, ratio, deep, tags, level):
    return [count, ratio, deep, tags, level]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        made.script("own/types.py", PARAMS)
        yield made


@pytest.mark.parametrize("name", ["own/types.py", "own/types", "types"])
def test_a_script_is_found_by_its_names(project: CliProject, name: str) -> None:
    assert project.json("run", name, "-p", "count=1")["value"] == [1, 0.5, False, [], "low"]


def test_parameters_become_what_the_script_declares(project: CliProject) -> None:
    given = ("-p", "count=7", "-p", "ratio=2", "-p", "deep=yes", "-p", "tags=a, b", "-p", "level=high")
    assert project.json("run", "types", *given)["value"] == [7, 2.0, True, ["a", "b"], "high"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-p", "count=many"), ["'count'", "whole number", "'many'"]),
        (("-p", "count=1", "-p", "deep=perhaps"), ["'deep'", "true or false"]),
        (("-p", "count=1", "-p", "level=mid"), ["'level'", "low, high"]),
        (("-p", "count=1", "-p", "colour=red"), ["'colour'", "count (int)"]),
        ((), ["'count'", "missing"]),
    ],
)
def test_a_wrong_parameter_is_named_with_what_it_takes(
    project: CliProject, given: tuple[str, ...], said: list[str]
) -> None:
    done = project.call("run", "types", *given)
    assert done.returncode == 2
    assert all(words in done.stderr for words in said), done.stderr


def test_an_unknown_script_gets_the_nearest_names(project: CliProject) -> None:
    done = project.call("run", "own/typos")
    assert done.returncode == 2
    assert "own/types" in done.stderr


def test_a_file_that_cannot_be_read_starts_nothing(project: CliProject, tmp_path: Path) -> None:
    before = len(project.json("runs", "list")["runs"])
    done = project.call("run", "defaults/log_digest", "--file", f"log={tmp_path / 'none'}")
    assert done.returncode == 2
    assert "No such file" in done.stderr
    assert len(project.json("runs", "list")["runs"]) == before


def wrapper_log(path: Path, size: int) -> dict[str, int]:
    """Write a log of at least ``size`` bytes as the Ignition wrapper writes it; the number of entries by level."""
    chance = random.Random(2)
    names = {"I": "info", "W": "warn", "E": "error"}
    loggers = ["Gateway.TagManager", "Perspective.Session", "OpcUa.Client", "Store.Forward"]
    counts = dict.fromkeys(names.values(), 0)
    written = second = 0
    with path.open("w") as log:
        while written < size:
            letter = chance.choices("IWE", weights=(90, 8, 2))[0]
            counts[names[letter]] += 1
            second += 1
            clock = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
            start = f"INFO   | jvm 1    | 2026/11/20 {clock} | "
            message = f"Channel {chance.random()} is late"
            written += log.write(f"{start}{letter} [{chance.choice(loggers)}           ] [{clock}.123]: {message}\n")
            if letter == "E":
                trace = "java.lang.IllegalStateException: no answer", "\tat a.b.C.d(C.java:7)"
                written += log.write("".join(f"{start}{line}\n" for line in trace))
    return counts


@pytest.mark.slow
def test_a_real_log_of_20_mb_is_digested(project: CliProject, tmp_path: Path) -> None:
    log = tmp_path / "wrapper.log"
    counts = wrapper_log(log, 20_000_000)
    run = project.json("run", "defaults/log_digest", "--file", f"log={log}", "-p", "hours=0")
    assert run["outcome"] == "ok", run["traceback"]
    assert run["value"]["levels"] == counts
    assert run["value"]["loggers"][0]["exceptions"] == {
        "java.lang.IllegalStateException": run["value"]["loggers"][0]["count"]
    }
    assert f"{sum(counts.values()):,} entries" in run["stdout"]


def test_a_file_comes_from_the_standard_input(project: CliProject) -> None:
    log = "INFO   | jvm 1    | 2026/11/20 12:03:58 | W [Gateway.TagManager] [12:03:58.123]: late\n"
    done = project.call("run", "defaults/log_digest", "--file", "log=-", stdin=log)
    assert done.returncode == 0, done.stderr
    assert "Gateway.TagManager" in done.stdout


def test_new_scripts_run_and_are_never_overwritten(project: CliProject) -> None:
    made = project.call("scripts", "new", "night/tag_diff", "--title", "Tag diff")
    assert made.returncode == 0, made.stderr
    assert project.call("run", "night/tag_diff").stdout == "hello\n"
    for title in ("Another", "Tag diff"):  # also with the very text that is there
        again = project.call("scripts", "new", "night/tag_diff.py", "--title", title)
        assert again.returncode == 5
        assert "exists already" in again.stderr
    assert 'title = "Tag diff"' in project.call("scripts", "show", "night/tag_diff").stdout


def test_what_to_type_next_is_said_quoted_for_the_shell(project: CliProject) -> None:
    """Of an existing, a bad and an odd name; what is said is typed."""
    for name in ("it's here/two words", "plain"):
        made = project.call("scripts", "new", name)
        assert made.returncode == 0, made.stderr
        edit = shlex.join(["gatewright", "--project", str(project.root), "--open", f"{name}.py"])
        assert f"made {name}.py; {edit} edits it" in made.stderr
        again = project.call("scripts", "new", name, "--title", "Another")
        assert again.returncode == 5
        assert edit in again.stderr
    for name in ("notes.txt", "a:b", "../up", "report.v2"):
        refused = project.call("scripts", "new", name)
        assert refused.returncode == 2
        assert "cannot be a script's name" in refused.stderr
        words = shlex.split(refused.stderr.partition("A name that will do: ")[2])
        assert words[:3] == ["gatewright", "--project", str(project.root)]
        assert project.call(*words[3:]).returncode == 0


def test_a_new_script_takes_its_text_from_a_file(project: CliProject) -> None:
    made = project.call("scripts", "new", "piped", "--from", "-", stdin="result = 'piped'\n")
    assert made.returncode == 0, made.stderr
    assert project.call("run", "piped").stdout == "piped\n"
    assert project.call("scripts", "show", "piped").stdout == "result = 'piped'\n"


def test_a_bad_name_makes_nothing(project: CliProject) -> None:
    done = project.call("scripts", "new", "../outside")
    assert done.returncode == 2
    assert not (project.root / "outside.py").exists()


def test_lists_fit_a_terminal(project: CliProject) -> None:
    project.script("long/" + "name_" * 20 + ".py", "result = 1\n")
    for command in (["scripts", "list"], ["runs", "list"], ["engine", "status"]):
        status, shown = in_terminal(project.command(*command))
        assert status == 0
        assert "\x1b" not in shown
        assert max(map(len, shown.splitlines())) <= 80, shown


def test_scripts_list_narrows(project: CliProject) -> None:
    paths = [info["path"] for info in project.json("scripts", "list", "types")["scripts"]]
    assert paths == ["own/types.py"]
    about = project.call("scripts", "show", "types", "--about").stdout
    assert "count" in about
    assert "(required)" in about
    assert "low|high" in about


def test_runs_show_output_and_cancel(project: CliProject) -> None:
    process = project.popen("exec", "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    assert read_line(process) == "begun\n"
    run_id = str(project.newest_run()["id"])
    assert "running" in project.call("runs", "show", run_id).stdout
    assert project.call("runs", "output", run_id).stdout == "begun\n"
    cancelled = project.call("runs", "cancel", run_id)
    assert cancelled.returncode == 0
    assert f"run {run_id}" in cancelled.stderr
    assert ended(process)[0] == 130
    assert project.call("runs", "output", run_id, "--follow").stdout == "begun\n"
    assert project.json("runs", "show", run_id)["outcome"] == "cancelled"
    page = project.json("runs", "output", run_id)
    assert page["finished"] is True
    assert [chunk["text"] for chunk in page["chunks"]] == ["begun\n"]


def test_an_unknown_run_is_usage(project: CliProject) -> None:
    done = project.call("runs", "show", "999999")
    assert done.returncode == 2
    assert "999999" in done.stderr
