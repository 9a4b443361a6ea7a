"""Starting, stopping and not reaching the engine, as the command line tells it."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cli_support import PATIENCE, PROGRAM, CliProject, cli_project, ended, in_terminal, read_line, wait_until

SLEEPS = "import time\nprint('begun', flush=True)\ntime.sleep(60)"


def test_the_start_of_the_engine_makes_the_project(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    root.mkdir()
    project = CliProject(root)
    try:
        done = project.call("engine", "start")
        assert done.returncode == 0, done.stderr
        assert f"made a project in {root}" in done.stderr
        assert project.call("eval", "6 * 7").stdout == "42\n"
        assert stat.S_IMODE((root / ".gatewright").stat().st_mode) == 0o700
        assert "defaults/log_digest" in project.call("scripts", "list").stdout
        assert "made a project" not in project.call("engine", "start").stderr
    finally:
        project.call("engine", "stop", "--force")


def test_the_project_around_the_current_folder_is_meant(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        inner = project.root / "scripts" / "own"
        inner.mkdir(parents=True)
        done = subprocess.run(
            [PROGRAM, "--json", "engine", "status"], cwd=inner, capture_output=True, text=True, check=True
        )
        assert f'"project":"{project.root}"' in done.stdout


def test_start_status_stop(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    root.mkdir()
    (root / ".gatewright").mkdir(mode=0o700)
    project = CliProject(root)
    none = project.call("engine", "status")
    assert none.returncode == 3
    assert "No engine runs" in none.stderr
    pid = project.json("engine", "start")["pid"]
    try:
        assert project.json("engine", "start")["pid"] == pid
        status = project.json("engine", "status")
        assert status["engine"]["pid"] == pid
        assert len(status["pool"]["slots"]) == status["pool"]["size"] == 3
    finally:
        stopped = project.json("engine", "stop", "--force")
    assert stopped == {"project": str(root), "stopped": True}
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the engine is gone")
    assert project.json("engine", "stop")["stopped"] is False


def test_a_busy_engine_stops_only_by_force(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        process = project.popen("exec", SLEEPS)
        assert read_line(process) == "begun\n"
        refused = project.call("engine", "stop")
        assert refused.returncode == 5
        assert project.call("engine", "stop", "--force").returncode == 0
        code, _, err = ended(process)
        assert code in (1, 3)
        assert "Traceback" not in err


@pytest.mark.slow
def test_an_engine_killed_during_a_run_is_told(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        pid = project.json("engine", "status")["engine"]["pid"]
        process = project.popen("exec", "import time\nfor n in range(600):\n    print(n)\n    time.sleep(0.1)")
        assert [read_line(process) for _ in range(10)] == [f"{n}\n" for n in range(10)]
        os.kill(pid, signal.SIGKILL)
        code, out, err = ended(process)
        run = project.newest_run()
        assert code == 1
        assert f"run {run['id']} (<exec>) ended with interrupted" in err
        assert "The engine stopped before this run had ended." in err
        assert out.splitlines() == [f"{n}" for n in range(10, 10 + len(out.splitlines()))], "nothing twice or left out"
        assert run["outcome"] == "interrupted"
        kept = project.call("runs", "output", str(run["id"])).stdout
        assert kept.startswith("0\n1\n2\n3\n"), "output is recorded within a fraction of a second"


@pytest.mark.slow
def test_an_engine_killed_before_it_recorded_a_run_leaves_no_doubt_about_that(tmp_path: Path) -> None:
    """Also that the number it had told is no other run's."""
    with cli_project(tmp_path / "plant") as project:
        assert project.call("exec", "result = 1").returncode == 0
        pid = project.json("engine", "status")["engine"]["pid"]
        database = sqlite3.connect(project.root / ".gatewright/state.db")
        wait_until(lambda: database.execute("SELECT count(*) FROM run").fetchone() == (1,), "the first run is recorded")
        with closing(database) as other, held(other):
            process = project.popen("exec", SLEEPS)
            assert read_line(process) == "begun\n"
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the engine is gone")
        code, out, err = ended(process)
        assert (code, out) == (3, "")
        assert "The engine ended before it had recorded run 2: how far that came is not known." in err
        assert [run["id"] for run in project.json("runs", "list")["runs"]] == [1]
        assert project.call("runs", "show", "2").returncode == 2
        assert project.json("exec", "result = 1")["id"] == 3


@contextmanager
def held(database: sqlite3.Connection) -> Iterator[None]:
    """Keep the engine from committing."""
    database.isolation_level = None
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")


def test_an_engine_that_dies_before_it_answers_is_told_in_our_words(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        pid = project.json("engine", "status")["engine"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            waiting = [project.popen(*words) for words in (("runs", "list"), ("exec", "1"), ("scripts", "list"))]
            wait_until(lambda: connections(project.root) >= len(waiting), "the commands are connected")
        finally:
            os.kill(pid, signal.SIGKILL)
        for process in waiting:
            code, out, err = ended(process)
            assert (code in (0, 3), "Traceback" in err, "event type" in out + err) == (True, False, False), err


def connections(root: Path) -> int:
    """How many clients are connected to the project's socket or wait for that (proc_net_unix(5))."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(f"{root}/.gatewright/engine.sock") for line in lines) - 1


def test_serve_is_the_engine_itself(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    project = CliProject(root)
    process = project.popen("engine", "serve")
    try:
        wait_until(lambda: project.call("engine", "status").returncode == 0, "the engine answers")
        assert project.json("engine", "status")["engine"]["pid"] == process.pid
    finally:
        process.terminate()
        code, _, err = ended(process)
    assert code == 0, err


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    private = tmp_path / "plant" / ".gatewright"
    private.mkdir(parents=True, mode=0o700)
    settings = private / "settings.toml"
    settings.write_text("[pool]\nsize = 99\n")
    settings.chmod(0o600)
    done = CliProject(tmp_path / "plant").call("eval", "1")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "size" in done.stderr
    assert "3 to 20" in done.stderr


def test_a_folder_that_is_not_there_is_usage(tmp_path: Path) -> None:
    done = CliProject(tmp_path / "none").call("eval", "1")
    assert done.returncode == 2
    assert "no folder" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_users_project_is_refused() -> None:
    """The interpreter may be out of the other account's reach: everything is loaded before this process becomes it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        Path(place, ".gatewright").mkdir(mode=0o700)
        code = f"""
import os, encodings.idna, tui.cli, tui.commands.run, tui.commands.following, tui.commands.session, tui.commands.uploads
import importlib.metadata, asyncio.unix_events, asyncio.runners
os.setgroups([]); os.setgid(65534); os.setuid(65534)
tui.cli.main(["--project", {place!r}, "eval", "1"])
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/"
        )
    assert done.returncode == 4, done.stderr
    assert "This project belongs to root" in done.stderr


def test_doctor_reports_and_is_json_too(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        told = project.call("doctor")
        assert told.returncode == 0, told.stderr
        findings = project.json("doctor")["findings"]
        assert {finding["level"] for finding in findings} <= {"ok", "warn", "fail"}
        assert len(findings) > 5
        assert all(f"{finding['tried']}: {finding['found']}" in told.stdout for finding in findings[:5])
        status, shown = in_terminal(project.command("doctor"))
        assert status == 0
        assert max(map(len, shown.splitlines())) <= 80
