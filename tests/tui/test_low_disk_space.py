"""The console on a disk that is short of room: runs run, their output is seen, a save is refused and its text kept."""

from __future__ import annotations

import json

import pytest
from console_support import console, engine_project, write_script

from tui.editing.recovery import RecoveryJournal

NEVER_ENOUGH = "[disk]\nkeep_free = '900000 GiB'\n"


@pytest.fixture
def short_project(tmp_path):
    with engine_project(tmp_path / "plant", settings=NEVER_ENOUGH) as project:
        yield project


def journaled(project, state):
    """The texts that the console has put on its own disk."""
    folder = RecoveryJournal(str(project), state / "recovery").folder
    return [json.loads(file.read_bytes())["text"] for file in folder.glob("*.*.json")]


async def test_everything_but_saving_works_and_the_text_is_kept(short_project, tmp_path):
    write_script(short_project, "count.py", "print('one')\n")
    async with console(short_project, tmp_path) as c:
        await c.shows("count", "pool [...]")
        await c.open("count.py")
        await c.press("f5")
        await c.shows("one", "Output is not recorded: the disk has only", "end of output")
        await c.press("escape", "ctrl+home")
        await c.type("#!")
        await c.press("ctrl+s")
        await c.shows("was not saved: the disk has only", "recovery journal", "count.py *")
        assert (short_project / "scripts/count.py").read_text() == "print('one')\n"
        await c.until(lambda: "#!print('one')\n" in journaled(short_project, tmp_path), "the text is in the journal")
