"""What the main screens look like at 80x24, kept as text.

``UPDATE_PICTURES=1 pytest tests/tui/test_console_pictures.py`` takes new pictures; look at the difference before you
commit it.
"""

from __future__ import annotations

import re

import pytest
from console_support import console, engine_project, write_script
from pictures_support import check, masked

UNFINISHED = """# /// script
# [tool.gatewright]
# entrypoint = "main"
# ///
import os
import time
"""
LOG_WATCH = """# /// script
# [tool.gatewright.permissions]
# read = ["/etc", "/nowhere/wrapper.log"]
# ///
result = 1
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of its own: what other tests leave behind would be in the picture."""
    with engine_project(tmp_path_factory.mktemp("pictures") / "plant-a", admin=True) as root:
        write_script(root, "alarm_report.py", "print('one')\nprint('two')\nresult = {'alarms': 3}\n")
        write_script(root, "old_format.py", "# /// script\n# [tool.gatewright\n# ///\n")
        write_script(root, "macros/gallery.py", '# /// script\n# [tool.gatewright]\n# kind = "macro"\n# ///\n')
        write_script(root, "unfinished.py", UNFINISHED)
        write_script(root, "log_watch.py", LOG_WATCH)
        yield root


@pytest.fixture
async def c(project, tmp_path):
    async with console(project, tmp_path) as opened:
        await opened.shows("alarm_report", "defaults/tour.py", "pool [...] 0/3  queue 0", "Git main")
        yield opened


async def test_first_screen(c):
    await check(c, "first_screen")


async def test_form(c):
    await c.press("f2")
    await c.open("defaults/log_digest.py")
    await c.press("f5")
    await c.shows("Run defaults/log_digest.py", "a wrapper.log")
    await check(c, "form")


async def test_admin(c):
    await c.open("alarm_report.py")
    await c.press("f8")
    await c.shows("Runs you start in")
    await check(c, "admin_question")
    await c.press("enter")
    await c.shows("ADMIN 4:5", "F8 ADMIN")
    await check(c, "admin")


async def test_form_in_admin(c):
    await c.open("defaults/log_digest.py")
    await c.press("f8")
    await c.shows("Runs you start in")
    await c.press("enter", "f5")
    await c.shows("mode: ADMIN", "a wrapper.log")
    await check(c, "form_in_admin")


async def test_problems(c):
    await c.open("unfinished.py")
    await c.press("f3", "2")
    await c.shows("[Problems 2]", "warning")
    await check(c, "problems")


async def test_approval(c):
    await c.open("log_watch.py")
    await c.press("f9")
    await c.shows("never approved", "n refuse")
    await check(c, "approval")
    await c.press("d")
    await c.shows("+result = 1")
    await check(c, "approval_text")


async def test_frontmatter(c):
    await c.open("log_watch.py")
    await c.press("ctrl+t")
    await c.shows("Header of log_watch.py", "an empty line removes the key")
    await check(c, "frontmatter")


async def test_history(c, project):
    original = (project / "scripts/macros/gallery.py").read_text()
    await c.open("macros/gallery.py")
    await c.press("ctrl+end")
    await c.type("mine = 1")
    try:
        await c.press("ctrl+s")
        await c.shows("saved macros/gallery.py")
        await c.press("f2", "h")
        await c.shows("History of macros/gallery.py", "a save")
        await check(c, "history")
        await c.press("end", "enter")
        await c.shows("+ now")
        await check(c, "history_difference")
    finally:
        write_script(project, "macros/gallery.py", original)


async def test_list_with_a_problem(c):
    await c.press("f2")
    c.app._console.script_pane.go_to("old_format.py")
    await c.shows("valid TOML:")
    await check(c, "list_problem")


async def test_help(c):
    await c.press("f1")
    await c.shows("Everywhere", "Esc back")
    await check(c, "help")
    lines = c.app.screen._texts()[0].plain.splitlines()[1:]
    assert "Marks in the list" in lines
    assert max(map(len, lines)) <= 72, "each fits into the box, which has room for 72"


async def test_palette(c):
    await c.press("ctrl+p")
    await c.type("panel")
    await c.shows("Make the panel large")
    await check(c, "palette")


async def test_conflict(c, project):
    await c.open("alarm_report.py")
    await c.type("# mine\n")
    original = (project / "scripts/alarm_report.py").read_text()
    write_script(project, "alarm_report.py", original + "# theirs\n")
    try:
        await c.press("ctrl+s")
        await c.shows("changed on disk")
        await c.shows("+# mine")
        await check(c, "conflict")
    finally:
        write_script(project, "alarm_report.py", original)


async def test_after_a_run(c):
    await c.open("alarm_report.py")
    await c.press("f5")
    await c.shows("end of output", "1/min")
    picture = re.sub(r"\d+\.\d+ ms|p50 [\d.]+ m?s", "N ms", masked(c.text))
    assert '  one\n  two\n  result: {"alarms": 3}\n  - end of output -\n' in picture
    line = r"^ #\d+ alarm_report.py  ok  N ms  RESTRICTED LEVEL  \S+  HH:MM:SS$"
    assert re.search(line, picture, re.MULTILINE), picture
