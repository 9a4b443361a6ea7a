"""The git tab on a real engine and a real repository, driven by keys."""

from __future__ import annotations

import os
import subprocess

import pytest
from console_support import console, engine_project, write_script

from tui.keymap import keys_of


@pytest.fixture
def project(tmp_path):
    with engine_project(tmp_path / "plant-a") as root:
        git(root, "add", "-A")
        git(root, "commit", "-qm", "begin")
        yield root


def git(root, *command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ["-c", "user.name=Bob", "-c", "user.email=bob@plant.example"]
    done = subprocess.run(
        ["git", *identity, *command], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


async def show_git(c):
    """To the git tab, with the cursor on its first row."""
    await c.press("f3", keys_of("panel_git")[0], "z")
    await c.shows("[Git", "on main", "c commit", "Space stage")
    await c.press("home")


async def test_a_change_is_staged_committed_seen_and_restored(project, tmp_path):
    write_script(project, "story.py", "one = 1\n")
    async with console(project, tmp_path, size=(100, 30)) as c:
        await c.open("story.py")
        await show_git(c)
        await c.shows("on main, 1 changed", "?? scripts/story.py")
        await c.press("enter")
        await c.shows("scripts/story.py   Enter goes back", "+one = 1")
        await c.press("enter")
        await c.shows("?? scripts/story.py")
        await c.press("space")
        await c.shows("A  scripts/story.py", "staged")
        await c.press("space")
        await c.shows("?? scripts/story.py")
        await c.press("space")
        await c.shows("A  scripts/story.py")
        await c.press("c")
        await c.shows("Your name, as it should stand in your commits")
        await c.type("Ada Lovelace")
        await c.press("enter")
        await c.shows("Your e-mail address")
        await c.type("nonsense")
        await c.press("enter")
        await c.shows("looks like ada@plant.example")
        await c.press("enter")
        await c.shows("Your e-mail address")
        await c.press("ctrl+u", *["backspace"] * 8)
        await c.type("ada@plant.example")
        await c.press("enter")
        await c.shows("Commit message, by Ada Lovelace <ada@plant.example>")
        await c.type("Add the story")
        await c.press("enter")
        await c.shows("committed", "nothing changed", "log of story.py", "Ada Lovelace  Add the story", "Git main")
        assert f"Gatewright-Uid: {os.geteuid()} (" in git(project, "log", "-1", "--format=%B")

        await c.press("escape", "ctrl+end")
        await c.type("two = 2")
        await c.press("ctrl+s")
        await c.shows("saved story.py")
        await show_git(c)
        await c.shows("M scripts/story.py")
        await c.press("home", "space")
        await c.shows("M  scripts/story.py")
        await c.press("c")
        await c.shows("Commit message, by Ada Lovelace")
        await c.type("Second")
        await c.press("enter")
        await c.shows("Ada Lovelace  Second", "nothing changed")
        await c.press("home", "down", "enter")
        await c.shows("Enter goes back", "+two = 2")
        await c.press("backspace")
        await c.shows("Ada Lovelace  Add the story")
        await c.press("down", "r")
        await c.shows("is in the editor, unsaved", "story.py *")
        assert c.app._console.editor.text == "one = 1\n"
        assert (project / "scripts/story.py").read_text() == "one = 1\ntwo = 2"
        c.app._console.editor.undo()
        assert c.app._console.editor.text == "one = 1\ntwo = 2"
        await c.press("l")
        await c.shows("log of the repository", "Bob  begin")


async def test_nothing_staged_is_said_and_the_message_is_kept(project, tmp_path):
    write_script(project, "late.py", "pass\n")
    async with console(project, tmp_path, size=(100, 30)) as c:
        await c.shows("late")
        await show_git(c)
        await c.press("a")
        await c.type("Ada")
        await c.press("enter")
        await c.type("ada@plant.example")
        await c.press("enter")
        await c.shows("your commits are by Ada")
        await c.press("c")
        await c.shows("Nothing is staged yet: Space stages a file.")
        await c.type("My message")
        await c.press("enter")
        await c.shows("Nothing is staged, so there is nothing to commit.", "My message")
        await c.press("escape")
        await c.hides("My message")
        assert git(project, "log", "--format=%s").split("\n")[0] == "begin"


async def test_a_repository_that_names_programs_is_asked_about(project, tmp_path):
    marks = tmp_path / "marks"
    git(project, "config", "filter.loud.clean", f"tee -a {marks}")
    (project / ".gitattributes").write_text("scripts/*.py filter=loud\n")
    git(project, "commit", "-q", "--allow-empty", "-m", "armed")
    write_script(project, "asked.py", "pass\n")
    # A file as young as the index is looked at again, through the filter, whenever git is asked for the status.
    os.utime(project / "scripts/asked.py", (1_700_000_000, 1_700_000_000))
    async with console(project, tmp_path, size=(100, 30)) as c:
        await c.shows("asked")
        await show_git(c)
        await c.press("down", "space")
        await c.shows("This repository names 1 programs or settings that could run something")
        await c.press("escape")
        await c.shows("?? scripts/asked.py")
        assert not marks.exists()
        await c.press("space")
        await c.shows("This repository names 1 programs")
        await c.press("d")
        await c.shows("+setting filter.loud.clean = tee")
        await c.press("t")
        await c.shows("trusted, exactly as it is now", "A  scripts/asked.py")
        assert marks.read_text() == "pass\n"


async def test_the_palette_commits_from_anywhere(project, tmp_path):
    write_script(project, "anywhere.py", "pass\n")
    git(project, "add", "-A")
    async with console(project, tmp_path, size=(100, 30)) as c:
        await c.shows("anywhere")
        await c.press("ctrl+p")
        await c.type("say who your commits")
        await c.press("enter")
        await c.shows("Your name")
        await c.type("Ada")
        await c.press("enter")
        await c.type("ada@plant.example")
        await c.press("enter")
        await c.shows("your commits are by Ada")
        await c.press("ctrl+p")
        await c.type("commit what is staged")
        await c.press("enter")
        await c.shows("Commit message, by Ada")
        await c.type("From the palette")
        await c.press("enter")
        await c.shows("committed")
        assert git(project, "log", "-1", "--format=%an %s").strip() == "Ada From the palette"


async def test_older_commits_come_when_asked_for(project, tmp_path):
    for number in range(70):
        git(project, "commit", "-q", "--allow-empty", "-m", f"number {number:02}")
    async with console(project, tmp_path, size=(100, 100)) as c:
        await c.shows("pool [...]")
        await show_git(c)
        await c.press("l")
        await c.shows("log of the repository", "number 69", "older ones")
        assert "number 30" not in c.text
        await c.press("end", "enter")
        await c.shows("number 30")
        await c.press("end", "enter")
        await c.shows("Bob  begin")
        assert "older ones" not in c.text


async def test_hostile_names_and_messages_are_drawn_harmless(project, tmp_path):
    name = "\x1b]0;owned\x07\x9b2J\u202e.py"
    write_script(project, name, "x\r\x1b[2J\n")
    git(project, "commit", "-q", "--allow-empty", "-m", "\x1b[2J\x9b31mmessage")
    async with console(project, tmp_path, size=(100, 30)) as c:
        await c.shows("pool [...]")
        await show_git(c)
        await c.press("l")
        await c.shows("message")
        await c.press("home", "enter")
        await c.shows("Enter goes back", "+x")
        await c.press("enter", "home", "space")
        await c.shows("staged")
        assert not [char for char in c.text if (ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0]
        assert "\u202e" not in c.text


async def test_a_lost_repository_is_a_sentence(project, tmp_path):
    os.rename(project / ".git", tmp_path / "gone")
    async with console(project, tmp_path, size=(100, 30)) as c:
        await c.shows("pool [...]")
        await c.press("f3", keys_of("panel_git")[0])
        await c.shows("This project has no git repository.")
        await c.press("space", "enter", "r", "c")
        await c.until(lambda: c.app.screen.query("Toast") or "Your name" in c.text, "it is answered")
