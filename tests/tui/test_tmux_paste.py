"""Text pasted in a terminal that does not say that it is pasted: it lands unchanged, and nothing happens by it."""

from __future__ import annotations

import json
import shutil

import pytest
from console_support import allow_admin
from tmux_support import Terminal, console_line, gatewright, terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the session needs it")

SCRIPT = "pasted.py"
LINES = [
    "import os",
    "",
    "RATES = [",
    "    1,",
    "\t2,  # a tab at its front",
    "]",
    "",
    "",
    "def rate(name: str) -> int:",
    '    """Say k, x, d and 3."""',
    "    if not name:",
    "        return 0",
    "    for number in RATES:",
    "        if number > len(name):",
    "            continue",
    "        return number",
    "    return {",
    "        'kind': 1,",
    "    }['kind']",
    "",
    "",
    "class Loop:",
    "    def __init__(self):",
    "        self.uid = os.getuid()",
    "",
    "    def go(self):",
    "        while True:",
    "            pass",
    "",
    "print(rate('x'), Loop().uid)",
]


@pytest.fixture
def home(tmp_path):
    project = tmp_path / "plant-a"
    project.mkdir()
    yield {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}, project
    gatewright(project, "engine", "stop", "--force")


def test_a_paste_that_is_not_bracketed_is_text_and_runs_nothing(tmp_path, home):
    paste_everywhere(tmp_path, home, "xterm", admin=True, line_end="\n", ways=[Terminal.type])


@pytest.mark.slow
@pytest.mark.parametrize("line_end", ["\n", "\r"], ids=["LF", "CR"])
@pytest.mark.parametrize("admin", [False, True], ids=["restricted", "admin"])
@pytest.mark.parametrize("term", ["linux", "xterm", "screen-256color"])
def test_it_is_so_in_every_terminal(tmp_path, home, term, admin, line_end):
    paste_everywhere(tmp_path, home, term, admin=admin, line_end=line_end, ways=[Terminal.type, Terminal.paste])


def paste_everywhere(tmp_path, home, term: str, *, admin: bool, line_end: str, ways) -> None:
    """Paste into the editor in these ways of tmux, then where there is no text field."""
    environment, project = home
    allow_admin(project)
    file = project / "scripts" / SCRIPT
    file.parent.mkdir()
    file.touch()
    text = line_end.join(LINES) + line_end
    with terminal(tmp_path) as t:
        t.run(f"export TERM={term}; {console_line('--open', SCRIPT)}", project, environment)
        t.shows("pool [...] 0/3", SCRIPT)
        if admin:
            t.keys("F8")
            t.shows("Runs you start in")
            t.keys("Enter")
            t.shows("ADMIN 4:5", "F8 ADMIN")
        for way in ways:
            way(t, text)
            t.shows(LINES[-1])
            save(t)
            assert file.read_text() == "\n".join(LINES) + "\n"
            t.keys("C-z")
            t.hides(LINES[-1])
            assert "RATES" not in t.text, "the paste is one step of undo"
            save(t)
            assert file.read_text() == ""
        t.paste(text)
        t.shows(LINES[-1])
        save(t)
        paste_outside_text_fields(t, text)
        assert json.loads(gatewright(project, "runs", "list", "--json"))["runs"] == []
        assert file.read_text() == "\n".join(LINES) + "\n"
        assert [one.name for one in file.parent.glob("*.py")] == [SCRIPT]


def save(t: Terminal) -> None:
    t.shows(f"{SCRIPT} *")
    t.keys("C-s")
    t.shows(f"saved {SCRIPT}")
    t.until(lambda: f"{SCRIPT} *" not in t.text.splitlines()[0], "the text is saved")


def paste_outside_text_fields(t: Terminal, text: str) -> None:
    refused = "Several letters at once count as pasted text"
    for key, shown in (("F2", "m meta"), ("F4", "k kill run")):
        t.keys(key)
        t.shows(shown)
        assert refused not in t.text
        t.paste(text)
        t.shows(refused, shown)
