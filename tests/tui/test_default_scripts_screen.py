"""Default scripts in the console: told of, compared, taken, kept, restored."""

from __future__ import annotations

import asyncio

import pytest
from console_support import console

from default_scripts import VERSION, Bundle
from engine import Engine
from engine.client import launch

TOUR = "defaults/tour.py"
DIGEST = "defaults/log_digest.py"


async def make_with_an_older_bundle(root):
    older = {path: b"# of before\n" if path.endswith(".py") else data for path, data in Bundle().files.items()}
    async with Engine.open(root, pool_size=1, bundle=Bundle(0, older)):
        pass


@pytest.fixture
def upgraded(tmp_path):
    """A project of an older version with two edited scripts and a deleted one, under today's engine."""
    root = tmp_path / "plant-a"
    asyncio.run(make_with_an_older_bundle(root))
    (root / "scripts" / TOUR).write_text("# mine \x1b[2J\n")
    (root / "scripts" / DIGEST).write_text("# mine, too\n")
    (root / "scripts/defaults/csv_summary.py").unlink()
    yield root  # the console starts its engine
    asyncio.run(launch.stop(root, client="cli", force=True))


async def test_newer_texts_are_told_of_compared_and_decided_about(upgraded, tmp_path):
    scripts = upgraded / "scripts"
    async with console(upgraded, tmp_path) as c:
        await c.shows("newer texts of 2 default scripts that you edited: F2 then b")
        await c.press("f2", "b")
        await c.shows(f"default scripts   bundle version {VERSION}", "yours, and there is a newer text", "not there")
        await c.shows("-# mine, too")
        assert (scripts / TOUR).read_text() == "# mine \x1b[2J\n", "something was changed by itself"
        await c.press("k")
        await c.shows("kept yours: defaults/log_digest.py", "kept instead of the newer text")
        await c.press("k")
        await c.shows("nothing to decline")
        await c.press("down")
        await c.shows("-# mine", '+# title = "A tour of Gatewright"')
        await c.press("t")
        await c.shows("took the new defaults/tour.py; yours is in its history", "No difference")
        assert "A tour of Gatewright" in (scripts / TOUR).read_text()
        await c.press("t")
        await c.shows("nothing to take")
        await c.press("r")
        await c.shows("restored a file of the default scripts")
        assert (scripts / "defaults/csv_summary.py").exists()
        assert (scripts / DIGEST).read_text() == "# mine, too\n"
        await c.press("escape")
        await c.shows("F5 run")


async def test_a_text_that_changes_under_the_screen_is_not_taken(upgraded, tmp_path):
    async with console(upgraded, tmp_path) as c:
        await c.shows("newer texts of 2")
        await c.press("f2", "b")
        await c.shows("-# mine, too")
        (upgraded / "scripts" / DIGEST).write_text("# another one\n")
        await c.press("t")
        await c.shows("has changed since you looked", "-# another one")
        assert (upgraded / "scripts" / DIGEST).read_text() == "# another one\n"


async def test_an_empty_list_says_how_to_restore_them(upgraded, tmp_path):
    for file in (upgraded / "scripts").rglob("*.py"):
        file.unlink()
    async with console(upgraded, tmp_path) as c:
        await c.shows("No scripts yet.", "then B restores", "pool [")
        await c.press("f2", "B")
        bundled = sum(path.startswith("scripts/") for path in Bundle().files)
        await c.shows(f"restored {bundled} files of the default scripts")
        await c.lists("macros/badge.py")
        await c.shows("v defaults")
        assert {"csv_summary.py", "log_digest.py", "tour.py"} <= {
            file.name for file in (upgraded / "scripts/defaults").iterdir()
        }
