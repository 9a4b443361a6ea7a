"""The metadata diff and the rebuild of everything from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cli_support import CliProject, cli_project, in_terminal

VALID = "# /// script\n# [tool.gatewright]\n# title = 'Kettle'\n# enabled = true\n# ///\nx = 1\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project") as made:
        yield made


def seen(project: CliProject, path: str, text: str) -> None:
    """A script that the engine knows."""
    project.script(path, text)
    project.json("scripts", "list")


def items(project: CliProject, *paths: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.json("diff", *paths)["items"]
    return found


def test_a_deleted_file_is_missing_with_both_choices_and_comes_back(project: CliProject) -> None:
    seen(project, "own/gone.py", "whereabouts = 1\n")
    file = project.root / "scripts/own/gone.py"
    file.unlink()
    (item,) = items(project)
    assert (item["path"], item["state"]) == ("own/gone.py", "missing_file")
    assert item["choices"] == ["write_file", "drop_row"]
    plain = project.call("diff")
    assert plain.returncode == 0
    assert "missing file: own/gone.py: Its file is gone" in plain.stdout
    assert "1 waits for a decision" in plain.stderr
    assert project.call("diff", "--exit-code").returncode == 1
    shown = project.call("diff", "--apply", "db", "--preview")
    assert "+whereabouts = 1" in shown.stdout
    assert not file.exists()
    outcomes = project.json("diff", "--apply", "db")["outcomes"]
    assert [(one["path"], one["choice"], one["done"]) for one in outcomes] == [("own/gone.py", "write_file", True)]
    assert file.read_text() == "whereabouts = 1\n"
    assert project.call("diff", "--exit-code").returncode == 0


def test_a_row_is_dropped_and_restored_from_the_history(project: CliProject) -> None:
    seen(project, "own/drop.py", "dropped = 1\n")
    file = project.root / "scripts/own/drop.py"
    file.unlink()
    assert project.call("diff", "--apply", "drop_row", "own/drop").returncode == 0
    assert items(project) == []
    assert project.call("scripts", "restore", "own/drop.py").returncode == 0
    assert file.read_text() == "dropped = 1\n"


def test_a_renamed_file_is_followed(project: CliProject) -> None:
    seen(project, "own/old.py", "moving = 1\n")
    folder = project.root / "scripts/own"
    (folder / "old.py").rename(folder / "new.py")
    (item,) = items(project, "own/old.py")
    assert (item["state"], item["others"]) == ("renamed", ["own/new.py"])
    done = project.call("diff", "--apply", "file")
    assert (done.returncode, done.stdout) == (
        0,
        "follow: own/old.py: followed to its new path, with its history\n",
    )
    versions = project.json("history", "own/new.py")["versions"]
    assert [one["reason"] for one in versions] == ["renamed"]


def test_a_key_of_an_invalid_file_is_restored(project: CliProject) -> None:
    seen(project, "own/bad.py", VALID)
    project.script("own/bad.py", VALID.replace("true", "3").replace("x = 1", "x = 2"))
    (item,) = items(project)
    assert [(key["key"], key["file"], key["database"]) for key in item["keys"]] == [("enabled", "3", "true")]
    assert "enabled: file 3, database true" in project.call("diff").stdout
    assert project.call("diff", "--apply", "restore", "--key", "enabled", "own/bad.py").returncode == 0
    assert (project.root / "scripts/own/bad.py").read_text() == VALID.replace("x = 1", "x = 2")
    assert items(project) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.py"], "there is no difference about nothing.py"),
        (["--preview"], "go with --apply"),
        (["--apply", "file", "--key", "title"], "--key goes with --apply restore"),
        (["--apply", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_meant_is_refused(project: CliProject, arguments: list[str], sentence: str) -> None:
    done = project.call("diff", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_choice_that_a_path_does_not_have_is_refused(project: CliProject) -> None:
    seen(project, "own/one.py", "one = 1\n")
    (project.root / "scripts/own/one.py").unlink()
    done = project.call("diff", "--apply", "follow", "own/one.py")
    assert done.returncode == 2
    assert "follow is not possible for own/one.py" in done.stderr
    assert project.call("diff", "--apply", "file").returncode == 0


@pytest.mark.slow
def test_many_that_vanish_are_held_and_named_in_the_status(project: CliProject) -> None:
    for number in range(15):
        project.script(f"many/s{number}.py", f"{number}\n")
    before = project.json("scripts", "list")["scripts"]
    folder = project.root / "scripts/many"
    folder.rename(project.root / "away")
    (item,) = items(project)
    assert item["state"] == "vanished"
    listed = project.json("scripts", "list")["scripts"]
    assert [one["path"] for one in listed] == [one["path"] for one in before]
    assert sum("vanished together" in one.get("problem", "") for one in listed) == 15
    problems = project.json("engine", "status")["engine"]["problems"]
    assert any("15 of" in problem and "vanished at once" in problem for problem in problems)
    assert project.json("diff", "--apply", "file")["outcomes"] == []  # bulk leaves it alone
    (project.root / "away").rename(folder)
    assert project.json("scripts", "list")["scripts"] == before
    folder.rename(project.root / "away")
    assert [one["done"] for one in project.json("diff", "--apply", "accept")["outcomes"]] == [True]
    assert len(items(project)) == 15
    assert project.call("diff", "--apply", "file").returncode == 0
    assert items(project) == []


def test_a_scan_in_a_terminal_ends_with_its_sentence(project: CliProject) -> None:
    code, shown = in_terminal(project.command("diff"))
    assert code == 0
    assert "nothing waits for a decision" in shown


def test_everything_is_rebuilt_and_what_does_not_fit_is_told(project: CliProject) -> None:
    seen(project, "own/kept.py", "kept = 1\n")
    assert project.call("scripts", "delete", "--yes", "own/kept.py").returncode == 0
    version = project.json("history", "own/kept.py")["versions"][0]["sha256"]
    (project.root / ".gatewright/history" / version).write_text("written over\n")
    report = project.json("rebuild", "--all")
    parts = {part["name"]: part for part in report["parts"]}
    assert set(parts) == {"history", "document history", "approvals"}
    assert [one["path"] for one in parts["history"]["problems"]] == ["own/kept.py"]
    plain = project.call("rebuild", "--all")
    assert "history: own/kept.py: The version" in plain.stdout
    assert "1 do not fit" in plain.stderr
    assert "parts" not in project.json("rebuild")


def test_a_lost_index_costs_only_time(project: CliProject) -> None:
    before = project.json("scripts", "list")
    assert project.call("engine", "stop", "--force").returncode == 0
    (project.root / ".gatewright/index.db").unlink()
    assert project.json("scripts", "list") == before
    assert json.loads(project.call("--json", "diff").stdout)["items"] == []
