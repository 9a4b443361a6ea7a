"""One script, the console and vim at once, from an edit to a commit and back to the old text; in tmux at 80x24."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from tmux_support import Terminal, console_line, gatewright, terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the session needs it")

SCRIPT = "story.py"
FIRST = "".join(f"line_{number} = {number}\n" for number in range(1, 10))


@pytest.fixture
def home(tmp_path):
    """An empty home and a project with one new script beside what is committed; its engine is stopped afterwards."""
    project = tmp_path / "plant-a"
    project.mkdir()
    gatewright(project, "engine", "start")
    git(project, "add", "-A")
    git(project, "-c", "user.name=Bob", "-c", "user.email=bob@plant.example", "commit", "-qm", "begin")
    (project / "scripts" / SCRIPT).write_text(FIRST)
    yield {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}, project
    gatewright(project, "engine", "stop", "--force")


def git(project, *command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *command], cwd=project, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def change_outside(project, old, new):
    """Change a line with vim if there is one, else as vim does: a new file, renamed over the old one."""
    file = project / "scripts" / SCRIPT
    if shutil.which("vim"):
        command = ["vim", "-N", "-u", "NONE", "-i", "NONE", "-es", "-c", f"%s/{old}/{new}/", "-c", "wq", str(file)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    else:
        other = file.with_suffix(".new")
        other.write_text(file.read_text().replace(old, new))
        os.replace(other, file)
    assert new in file.read_text()


@pytest.mark.slow
def test_an_edit_here_and_one_in_vim_are_merged_committed_and_taken_back(tmp_path, home):
    environment, project = home
    file = project / "scripts" / SCRIPT
    with terminal(tmp_path) as t:
        t.run(console_line("--open", SCRIPT), project, environment)
        t.shows("pool [...] 0/3", SCRIPT, "line_1 = 1")
        edit_and_save_here(t, file)
        commit(t, "Story of one", first=True)

        t.keys("Escape", "C-Home", "Down")
        t.type("# typed here")
        t.keys("Enter")
        t.shows(f"{SCRIPT} *", "# typed here")
        change_outside(project, "line_8 = 8", "line_8 = 'vim'")
        have_the_list_read_again(project)
        t.shows("changed on disk; F7 merge, edit on and decide when saving", "# typed here")
        assert "# typed here" not in file.read_text()

        t.keys("F7")
        t.shows("merge: both changes, 0 conflicts", "+# typed here", "keep mine; theirs goes into history")
        t.type("m")
        t.hides("changed on disk")
        t.keys("C-s")
        t.shows(f"saved {SCRIPT}")
        both = "# one\n# typed here\n" + FIRST.replace("line_8 = 8", "line_8 = 'vim'")
        assert file.read_text() == both

        commit(t, "Both edits")
        log = git(project, "log", "--format=%an <%ae> %s", "--", f"scripts/{SCRIPT}").splitlines()
        author = "Ada Lovelace <ada@plant.example>"
        assert log == [f"{author} Both edits", f"{author} Story of one"]
        restore_the_first_version(t)
        assert file.read_text() == both, "restoring saves nothing by itself"
        t.keys("C-s")
        t.shows(f"saved {SCRIPT}")
        assert file.read_text() == "# one\n" + FIRST
        t.keys("C-q")
        t.shows("EXIT 0")


def edit_and_save_here(t: Terminal, file) -> None:
    t.type("# one")
    t.keys("Enter")
    t.shows(f"{SCRIPT} *", "# one")
    t.keys("C-s")
    t.shows(f"saved {SCRIPT}")
    assert file.read_text() == "# one\n" + FIRST


def have_the_list_read_again(project) -> None:
    """Any change of a script through the engine makes every console read the list, also where nothing is watched."""
    gatewright(project, "scripts", "new", "another")


def commit(t: Terminal, message: str, *, first: bool = False) -> None:
    """Stage the script and commit it in the git tab, with the author's name the first time."""
    t.keys("F3", "4")
    t.shows("[Git")
    t.keys("z")
    t.shows("[Git", f"scripts/{SCRIPT}", "Space stage")
    go_to_row(t, f"scripts/{SCRIPT}")
    t.keys("Space")
    t.shows(f"{'A ' if first else 'M '} scripts/{SCRIPT}")
    t.keys("c")
    if first:
        t.shows("Your name, as it should stand in your commits")
        t.enter("Ada Lovelace")
        t.shows("Your e-mail address")
        t.enter("ada@plant.example")
    t.shows("Commit message, by Ada Lovelace")
    t.enter(message)
    t.shows(f"Ada Lovelace  {message}")
    t.keys("z")


def go_to_row(t: Terminal, text: str) -> None:
    """Put the cursor of the git tab on a row that is on the screen."""
    lines = t.text.splitlines()
    heading = next(number for number, line in enumerate(lines) if line.startswith(" on "))
    row = next(number for number, line in enumerate(lines) if number > heading and text in line)
    t.keys("Home", *["Down"] * (row - heading - 1))


def restore_the_first_version(t: Terminal) -> None:
    t.keys("z")
    t.shows("Ada Lovelace  Story of one", "Ada Lovelace  Both edits")
    go_to_row(t, "Story of one")
    t.keys("r")
    t.shows("is in the editor, unsaved", f"{SCRIPT} *")
    t.keys("z", "Escape")
    t.hides("# typed here")
