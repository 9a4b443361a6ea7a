"""Settings, both rebuilds and the metadata diff on a real engine, driven by keys."""

from __future__ import annotations

import asyncio

import pytest
from console_support import console, engine_project, write_script

from engine.client import launch
from engine.registry.scripts import SCRIPTS_LIST

VALID = "# /// script\n# [tool.gatewright]\n# title = 'Kettle'\n# enabled = true\n# ///\nx = 1\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("console") / "plant-a") as root:
        yield root


def known(project, **scripts):
    """Scripts that the engine has seen."""
    for name, text in scripts.items():
        write_script(project, f"{name}.py", text)

    async def look():
        client = await launch.connect(project, client="console")
        await client.call(SCRIPTS_LIST)
        await client.close()

    asyncio.run(look())


async def to_diff(c):
    await c.shows("tour")
    await c.press("f12")
    await c.shows("rebuilds and metadata diff", "[ Metadata diff")
    await c.press("d")
    await c.shows("metadata diff", "for a decision")


def test_differences_are_marked_looked_at_and_applied(project, tmp_path):
    known(project, gone="gone = 1\n", drop="drop = 1\n", bad=VALID)
    (project / "scripts/gone.py").unlink()
    (project / "scripts/drop.py").unlink()
    write_script(project, "bad.py", VALID.replace("true", "3"))

    async def drive():
        async with console(project, tmp_path) as c:
            await to_diff(c)
            await c.shows("3 wait for a decision", "(missing)", "(invalid)", "enabled", "f drop the row")
            await c.press("f", "down", "d")
            await c.shows("drop row", "write file")
            await c.press("down", "down", "d")
            await c.shows("restore key", "d set this key alone")
            await c.press("a")
            await c.shows("3 of 3 would be done", "+gone = 1", "a do it")
            await c.press("escape")
            await c.shows("3 wait for a decision")
            assert not (project / "scripts/gone.py").exists()
            await c.press("a")
            await c.shows("3 of 3 would be done")
            await c.press("a")
            await c.shows("0 wait for a decision", "Files and database agree")
            await c.press("escape")
            await c.shows("rebuilds and metadata diff")

    asyncio.run(drive())
    assert (project / "scripts/gone.py").read_text() == "gone = 1\n"
    assert not (project / "scripts/drop.py").exists()
    assert (project / "scripts/bad.py").read_text() == VALID


def test_one_of_all_choices_is_chosen(project, tmp_path):
    known(project, same="same = 1\n", other="same = 1\n")

    async def drive():
        async with console(project, tmp_path) as c:
            await to_diff(c)
            await c.shows("like same.py", "like other.py")
            await c.press("d")
            await c.shows("not possible here")
            await c.press("c")
            await c.shows("keep both; they are meant to be alike", "delete this one")
            await c.press("1")
            await c.shows("keep both")
            await c.press("enter")
            await c.shows("1 of 1 would be done")
            await c.press("a")
            await c.shows("0 wait for a decision")

    asyncio.run(drive())


def test_a_rebuild_is_begun_and_reported(project, tmp_path):
    known(project, vanishing="vanishing = 1\n")
    (project / "scripts/vanishing.py").unlink()

    async def drive():
        async with console(project, tmp_path) as c:
            await c.shows("tour")
            await c.press("f12")
            await c.shows("[ Rebuild scripts", "[ Rebuild everything", "No rebuild was begun here yet")
            await c.press("c")
            await c.shows("no task goes on")
            await c.press("r")
            await c.shows("rebuild by", ": done", "removed  vanishing.py", "can be written back")
            await c.press("e")
            await c.shows("history:", "approvals:", "looked through")
            await c.press("f12")
            await c.hides("rebuilds and metadata diff")

    asyncio.run(drive())


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("metadata diff", "for a decision"), ("rebuild everything", "looked through")],
)
def test_the_palette_has_all_of_it(project, tmp_path, typed, shown):
    async def drive():
        async with console(project, tmp_path) as c:
            await c.shows("tour")
            await c.press("ctrl+p")
            await c.shows("what to do")
            await c.type(typed)
            await c.press("enter")
            await c.shows(shown)

    asyncio.run(drive())


def test_names_of_files_never_drive_the_terminal(project, tmp_path):
    path = project / "scripts" / "evil\x1b]0;owned\x07.py"
    path.write_text("x = 1\n")

    async def drive():
        async with console(project, tmp_path) as c:
            await to_diff(c)
            await c.shows("evil\\x1b", "to edit")
            assert "\x1b" not in c.text

    try:
        asyncio.run(drive())
    finally:
        path.unlink()
