"""Starting, stopping and not reaching the engine, as the command line tells it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
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


def test_an_engine_killed_during_a_run_is_told(tmp_path: Path) -> None:
    with cli_project(tmp_path / "plant") as project:
        pid = project.json("engine", "status")["engine"]["pid"]
        process = project.popen("exec", "import time\nfor n in range(600):\n    print(n)\n    time.sleep(0.1)")
        assert [read_line(process) for _ in range(10)] == [f"{n}\n" for n in range(10)]
        os.kill(pid, signal.SIGKILL)
        code, _, err = ended(process)
        assert code == 3
        assert "stopped answering" in err
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the engine is gone")
        run = project.newest_run()
        assert run["outcome"] == "interrupted"
        kept = project.call("runs", "output", str(run["id"])).stdout
        assert kept.startswith("0\n1\n2\n3\n"), "output is recorded within a fraction of a second"


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
