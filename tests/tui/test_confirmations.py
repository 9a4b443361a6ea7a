"""Enter never takes anything away, writes over anything or trusts anything: such an answer needs its letter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from console_support import console, write_script

import tui

ANSWER = re.compile(r"\bChoice\(\s*[^()]*\)")
RISKY = re.compile(r"\b(delete|throw|discard|overwrite|trust|keep mine;|take theirs;)")

LEAVE_BEHIND = """
import sys
from pathlib import Path
from tui.editing.recovery import RecoveryJournal, UnsavedText
RecoveryJournal(sys.argv[1], Path(sys.argv[2])).keep(UnsavedText("left.py", "y = 2\\n"))
"""


def row_under_cursor(c) -> str:
    return c.app.screen.query_one("#answers").current.text.strip()


async def enter_on_every_row_leads_to(c, *risky: str) -> None:
    """Walk over all answers with Enter; those that are risky stay unanswered."""
    asked = c.app.screen
    for key in risky:
        await c.press("home")
        while not row_under_cursor(c).startswith(f"{key} "):
            await c.press("down")
        await c.press("enter")
        assert c.app.screen is asked
        await c.shows(f"Enter does not do this: press {key}.")


async def test_a_script_is_deleted_by_its_letter_only(project, tmp_path):
    write_script(project, "doomed.py", "x = 1\n")
    file = project / "scripts/doomed.py"
    async with console(project, tmp_path) as c:
        await c.lists("doomed.py")
        await c.press("f2")
        c.app._console.script_pane.go_to("doomed.py")
        await c.press("delete")
        await c.shows("Delete doomed.py?", "delete it", "Esc keep it")
        await enter_on_every_row_leads_to(c, "y")
        await c.press("escape", "delete")
        await c.shows("Delete doomed.py?")
        await c.press("enter")
        await c.hides("Delete doomed.py?")
        assert file.exists()
        await c.press("delete")
        await c.shows("Delete doomed.py?")
        await c.press("y")
        await c.shows("deleted doomed.py; u in the list brings it back")
        assert not file.exists()


async def test_unsaved_text_is_thrown_away_and_written_over_by_letters_only(project, tmp_path):
    write_script(project, "mine.py", "x = 1\n")
    async with console(project, tmp_path) as c:
        await c.open("mine.py")
        await c.type("y = 2\n")
        write_script(project, "mine.py", "x = 3\n")
        await c.press("ctrl+s")
        await c.shows("keep mine", "take theirs")
        await enter_on_every_row_leads_to(c, "k", "t")
        await c.press("escape", "ctrl+q")
        await c.shows("mine.py has unsaved text")
        assert row_under_cursor(c).startswith("s ")
        await enter_on_every_row_leads_to(c, "x")
        await c.press("escape")
        assert (project / "scripts/mine.py").read_text() == "x = 3\n"
        assert c.app._console.editor.text.startswith("y = 2\n")


@pytest.fixture
def text_left_behind(project, tmp_path):
    write_script(project, "left.py", "x = 1\n")
    subprocess.run([sys.executable, "-c", LEAVE_BEHIND, str(project), str(tmp_path / "recovery")], check=True)


@pytest.mark.usefixtures("text_left_behind")
async def test_text_left_behind_is_discarded_by_its_letter_only(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("Unsaved text of left.py")
        assert row_under_cursor(c).startswith("r ")
        await enter_on_every_row_leads_to(c, "x")


@pytest.fixture
def a_repository_with_a_filter(project):
    subprocess.run(["git", "config", "filter.x.clean", "touch pwned"], cwd=project, check=True)
    yield
    subprocess.run(["git", "config", "--unset", "filter.x.clean"], cwd=project, check=True)


@pytest.mark.usefixtures("a_repository_with_a_filter")
async def test_a_repository_is_trusted_by_its_letter_only(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("Git main")
        await c.press("f3", "4")
        await c.shows("[Git")
        await c.press("t")
        await c.shows("This repository names 1 program")
        assert row_under_cursor(c).startswith("Esc")
        await enter_on_every_row_leads_to(c, "t")
        await c.press("escape")


def test_every_risky_answer_says_so():
    """A new dialog with such an answer has to say that Enter must not give it."""
    answers = [one for file in Path(tui.__file__).parent.rglob("*.py") for one in ANSWER.findall(file.read_text())]
    risky = [one for one in answers if RISKY.search(one)]
    assert len(risky) >= 8
    assert [one for one in risky if "risky=True" not in one] == []
