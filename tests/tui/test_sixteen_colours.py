"""What the console looks like on terminals with eight or sixteen colours.

``UPDATE_PICTURES=1 pytest tests/tui/test_sixteen_colours.py`` takes new pictures.
"""

from __future__ import annotations

import re
import shutil
import string

import pytest
from console_support import Console, console, engine_project, write_script
from pictures_support import check
from rich.color import ColorSystem
from tmux_support import console_line, terminal

RATE = '''# what a line makes
LIMIT = 12.5


class Line:
    """One line of the plant."""

    def rate(self, parts: int) -> float:
        return max(parts, 1) / 2


raise ValueError("no parts")
'''


PLAIN = "37;40"


def inks(c: Console) -> str:
    """Each line of the screen and below it a letter for how each cell is drawn with sixteen colours.

    A blank is plain white on black; the others are explained at the end, by their SGR parameters (ECMA-48, 8.3.117).
    Figures that differ from run to run are left out.
    """
    names = {PLAIN: " "}
    lines = []
    for strip in c.app.screen._compositor.render_strips():
        below = ""
        for segment in strip:
            drawn = segment.style.render("x", color_system=ColorSystem.STANDARD)
            codes = drawn.removeprefix("\x1b[").partition("m")[0].split(";")
            nothing_to_see = not segment.text.strip() and "40" in codes and not {"4", "7"} & {*codes}
            style = PLAIN if nothing_to_see else ";".join(codes)
            below += names.setdefault(style, string.ascii_lowercase[len(names) - 1]) * segment.cell_length
        lines += [
            re.sub(r"\d+(\.\d+)? ms|(?<=p50 )\d+\.\d+ s|\d+/min|#\d+|main \+\d+ ", "N", strip.text).rstrip(),
            below.rstrip(),
        ]
    return "\n".join([*lines, *(f"{name} = {codes}" for codes, name in names.items())])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with engine_project(tmp_path_factory.mktemp("sixteen") / "plant-a", admin=True) as root:
        write_script(root, "rate.py", RATE)
        write_script(root, "old_format.py", "# /// script\n# [tool.gatewright\n# ///\n")
        yield root


@pytest.fixture
async def c(project, tmp_path):
    async with console(project, tmp_path, sixteen_colours=True) as opened:
        await opened.shows("old_format", "defaults/tour.py", "pool [...] 0/3  queue 0", "Git main")
        await opened.open("rate.py")
        yield opened


async def test_sixteen_colours_show_syntax_errors_and_focus(c):
    await c.press("f5")
    await c.shows("end of output")
    await check(c, "sixteen_error", inks)
    await c.press("f3")
    await c.shows("c copy")
    await check(c, "sixteen_panel", inks)
    await c.press("f2")
    await c.shows("m meta")
    await check(c, "sixteen_list", inks)
    await c.press("delete")
    await c.shows("Delete rate.py?")
    await check(c, "sixteen_question", inks)


async def test_sixteen_colours_show_admin(c):
    await c.press("f8")
    await c.shows("Runs you start in")
    await c.press("enter")
    await c.shows("ADMIN 4:5", "F8 ADMIN")
    await check(c, "sixteen_admin", inks)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the session needs it")
def test_the_lit_pane_is_the_one_that_has_the_keys(project, tmp_path):
    """In a terminal, since a program that draws everything anew would not show what was not drawn."""
    environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    lit, unlit = "\x1b[1;7m\x1b[36m[Tasks]", "\x1b[1m[Tasks]"
    with terminal(tmp_path) as t:
        t.run(f"export TERM=linux; {console_line('--open', 'rate')}", project, environment)
        t.shows("pool [...] 0/3", "rate.py", "Git main")
        t.keys("F3")
        t.shows("c copy")
        t.keys("3")
        t.until(lambda: lit in t.styled, "the tasks are lit")
        t.keys("C-o")
        t.shows("open a script")
        t.enter("old_format")
        t.until(lambda: "old_format.py" in t.text.splitlines()[0], "it is open")
        t.until(lambda: unlit in t.styled, "the tasks are not lit")
        t.keys("q")
        t.shows("1  q# ///")
        t.keys("F3")
        t.until(lambda: lit in t.styled, "the tasks are lit again")
        t.keys("F5")
        t.shows("[Output]", "c copy")
        assert "\x1b[1;7m\x1b[36m[Output]" in t.styled
