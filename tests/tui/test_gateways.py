"""Several gateways in one console: the list of them, going from one to another, and what stays where it was."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from console_support import Console, console, engine_project, write_script

from tui.editing.recovery import RecoveryJournal, UnsavedText


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two projects, each with its engine and a script that says where it is."""
    folder = tmp_path_factory.mktemp("plants")
    with engine_project(folder / "a", admin=True) as a, engine_project(folder / "b", admin=True) as b:
        write_script(a, "where.py", "print('this is plant a')\n")
        write_script(a, "slow.py", "import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
        write_script(b, "where.py", "print('this is plant b')\n")
        write_script(b, "only_b.py", "print('b')\n")
        yield a, b


def name_gateways(monkeypatch: pytest.MonkeyPatch, home: Path, text: str) -> None:
    """Give the user's file these gateways."""
    folder = home / "gatewright"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "gateways.toml").write_text(text)
    (folder / "gateways.toml").chmod(0o600)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))


@pytest.fixture
async def c(plants, tmp_path, monkeypatch) -> AsyncIterator[Console]:
    a, b = plants
    name_gateways(
        monkeypatch, tmp_path / "config", f'[gateways.gw-a]\nproject = "{a}"\n[gateways.gw-b]\nproject = "{b}"\n'
    )
    async with console(a, tmp_path, place="gw-a", size=(100, 24)) as opened:
        await opened.shows("pool [...]")
        yield opened


async def go(c: Console, name: str) -> None:
    """Go to a gateway by its row."""
    await c.press("alt+g")
    await c.shows("gateways", "you are here", name)
    rows = c.app.screen.query_one("#gateways RowList")
    await c.until(lambda: any(row.key == name for row in rows.rows), f"{name} is listed")
    await c.press("home", *["down"] * [row.key for row in rows.rows].index(name), "enter")
    await c.until(lambda: f" {name} " in c.text.splitlines()[0], f"the header says {name}")
    await c.shows("pool [...]")


async def test_another_gateway_has_its_own_scripts_and_runs(c):
    await c.open("where.py")
    await c.press("f5")
    await c.shows("this is plant a")
    await go(c, "gw-b")
    await c.hides("this is plant a")
    await c.lists("only_b.py")
    await c.open("where.py")
    await c.press("f5")
    await c.shows("this is plant b")
    await go(c, "gw-a")
    await c.shows("this is plant a")
    await c.hides("only_b")


async def test_unsaved_text_cursor_and_undo_stay_with_their_gateway(c, plants, tmp_path):
    await c.open("where.py")
    await c.press("ctrl+home")
    await c.type("# mine")
    await c.press("enter")
    await c.type("# more")
    await c.shows("where.py *")
    cursor = c.app._console.editor.cursor_location
    await go(c, "gw-b")
    await c.open("where.py")
    assert "# mine" not in c.text
    journal = RecoveryJournal(os.path.realpath(plants[0]), tmp_path / "recovery")
    kept = [file.read_text() for file in journal.folder.glob("*.json") if file.name != "session.json"]
    assert any("# mine" in text for text in kept)
    await c.press("alt+g")
    await c.shows("Unsaved there: where.py")
    await c.press("escape")
    await go(c, "gw-a")
    await c.shows("# mine", "where.py *")
    assert c.app._console.editor.cursor_location == cursor
    await c.press("ctrl+z", "ctrl+z", "ctrl+z")
    await c.hides("where.py *")
    assert c.app._console.editor.text == (plants[0] / "scripts/where.py").read_text()


async def test_a_run_goes_on_and_its_output_is_there_again(c):
    await c.open("slow.py")
    await c.press("f5")
    await c.shows("begun", "running")
    left = c.app._connection
    await go(c, "gw-b")
    await c.until(lambda: not left.connected.is_set(), "the line is closed")
    assert "begun" not in c.text
    await go(c, "gw-a")
    await c.shows("begun", "running")
    await c.press("f6")
    await c.shows("cancelled")


async def test_admin_ends_by_going_away(c):
    await c.open("where.py")
    await c.press("f8")
    await c.shows("Runs you start in")
    await c.press("enter")
    await c.shows("ADMIN 4:5")
    await go(c, "gw-b")
    await c.hides("ADMIN")
    await go(c, "gw-a")
    await c.shows("RESTRICTED")
    await c.hides("ADMIN")
