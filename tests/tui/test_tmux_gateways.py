"""Two gateways as a person has them: in tmux, with a hangup at the second and coming back by its name."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_support import engine_project, write_script
from tmux_support import PATIENCE, PROGRAM, console_line, terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the session needs it"),
]


@pytest.fixture
def home(short_folder: Path) -> Iterator[Path]:
    with engine_project(short_folder / "a") as a, engine_project(short_folder / "b") as b:
        write_script(a, "where.py", "print('this is plant a')\n")
        write_script(b, "where.py", "print('this is plant b')\n")
        yield short_folder


def test_going_to_another_gateway_a_hangup_there_and_coming_back(home: Path) -> None:
    environment = {
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TERM": "tmux-256color",
        "XDG_CONFIG_HOME": str(home / "config"),
    }
    for name in ("a", "b"):
        command = [PROGRAM, "gateways", "add", f"gw-{name}", "--project", str(home / name)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE, env={**os.environ, **environment})
    for folder in ("first", "a-again", "b-again"):  # each server of tmux has a socket of its own
        (home / folder).mkdir()
    with terminal(home / "first", (100, 24)) as screen:
        screen.run(console_line("--gateway", "gw-a"), home, environment)
        screen.shows(" gw-a ", "pool [...]", "where")
        screen.keys("C-o")
        screen.shows("open a script")
        screen.enter("where.py")
        screen.shows("where.py", "this is plant a")
        screen.type("1 ")
        screen.shows("where.py *")
        screen.keys("M-g")
        screen.shows("you are here", "gw-b", "answers")
        screen.keys("Down")
        screen.keys("Enter")
        screen.shows(" gw-b ", "pool [...]")
        screen.hides("this is plant a")
        screen.keys("C-o")
        screen.shows("open a script")
        screen.enter("where.py")
        screen.shows("this is plant b")
        screen.type("2 ")
        screen.shows("where.py *")
        os.kill(screen.child("gatewright"), 1)
        screen.shows("EXIT 129")
    for name, typed in (("b", "2 print"), ("a", "1 print")):
        with terminal(home / f"{name}-again", (100, 24)) as screen:
            screen.run(console_line("--gateway", f"gw-{name}"), home, environment)
            screen.shows(f" gw-{name} ", "Unsaved text of where.py", "restore it into the editor")
            screen.keys("r")
            screen.shows(typed, "where.py *")
            screen.keys("C-s")
            screen.shows("saved where.py")
            screen.keys("C-q")
            screen.shows("EXIT 0")
