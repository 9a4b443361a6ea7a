"""What this host gives to an engine, found out by trying, and what to do about what is missing.

The diagnosis succeeds when it was made, whatever it found: its exit code says only that.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from engine import launch, logind, sockets
from engine.client import EngineError, EngineUnreachable
from engine.config import ConfigError, Settings
from engine.launch import LaunchError
from engine.lifetime import engine_lives, holder_of
from engine.models import EngineInfo
from engine.ownership import account_name, become_owner
from engine.paths import EnginePaths
from engine.sandbox.probe import probe

LANDLOCK_CREATE_RULESET = 444
LANDLOCK_VERSION_FLAG = 1
"""linux/landlock.h: asked with this flag, landlock_create_ruleset(2) answers with its ABI version."""

LOW_BYTES = 500 << 20
LOW_SHARE = 0.02
MIN_SQLITE = (3, 35)
"""WAL with RETURNING, which the state database uses (sqlite.org/lang_returning.html)."""


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the diagnosis: what was tried, what came of it, what to do."""

    level: Level
    tried: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"\n      {self.advice}" if self.advice else ""
        return f"{self.level:<5} {self.tried}: {self.found}{advice}"


def diagnose(project: Path | None, *, as_json: bool) -> int:
    """Print a diagnosis of the host and of the project, if one is given. Returns the exit code."""
    findings = list(examine(None if project is None else project.resolve()))
    if as_json:
        sys.stdout.write(msgspec.json.encode({"findings": findings}).decode() + "\n")
    else:
        sys.stdout.write("\n".join(map(str, findings)) + "\n")
    return 0


def examine(project: Path | None) -> Iterator[Finding]:
    """Every finding; a check that fails in itself is a finding too."""
    for check in (_python, _kernel, _namespaces, _landlock, _seccomp, _sqlite, _git, _logout, _terminal):
        yield _careful(check, check.__name__)
    if project is not None:
        yield from _examine_project(EnginePaths(project))


def _examine_project(paths: EnginePaths) -> Iterator[Finding]:
    """As its owner, which root becomes; another account hears whose it is and no more."""
    try:
        become_owner(paths)
    except LaunchError as refusal:
        tried = f"who owns {paths.project}"
        yield Finding(level=Level.FAIL, tried=tried, found=refusal.message, advice=refusal.hint or "")
        return
    for check in (_owner, _settings, _disk, _socket_place, _engine):
        yield _careful(functools.partial(check, paths), check.__name__)


def _careful(check: Callable[[], Finding], name: str) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - one check that breaks must not hide the others
        return Finding(level=Level.FAIL, tried=name.strip("_"), found=f"the check itself failed: {error!r}")


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}, {platform.machine()}"
    if platform.machine() != "x86_64":
        advice = "RESTRICTED runs need x86-64."
        return Finding(level=Level.FAIL, tried="Python", found=found, advice=advice)
    return Finding(level=Level.OK, tried="Python", found=found)


def _kernel() -> Finding:
    return Finding(level=Level.OK, tried="kernel", found=os.uname().release)


def _namespaces() -> Finding:
    tried = "user, pid and mount namespaces, by a real trial"
    problem = probe(Path(sys.executable)).failures["namespaces"]
    if problem is None:
        return Finding(level=Level.OK, tried=tried, found="a process can have its own")
    return Finding(
        level=Level.WARN,
        tried=tried,
        found=problem,
        advice="Runs are kept apart less. Allow unprivileged user namespaces (sysctl user.max_user_namespaces, "
        "kernel.apparmor_restrict_unprivileged_userns=0), or in a container a seccomp profile that permits unshare.",
    )


def _landlock() -> Finding:
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION_FLAG)
    found = f"ABI {version}" if version > 0 else f"not there ({os.strerror(ctypes.get_errno())})"
    return Finding(level=Level.OK, tried="Landlock (for information: not used yet)", found=found)


def _seccomp() -> Finding:
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text(encoding="ascii").strip()
    except OSError:
        actions = ""
    return Finding(level=Level.OK, tried="seccomp (for information: not used yet)", found=actions or "not there")


def _sqlite() -> Finding:
    level = Level.OK if sqlite3.sqlite_version_info >= MIN_SQLITE else Level.FAIL
    advice = "" if level is Level.OK else f"Needs {'.'.join(map(str, MIN_SQLITE))}: use a Python with a newer SQLite."
    return Finding(level=level, tried="SQLite", found=sqlite3.sqlite_version, advice=advice)


