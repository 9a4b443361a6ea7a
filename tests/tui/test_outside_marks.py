"""What others change is in the list within a second, and marked until it is looked at."""

from __future__ import annotations

import subprocess

import pytest
from console_support import console, engine_project, write_script

from engine.models.scripts import ScriptInfo
from tui.widgets.script_pane import OutsideMarks


def listed(marks: OutsideMarks, **contents: str) -> frozenset[str]:
    marks.listed([ScriptInfo(path=path, title=path, sha256=sha256) for path, sha256 in contents.items()])
    return marks.paths


def test_only_what_others_changed_is_marked() -> None:
    marks = OutsideMarks()
    assert listed(marks, a="1", b="1", c="1") == set()
    marks.heard(None, outside=True)
    marks.heard("b", outside=False)
    assert listed(marks, a="2", b="2", c="1", new="1") == {"a"}
    assert listed(marks, a="2", b="2", c="1", new="1") == {"a"}


def test_a_mark_goes_when_the_script_is_opened_saved_or_gone() -> None:
    marks = OutsideMarks()
    listed(marks, a="1", b="1", c="1")
    marks.heard(None, outside=True)
    assert listed(marks, a="2", b="2", c="2") == {"a", "b", "c"}
    marks.opened("a")
    assert marks.paths == {"b", "c"}
    marks.heard("b", outside=False)
    assert listed(marks, a="2", b="3", c="2") == {"c"}
    assert listed(marks, a="2", b="3") == set()


def test_what_changed_while_the_engine_was_away_is_not_marked() -> None:
    marks = OutsideMarks()
    listed(marks, a="1")
    assert listed(marks, a="2") == set()


def git(root, *command):
    identity = ["-c", "user.name=Bob", "-c", "user.email=bob@plant.example"]
    subprocess.run(["git", *identity, *command], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("outside") / "plant-a") as root:
        yield root


async def test_an_outside_change_shows_and_is_marked_until_it_is_opened(project, tmp_path):
    write_script(project, "story.py", "one = 1\n")
    async with console(project, tmp_path, size=(80, 60)) as c:  # there is room for every script
        await c.shows("story")
        write_script(project, "fresh.py", "new = 1\n")
        await c.shows("fresh")
        write_script(project, "story.py", "two = 2\n")
        await c.until(lambda: any("story" in line and "~" in line for line in c.text.splitlines()), "story is marked")
        assert not any("fresh" in line and "~" in line for line in c.text.splitlines())
        await c.open("story.py")
        await c.shows("two = 2")
        await c.until(lambda: not any("story" in line and "~" in line for line in c.text.splitlines()), "no mark")
        (project / "scripts" / "fresh.py").unlink()
        await c.hides("fresh")


async def test_a_commit_outside_shows_in_the_git_tab(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("Git main +")
        git(project, "checkout", "-qb", "trial")
        await c.shows("Git trial +")
        write_script(project, "story.py", "one = 1\n")
        git(project, "add", "-A")
        git(project, "commit", "-qm", "all of it")
        await c.until(lambda: "Git trial " in c.text and "Git trial +" not in c.text, "nothing is changed any more")


async def test_scripts_that_cannot_be_looked_at_are_told_and_stay_listed(project, tmp_path):
    write_script(project, "story.py", "one = 1\n")
    async with console(project, tmp_path, size=(80, 60)) as c:
        await c.shows("story")
        (project / "scripts").rename(project / "away")
        await c.shows("The scripts cannot be looked at", "story")
        (project / "away").rename(project / "scripts")
        write_script(project, "back.py", "one = 1\n")
        await c.shows("back", "story")
