"""A session as a person has it: in tmux at 80x24, on a new project, with a hangup in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from console_support import allow_admin
from tmux_support import Terminal, console_line, gatewright, terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the session needs it")

GONE_WITHIN = 2.0


@pytest.fixture
def home(tmp_path):
    """An empty home and an empty folder to become a project; its engine is stopped afterwards."""
    project = tmp_path / "plant-a"
    project.mkdir()
    yield {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}, project
    gatewright(project, "engine", "stop", "--force")


def newest_run(project):
    return json.loads(gatewright(project, "runs", "list", "--json"))["runs"][0]


def test_a_whole_session(tmp_path, home):
    environment, project = home
    with terminal(tmp_path) as t:
        t.run(console_line(), project, environment)
        t.shows("gatewright", "tour", "csv_summary", "log_digest", "pool [...] 0/3", "F5 run", "Run F5")
        change_save_and_run_a_default_script(t, project)
        stop_a_runaway_script(t)
        hang_up_during_a_run(t)

    wait_for_the_end_of_the_run(project)
    with terminal(tmp_path) as t:
        t.run(console_line(), project, environment)
        everything_is_there_again(t, project)


def change_save_and_run_a_default_script(t: Terminal, project) -> None:
    t.keys("F2")
    t.keys("/")
    t.type("tour")
    t.hides("csv_summary")
    t.keys("Enter", "Escape")
    t.shows("defaults/tour.py", "csv_summary")
    t.keys("C-End")
    t.type("print('my own line')")
    t.shows("defaults/tour.py *", "my own line")
    t.keys("C-s")
    t.shows("saved defaults/tour.py")
    t.hides("defaults/tour.py *")
    assert (project / "scripts/defaults/tour.py").read_text().endswith("print('my own line')")
    t.keys("F5")
    t.shows("Run defaults/tour.py", "pause", "timeout")
    t.keys("Enter")
    t.shows("running", "minute 2", "[#..] 1/3", "Stop F6")
    assert "minute 7" not in t.text, "lines arrive one by one"
    t.shows("ok", "end of output", "result:", "Run F5")


def stop_a_runaway_script(t: Terminal) -> None:
    t.keys("C-n")
    t.shows("Name of the new script")
    t.enter("runaway")
    t.shows("made runaway.py")
    t.keys("C-End")
    t.type("while True: pass")
    t.keys("C-s")
    t.shows("saved runaway.py")
    t.keys("F5")
    t.shows("running", "Tasks 1")
    t.keys("F4")
    t.shows("3 slots   1 running   2 ready", "runaway.py", "k kill run")
    t.keys("Escape")
    t.shows("F5 run")
    t.keys("F6")
    t.shows("cancelled", "[...] 0/3")
    t.keys("F3", "3")
    t.shows("[Tasks]", "runaway.py", "cancelled", "defaults/tour.py")
    t.keys("F4")
    t.shows("3 slots   0 running   3 ready")
    assert "runaway.py" not in t.text
    t.keys("Escape")
    t.shows("[Tasks]")


def hang_up_during_a_run(t: Terminal) -> None:
    t.keys("C-o")
    t.shows("open a script")
    t.enter("defaults/tour")
    t.until(lambda: "defaults/tour.py" in t.text.splitlines()[0], "the tour is open")
    t.keys("F5")
    t.shows("Run defaults/tour.py")
    t.keys("Enter")
    t.shows("running", "minute 1")
    t.keys("Escape", "C-End", "Enter")
    t.type("# not saved")
    t.shows("# not saved", "defaults/tour.py *")
    pid = t.child("gatewright")
    began = time.monotonic()
    os.kill(pid, signal.SIGHUP)
    t.until(lambda: not os.path.exists(f"/proc/{pid}"), "the console is gone")
    assert time.monotonic() - began < GONE_WITHIN
    t.shows("EXIT 129", " echo ", " icanon ")
    assert t.value("alternate_on") == "0"
    assert t.value("cursor_flag") == "1"
    assert t.value("mouse_any_flag") == "0"


def wait_for_the_end_of_the_run(project) -> None:
    deadline = time.monotonic() + 30
    while newest_run(project)["state"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert newest_run(project)["outcome"] == "ok"


def everything_is_there_again(t: Terminal, project) -> None:
    t.shows("Unsaved text of defaults/tour.py", "restore it into the editor", "discard it", "show the difference")
    t.type("d")
    t.shows("+# not saved")
    t.keys("Up", "Escape")
    t.hides("Unsaved text of")
    t.keys("C-o")
    t.shows("open a script")
    t.enter("defaults/tour")
    t.shows("Unsaved text of defaults/tour.py")
    t.type("r")
    t.shows("# not saved", "defaults/tour.py *")
    assert "# not saved" not in (project / "scripts/defaults/tour.py").read_text()
    t.keys("F3")
    t.shows("[Output]", "z zoom")
    t.keys("z")
    t.shows("historian_gaps", "result:", "end of output", "ok")
    t.keys("Home")
    t.shows("my own line", "Hello engineer!", "minute 0", "minute 7")
    t.keys("Escape", "C-s")
    t.shows("saved defaults/tour.py")
    assert (project / "scripts/defaults/tour.py").read_text().endswith("# not saved")
    t.keys("C-q")
    t.shows("EXIT 0")


@pytest.mark.parametrize(
    ("more", "danger"),
    [
        ({"TEXTUAL_COLOR_SYSTEM": "standard"}, "41"),
        pytest.param({"TERM": "screen-256color"}, "48;5;203", marks=pytest.mark.slow),
        pytest.param({"NO_COLOR": "1"}, "", marks=pytest.mark.slow),
    ],
    ids=["16", "256", "monochrome"],
)
def test_admin_cannot_be_overlooked(tmp_path, home, more, danger):
    """Header and footer are bars of the danger colour from edge to edge, and the word is there."""
    environment, project = home
    environment |= more
    allow_admin(project)
    with terminal(tmp_path) as t:
        t.run(console_line(), project, environment)
        t.shows("pool [...] 0/3", "defaults/tour.py", "RESTRICTED")
        before = t.styled.splitlines()
        t.keys("F8")
        t.shows("ADMIN runs are a shell as the engine's account")
        t.keys("Enter")
        t.shows("ADMIN 4:5", "F8 ADMIN")
        t.hides("RESTRICTED")
        lines = t.styled.splitlines()
        for line in (0, 23):
            assert lines[line] != before[line]
            assert danger in lines[line]
            assert danger not in before[line] or not danger
        t.keys("F8")
        t.shows("RESTRICTED", "runs are RESTRICTED again")


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGHUP])
def test_a_dead_terminal_does_not_keep_the_console(tmp_path, home, number):
    """The terminal goes away first, as when a line drops; then nobody reads what the console writes."""
    environment, project = home
    with terminal(tmp_path) as t:
        t.run(console_line(), project, environment)
        t.shows("pool [...] 0/3", "defaults/tour.py")
        t.type("# typed before the line dropped")
        t.shows("typed before")
        pid = t.child("gatewright")
    if number is signal.SIGTERM and os.path.exists(f"/proc/{pid}"):
        os.kill(pid, number)
    deadline = time.monotonic() + GONE_WITHIN + 1
    while os.path.exists(f"/proc/{pid}") and "Z" not in state_of(pid):
        assert time.monotonic() < deadline, "the console outlived its terminal"
        time.sleep(0.02)
    with terminal(tmp_path) as t:
        t.run(console_line(), project, environment)
        t.shows("Unsaved text of defaults/tour.py", "restore it")


def state_of(pid: int) -> str:
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