def _git() -> Finding:
    path = Settings().engine.path
    program = shutil.which("git", path=path)
    if program is None:
        advice = "Install git, or set engine.path; without it scripts have no history."
        return Finding(level=Level.WARN, tried="git", found=f"not in {path}", advice=advice)
    answer = subprocess.run(
        [program, "--version"], capture_output=True, timeout=5, check=False, stdin=subprocess.DEVNULL
    )
    return Finding(level=Level.OK, tried="git", found=f"{answer.stdout.decode().strip()} at {program}")


def _logout() -> Finding:
    tried = "whether logout ends background processes (systemd-logind, KillUserProcesses)"
    kills = logind.kills_user_processes()
    if kills is None:
        return Finding(level=Level.OK, tried=tried, found="no logind here")
    if not kills:
        return Finding(level=Level.OK, tried=tried, found="no")
    return Finding(
        level=Level.WARN,
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
    return Finding(level=Level.WARN if advice else Level.OK, tried="terminal", found=found, advice=advice)


def _owner(paths: EnginePaths) -> Finding:
    tried = f"who owns {paths.project}"
    if not paths.private.is_dir():
        return Finding(level=Level.OK, tried=tried, found="not a project yet: the first start makes one")
    info = paths.private.stat()
    found = f"{account_name(info.st_uid)}, mode {info.st_mode & 0o777:o}"
    if info.st_mode & 0o077:
        advice = f"Run: chmod 700 {paths.private}"
        return Finding(level=Level.FAIL, tried=tried, found=f"{found}: other accounts may look inside", advice=advice)
    return Finding(level=Level.OK, tried=tried, found=found)


def _settings(paths: EnginePaths) -> Finding:
    file = paths.private / "settings.toml"
    try:
        settings = Settings.load(file)
    except ConfigError as error:
        return Finding(level=Level.FAIL, tried="settings", found=error.message, advice=error.hint or "")
    return Finding(level=Level.OK, tried="settings", found=f"pool size {settings.pool.size} ({file})")


def _disk(paths: EnginePaths) -> Finding:
    usage = shutil.disk_usage(paths.project)
    found = f"{usage.free >> 20} MiB free, {usage.free / usage.total:.0%}"
    if usage.free < LOW_BYTES or usage.free < usage.total * LOW_SHARE:
        advice = "Free some space: below this, the engine may not be able to save."
        return Finding(level=Level.WARN, tried="disk space of the project", found=found, advice=advice)
    return Finding(level=Level.OK, tried="disk space of the project", found=found)


def _socket_place(paths: EnginePaths) -> Finding:
    tried = "a socket in the project"
    length = len(os.fsencode(paths.socket))
    note = f"{length} bytes of path" + ("" if length <= sockets.MAX_PATH else ", reached through its folder")
    if not os.access(paths.private, os.W_OK):
        return Finding(level=Level.OK, tried=tried, found=f"{note}; not tried: no folder to write to")
    trial = paths.private / f"doctor-{os.getpid()}.sock"
    try:
        sockets.bind(trial).close()
    except OSError as error:
        found = f"{error.strerror}; the engine uses {paths.fallback_socket(os.geteuid())}"
        return Finding(level=Level.WARN, tried=tried, found=found)
    trial.unlink()
    return Finding(level=Level.OK, tried=tried, found=f"works, {note}")


def _engine(paths: EnginePaths) -> Finding:
    tried = "the project's engine"
    if not engine_lives(paths.lifetime_lock):
        return Finding(
            level=Level.OK, tried=tried, found="does not run; it starts with the first command that needs it"
        )
    try:
        info = asyncio.run(_ask(paths.project))
    except (LaunchError, EngineError, EngineUnreachable) as error:
        found = f"{error.message} ({holder_of(paths.lifetime_lock)})"
        return Finding(level=Level.FAIL, tried=tried, found=found, advice=error.hint or "")
    found = f"version {info.version}, process {info.pid}, isolation: {info.isolation}"
    advice = " ".join(info.problems)
    return Finding(level=Level.WARN if advice else Level.OK, tried=tried, found=found, advice=advice)


async def _ask(project: Path) -> EngineInfo:
    client = await launch.connect(project, client="cli", start=False)
    try:
        return await client.engine_info()
    finally:
        await client.close()
