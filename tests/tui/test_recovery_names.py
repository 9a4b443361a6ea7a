"""Unsaved text is offered however the script is named."""

from __future__ import annotations

import pytest
from console_support import console, write_script

from tui.editing.recovery import RecoveryJournal, UnsavedText


@pytest.mark.parametrize(
    "name", ["night/over", *(pytest.param(one, marks=pytest.mark.slow) for one in ("night/over.py", "over"))]
)
async def test_unsaved_text_is_offered_however_the_script_is_named(project, tmp_path, name):
    write_script(project, "night/over.py", "saved = 1\n")
    RecoveryJournal(str(project), tmp_path / "recovery").set_aside(UnsavedText("night/over.py", "mine = 1\n"))
    async with console(project, tmp_path, open_script=name) as c:
        await c.shows("Unsaved text of night/over.py")
        await c.press("r")
        await c.shows("night/over.py *", "mine = 1")


async def test_it_is_not_offered_for_another_script_of_the_name(project, tmp_path):
    write_script(project, "alike.py", "other = 1\n")
    write_script(project, "night/alike.py", "saved = 1\n")
    RecoveryJournal(str(project), tmp_path / "recovery").set_aside(UnsavedText("night/alike.py", "mine = 1\n"))
    async with console(project, tmp_path, open_script="alike") as c:
        await c.shows("other = 1")
        assert "Unsaved text" not in c.text


async def test_it_is_offered_when_a_script_is_opened_by_a_part_of_its_name(project, tmp_path):
    write_script(project, "night/later.py", "saved = 1\n")
    async with console(project, tmp_path) as c:
        await c.lists("night/later.py")
        c.app._journal.set_aside(UnsavedText("night/later.py", "mine = 1\n"))
        c.app._console.open_script("night/later")
        await c.shows("Unsaved text of night/later.py")
