"""What the host has beside the sandbox: interpreter, kernel, SQLite, git, logind, the terminal."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys

from engine import logind
from engine.config import Settings
from engine.doctor.finding import Finding, Severity
from store.git.command import OLDEST

MIN_SQLITE = (3, 35)
"""WAL with RETURNING, which the state database uses (sqlite.org/lang_returning.html)."""


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}, {platform.machine()}"
    if platform.machine() != "x86_64":
        advice = "RESTRICTED runs need x86-64."
        return Finding(level=Severity.FAIL, tried="Python", found=found, advice=advice)
    return Finding(level=Severity.OK, tried="Python", found=found)


def _kernel() -> Finding:
    return Finding(level=Severity.OK, tried="kernel", found=os.uname().release)


def _sqlite() -> Finding:
    level = Severity.OK if sqlite3.sqlite_version_info >= MIN_SQLITE else Severity.FAIL
    advice = (
        "" if level is Severity.OK else f"Needs {'.'.join(map(str, MIN_SQLITE))}: use a Python with a newer SQLite."
    )
    return Finding(level=level, tried="SQLite", found=sqlite3.sqlite_version, advice=advice)


def _git() -> Finding:
    path = Settings().engine.path
    program = shutil.which("git", path=path)
    if program is None:
        advice = "Install git, or set engine.path; without it scripts have no history."
        return Finding(level=Severity.WARN, tried="git", found=f"not in {path}", advice=advice)
    answer = subprocess.run(
        [program, "--version"], capture_output=True, timeout=5, check=False, stdin=subprocess.DEVNULL
    )
    found = answer.stdout.decode(errors="replace").strip()
    version = re.search(r"(\d+)\.(\d+)", found)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        advice = f"The git tab needs git {'.'.join(map(str, OLDEST))} or newer; everything else works without."
        return Finding(level=Severity.WARN, tried="git", found=f"{found or 'no version'} at {program}", advice=advice)
    return Finding(level=Severity.OK, tried="git", found=f"{found} at {program}")


def _logout() -> Finding:
    tried = "whether logout ends background processes (systemd-logind, KillUserProcesses)"
    kills = logind.kills_user_processes()
    if kills is None:
        return Finding(level=Severity.OK, tried=tried, found="no logind here")
    if not kills:
        return Finding(level=Severity.OK, tried=tried, found="no")
    return Finding(
        level=Severity.WARN,
        tried=tried,
        found="yes",
        advice="The engine is started in a scope of the user manager, which stays only with `loginctl enable-linger`. "
        "Or run it as a service: `gatewright engine serve`.",
    )


def _terminal() -> Finding:
    term, colour, tmux = (os.environ.get(name, "") for name in ("TERM", "COLORTERM", "TMUX"))
    found = ", ".join([f"TERM={term or 'not set'}", f"COLORTERM={colour or 'not set'}", *(["in tmux"] if tmux else [])])
    advice = ""
    if term in ("", "dumb"):
        advice = "The console needs a terminal: log in with one, or set TERM to what yours is."
    elif tmux and not term.startswith(("tmux", "screen")):
        advice = 'In tmux set: set -g default-terminal "tmux-256color".'
    elif colour not in ("truecolor", "24bit") and "256color" not in term:
        advice = "Colours are few; if the terminal can do more, set TERM=xterm-256color."
    return Finding(level=Severity.WARN if advice else Severity.OK, tried="terminal", found=found, advice=advice)


CHECKS = (_python, _kernel, _sqlite, _git, _logout, _terminal)
