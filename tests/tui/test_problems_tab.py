"""The Problems tab: what the engine finds in the text, in step with the typing and never in its way."""

from __future__ import annotations

import asyncio

import pytest
from console_support import console, engine_project, write_script

from engine.client import launch
from engine.models.checks import CheckProblem, CheckReport
from engine.registry.scripts import SCRIPTS_CHECK

BROKEN = "import os\nx = (\n"


@pytest.fixture
async def c(project, tmp_path):
    write_script(project, "broken.py", BROKEN)
    write_script(project, "clean.py", "x = 1\n")
    async with console(project, tmp_path) as opened:
        await opened.shows("broken", "clean", "pool [...]")
        yield opened


@pytest.fixture
def own_project(tmp_path):
    with engine_project(tmp_path / "plant-a") as root:
        yield root


async def test_what_is_wrong_is_found_on_opening_and_enter_goes_there(c):
    await c.open("broken.py")
    await c.shows("Problems 1")
    await c.press("f3", "2")
    await c.shows("[Problems 1]", "2:5     error", "never closed", "Enter go there")
    await c.press("enter")
    assert c.app._console.editor.cursor_location == (1, 4)
    assert c.app._console.editor.has_focus


async def test_what_is_wrong_with_a_header_has_the_files_own_line(c, project):
    write_script(
        project, "header.py", '"""Digest."""\n\n# /// script\n# dependencies = ["nosuchpkg-zz"]\n# title =\n# ///\n'
    )
    await c.open("header.py")
    await c.press("f3", "2")
    await c.shows("[Problems 1]", "5:1     error", "not valid TOML")
    await c.press("enter")
    assert c.app._console.editor.cursor_location == (4, 0)
    write_script(project, "needs.py", '"""Digest."""\n# /// script\n# dependencies = ["nosuchpkg-zz"]\n# ///\n')
    await c.open("needs.py")
    await c.shows("3:1     warning", "Not installed for scripts here: nosuchpkg-zz.")


async def test_it_follows_the_typing_and_the_saving(c):
    await c.open("clean.py")
    await c.press("f3", "f3")
    await c.shows("No problems found.", "[Problems]")
    await c.press("escape", "ctrl+end")
    await c.type("import socket\ny = )")
    await c.shows("Problems 1", "3:5     error")
    await c.press("backspace")
    await c.type("2")
    await c.shows("2:1     warning", "socket")
    await c.press("up", "end", *["backspace"] * 13, "ctrl+s")
    await c.shows("saved clean.py", "No problems found.")


async def test_errors_come_first_and_long_sentences_go_on_below(c, monkeypatch):
    problems = [
        CheckProblem(message="first in the text", line=1, severity="warning"),
        CheckProblem(message="\x1b[31mevil\n" + "word " * 40 + "end", line=7, column=2),
    ]

    async def found(*, body):
        return CheckReport(problems=problems)

    c.answer(monkeypatch, SCRIPTS_CHECK, found)
    await c.open("clean.py")
    await c.press("f3", "2", "z")
    await c.shows("[Problems 2]", "7:3     error    \\x1b[31mevil\\n", "word end", "1:1     warning  first in the text")
    assert c.text.index("7:3") < c.text.index("1:1")
    await c.press("down", "enter")
    assert c.app._console.editor.cursor_location == (1, 0), "the place is beyond the text: its end is meant"


async def test_one_check_at_a_time_and_the_latest_text_wins(c, monkeypatch):
    going, most, texts = 0, 0, []

    async def slow(*, body):
        nonlocal going, most
        going += 1
        most = max(most, going)
        texts.append(body.text)
        await asyncio.sleep(0.3)
        going -= 1
        return CheckReport()

    c.answer(monkeypatch, SCRIPTS_CHECK, slow)
    await c.open("clean.py")
    check = c.app._console._parts.check
    for letter in "abcdef":
        await c.type(letter)
        check.check_soon()
    await c.until(lambda: texts and texts[-1] == "abcdefx = 1\n" and not going, "the last text is checked")
    assert most == 1
    assert len(texts) <= 4


async def test_a_check_of_a_script_that_was_left_is_not_shown(c, monkeypatch):
    gate = asyncio.Event()

    async def check(*, body):
        if body.path == "broken.py":
            await gate.wait()
            return CheckReport(problems=[CheckProblem(message="of the other script")])
        return CheckReport()

    c.answer(monkeypatch, SCRIPTS_CHECK, check)
    await c.open("broken.py")
    await c.open("clean.py")
    gate.set()
    await c.press("f3", "2")
    await c.shows("No problems found.")
    assert "of the other script" not in c.text


async def test_an_empty_text_is_not_sent(c):
    await c.open("clean.py")
    await c.press("f3", "2")
    await c.shows("No problems found.")
    await c.press("escape", "alt+a", "backspace")
    await c.shows("There is nothing to check: the editor is empty.")


@pytest.mark.slow
async def test_without_an_engine_it_says_that_nothing_was_checked(own_project, tmp_path):
    write_script(own_project, "broken.py", BROKEN)
    async with console(own_project, tmp_path) as c:
        await c.shows("broken", "pool [...]")
        await c.open("broken.py")
        await c.shows("Problems 1")
        await c.press("f3", "2", "escape")
        await launch.stop(own_project, client="cli")
        await c.shows("engine away")
        await c.type("y")
        await c.shows("Not checked: The engine is not connected.", "[Problems]")
        await c.press("ctrl+r")
        await c.shows("[Problems 1]")
