"""A script named by the path of its file: from any folder, and what is no script of the project is said."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tui.commands.arguments import SCRIPT
from tui.commands.errors import CommandError
from tui.commands.script_paths import new_script_meant, script_meant


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project and a file that is none of its scripts; the current folder is the project's."""
    root = tmp_path / "plant"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    for path in ("top.py", "cases/a.py", "cases/both.py", "both.py", "night/only.py"):
        file = root / "scripts" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("result = 1\n")
    (tmp_path / "check.py").write_text("result = 1\n")
    (tmp_path / "top.py").write_text("result = 1\n")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("folder", "typed", "meant"),
    [
        (".", "top", "top"),
        (".", "cases/a", "cases/a"),
        (".", "a.py", "a.py"),
        (".", "scripts/top.py", "top.py"),
        (".", "scripts/top", "top.py"),
        (".", "./scripts/cases/a.py", "cases/a.py"),
        (".", "./scripts/cases/a", "cases/a.py"),
        ("scripts", "cases/a.py", "cases/a.py"),
        ("scripts", "./top.py", "top.py"),
        ("scripts/cases", "a.py", "cases/a.py"),
        ("scripts/cases", "./a", "cases/a.py"),
        ("scripts/cases", "../top.py", "top.py"),
        ("scripts/cases", "top.py", "top.py"),
        ("scripts/cases", "./both.py", "cases/both.py"),
        ("scripts/cases", "scripts/both.py", "both.py"),
        ("scripts/night", "both", "both"),
        ("..", "plant/scripts/cases/a.py", "cases/a.py"),
        ("..", "top.py", "top.py"),
        (".", "-", "-"),
        (".", "nothing", "nothing"),
        (".", "scripts/nothing.py", "scripts/nothing.py"),
    ],
)
def test_what_a_path_means(root: Path, monkeypatch: pytest.MonkeyPatch, folder: str, typed: str, meant: str) -> None:
    monkeypatch.chdir(root / folder)
    assert script_meant(typed, str(root)) == meant


def test_an_absolute_path_and_one_over_a_link(root: Path) -> None:
    assert script_meant(str(root / "scripts/cases/a.py"), str(root)) == "cases/a.py"
    link = root.parent / "link"
    link.symlink_to(root)
    assert script_meant(str(link / "scripts/cases/a.py"), str(root)) == "cases/a.py"
    assert script_meant(str(root / "scripts/cases/a.py"), str(link)) == "cases/a.py"
    linked = root / "scripts/linked.py"
    linked.symlink_to(root / "scripts/top.py")  # the engine says what it thinks of links
    assert script_meant("./scripts/linked.py", str(root)) == "linked.py"


@pytest.mark.parametrize(
    ("folder", "typed", "said"),
    [
        ("..", "check.py", "import"),
        ("..", "./check.py", "import"),
        ("..", "./top.py", "import"),
        (".", "../check.py", "exec -"),
        (".", "./scripts/nothing.py", "no file"),
        ("scripts/cases", "both.py", "Write ./both.py, or scripts/both.py"),
    ],
)
def test_what_is_no_script_or_could_be_two_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, folder: str, typed: str, said: str
) -> None:
    monkeypatch.chdir(root / folder)
    with pytest.raises(CommandError) as refused:
        script_meant(typed, str(root))
    assert said in f"{refused.value} {refused.value.hint}"
    assert refused.value.exit_code == 2


def test_a_script_of_another_project_names_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    with pytest.raises(CommandError) as refused:
        script_meant(str(root / "scripts/top.py"), None)
    assert f"--project {root}" in (refused.value.hint or "")


def test_one_that_is_gone_is_named_by_the_path_that_it_had(root: Path) -> None:
    assert script_meant("./scripts/night/gone.py", str(root), gone=True) == "night/gone.py"
    assert script_meant("scripts/gone.py", str(root), gone=True) == "gone.py"


def test_where_a_new_one_goes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_script_meant("day/new", str(root)) == "day/new"
    assert new_script_meant("scripts/day/new.py", str(root)) == "day/new.py"
    assert new_script_meant("./scripts/day/new", str(root)) == "day/new"
    assert new_script_meant(str(root / "scripts/new.py"), str(root)) == "new.py"
    assert new_script_meant("./new.py", str(root)) == "./new.py"
    (root / "scripts/scripts").mkdir()
    assert new_script_meant("scripts/new.py", str(root)) == "scripts/new.py"
    monkeypatch.chdir(root / "scripts/night")
    assert new_script_meant("./new.py", str(root)) == "night/new.py"


def test_the_shell_completes_what_can_only_be_a_path() -> None:
    context = click.Context(click.Command("run"))
    for typed in ("./scripts/a", "../x", "/srv/plant", "~/plant"):
        offered = SCRIPT.shell_complete(context, click.Argument(["script"]), typed)
        assert [(item.value, item.type) for item in offered] == [(typed, "file")]
