"""The engine dies, is stopped, cannot start: the console says so, keeps the text, and comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from contextlib import closing

import pytest
from console_support import console, engine_project, write_script

from engine.client import launch
from tui.connection import ConnectionState


@pytest.fixture
def project(tmp_path):
    with engine_project(tmp_path / "plant-a") as root:
        yield root


def connection_of(c):
    return c.app._connection


def entries(c):
    """The unsaved texts in the journal."""
    return [file for file in c.app._journal.folder.glob("*.json") if file.name != "session.json"]


def recorded_runs(project):
    """The runs that an engine killed now cannot lose."""
    with closing(sqlite3.connect(f"file:{project / '.gatewright/state.db'}?mode=ro", uri=True)) as database:
        return database.execute("select id from run").fetchall()


async def test_a_killed_engine_is_replaced_and_editing_goes_on(project, tmp_path):
    write_script(project, "endless.py", "print('before', flush=True)\nwhile True: pass\n")
    async with console(project, tmp_path) as c:
        await c.shows("endless", "pool [...]")
        await c.open("endless.py")
        await c.press("f5")
        await c.shows("before", "running")
        await c.until(lambda: recorded_runs(project), "the engine has the run on disk")
        killed = connection_of(c).info.pid
        os.kill(killed, signal.SIGKILL)
        await c.shows("engine away", "^R tries now")
        await c.type("typed ")
        await c.shows("typed print", "endless.py *")
        await c.until(lambda: connection_of(c).info.pid != killed, "another engine answers")
        await c.shows("interrupted", "before")
        await c.press("ctrl+s")
        await c.shows("saved endless.py")


@pytest.mark.slow
async def test_a_run_that_no_engine_has_on_record_does_not_go_on_for_ever(project, tmp_path):
    write_script(project, "endless.py", "print('before', flush=True)\nwhile True: pass\n")
    async with console(project, tmp_path) as c:
        await c.shows("endless", "pool [...]")
        await c.open("endless.py")
        with closing(sqlite3.connect(project / ".gatewright/state.db", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")  # what the engine would record waits
            await c.press("f5")
            await c.shows("before", "running")
            killed = connection_of(c).info.pid
            os.kill(killed, signal.SIGKILL)
            await c.until(lambda: not os.path.exists(f"/proc/{killed}"), "the engine is gone")
            database.execute("ROLLBACK")
        await c.until(lambda: connection_of(c).info.pid != killed, "another engine answers")
        await c.shows("interrupted", "The engine ended before it had recorded run", "end of output")
        await c.hides("running")
        assert not recorded_runs(project)


@pytest.mark.slow
async def test_a_save_while_the_engine_is_away_keeps_the_text(project, tmp_path):
    write_script(project, "a.py", "x\n")
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        await c.open("a.py")
        await launch.stop(project, client="cli")
        await c.shows("The engine was stopped", "^R tries now")
        await c.type("y")
        await c.press("ctrl+s")
        await c.shows("Not saved", "a.py *")
        await c.until(lambda: entries(c), "the text is in the journal")
        assert connection_of(c).state is ConnectionState.AWAY
        await c.press("ctrl+r")
        await c.shows("pool [...] 0/3")
        await c.press("ctrl+s")
        await c.shows("saved a.py")
        await c.until(lambda: not entries(c), "the journal is empty")
    assert (project / "scripts/a.py").read_text() == "yx\n"


@pytest.mark.slow
async def test_an_engine_that_somebody_stopped_is_not_started_behind_their_back(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("pool [...]")
        await launch.stop(project, client="cli")
        await c.shows("The engine was stopped")
        await asyncio.sleep(1.5)  # longer than two attempts
        assert connection_of(c).state is ConnectionState.AWAY
        client = await launch.connect(project, client="cli")
        await client.close()
        await c.shows("pool [...] 0/3")


async def test_a_project_that_cannot_be_is_said_in_a_sentence(tmp_path):
    async with console(tmp_path / "gone", tmp_path) as c:
        await c.shows("engine away", "cannot be a project: No such file")
        await c.type("still typing")
        await c.shows("still typing", "unnamed *")
        await c.press("f5")
        await c.shows("engine is not connected")


async def test_an_engine_that_answers_late_still_brings_the_first_script(tmp_path):
    folder = tmp_path / "late"
    async with console(folder, tmp_path) as c:
        await c.shows("engine away")
        folder.mkdir()
        await c.press("ctrl+r")
        await c.shows("defaults/tour.py", "pool [...] 0/3")
    await launch.stop(folder, client="cli", force=True)


async def test_unsaved_text_is_offered_while_the_engine_is_away(tmp_path):
    from tui.editing.recovery import RecoveryJournal, UnsavedText

    folder = tmp_path / "gone"
    RecoveryJournal(str(folder), tmp_path / "recovery").set_aside(UnsavedText("lost.py", "found = 1\n"))
    async with console(folder, tmp_path) as c:
        await c.shows("Unsaved text of lost.py", "restore it into the editor")
        await c.press("r")
        await c.shows("found = 1", "lost.py *")


async def test_text_is_journaled_a_second_after_the_last_key_and_gone_when_undone(project, tmp_path):
    async with console(project, tmp_path) as c:
        await c.shows("defaults/tour.py", "pool [...]")
        await c.type("z")
        await c.until(lambda: entries(c), "the text is in the journal")
        await c.press("ctrl+z")
        await c.hides("tour.py *")
        await c.until(lambda: not entries(c), "the journal is empty again")
