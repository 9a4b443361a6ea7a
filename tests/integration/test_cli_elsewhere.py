"""Scripts from elsewhere on the command line: arguments behind --, the script's own exit status, what is piped in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account_support import environment, ordinary_account
from cli_support import PATIENCE, CliProject, cli_project

ARGUMENTS = "from dataclasses import sys\nresult = sys.argv[1:]\n"
ENDS = "from dataclasses import sys\nsys.exit(int(sys.argv[1]))\n"
COUNTS = "result = sum(1 for _ in open(0))\n"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("elsewhere") / "plant") as project:
        project.script("arguments.py", ARGUMENTS)
        project.script("ends.py", ENDS)
        project.script("night/counts.py", COUNTS)
        yield project


def test_what_stands_behind_the_dashes_is_the_scripts(cli: CliProject) -> None:
    done = cli.call("run", "arguments", "--timeout", "20", "--", "--timeout", "5", "-p", "x")
    assert (done.returncode, done.stdout) == (0, '["--timeout", "5", "-p", "x"]\n'), done.stderr
    assert cli.call("exec", "-", "--", "a", stdin=ARGUMENTS).stdout == '["a"]\n'
    assert cli.call("eval", "__import__('dataclasses').sys.argv", "--", "a").stdout == '["-c", "a"]\n'


def test_the_exit_status_is_told_and_passed_on_if_asked(cli: CliProject) -> None:
    told = cli.call("run", "ends", "--", "3")
    assert told.returncode == 1
    assert "exit status 3" in told.stderr
    assert cli.call("run", "ends", "--exit-status", "--", "3").returncode == 3
    assert cli.call("exec", "--exit-status", "while True: pass", "--timeout", "0.2").returncode == 124
    assert cli.call("run", "ends", "--exit-status", "--", "300", "--json").returncode == 300 & 0xFF
    number = str(cli.newest_run()["id"])
    assert cli.newest_run()["exit_status"] == 44
    assert "script_error (44)" in cli.call("runs", "list", "-n", "1").stdout
    shown = cli.call("runs", "show", number).stdout
    assert "exit       44" in shown
    assert "arguments  300 --json" in shown
    assert cli.call("runs", "replay", number, "--exit-status").returncode == 44


def test_a_crash_is_passed_on_as_a_shell_does_it(cli: CliProject) -> None:
    code = "from dataclasses import sys\nsys.modules['os'].abort()"
    done = cli.call("exec", "--exit-status", code)
    assert done.returncode == 128 + cli.newest_run()["signal"], done.stderr


def test_what_is_piped_in_reaches_the_script_only_if_asked(cli: CliProject) -> None:
    dropped = cli.call("run", "night/counts", stdin="a\nb\n")
    assert (dropped.returncode, dropped.stdout) == (1, "")
    assert "--stdin" in dropped.stderr
    assert "--file NAME=-" in dropped.stderr
    assert cli.call("run", "night/counts", "--stdin", stdin="a\nb\n").stdout == "2\n"
    assert cli.call("run", "night/counts", "--stdin", stdin="").stdout == "0\n"
    assert cli.call("exec", "result = params['log'].size", "--file", "log=-", stdin="abc").stdout == "3\n"
    number = str(cli.newest_run()["id"] - 1)
    assert "stdin" in cli.call("runs", "show", number).stdout


def test_only_one_may_have_the_standard_input(cli: CliProject) -> None:
    for arguments in (("exec", "-", "--stdin"), ("run", "night/counts", "--stdin", "--file", "x=-")):
        done = cli.call(*arguments, stdin="1")
        assert (done.returncode, "only one of them" in done.stderr) == (2, True)


def test_a_closed_standard_input_is_said(cli: CliProject) -> None:
    for words in (
        ("run", "night/counts", "--stdin"),
        ("run", "night/counts", "--file=x=-"),
        ("run", "night/counts", "--param-file=x=-"),
        ("scripts", "check", "-"),
        ("scripts", "new", "day/made", "--from", "-"),
    ):
        line = " ".join(cli.command(*words))
        done = subprocess.run(f"{line} <&-", shell=True, capture_output=True, timeout=PATIENCE, check=False)
        assert (done.returncode, b"standard input is closed" in done.stderr) == (2, True), done.stderr
    line = " ".join(cli.command("scripts", "delete", "arguments.py"))
    asked = subprocess.run(f"{line} <&-", shell=True, capture_output=True, timeout=PATIENCE, check=False)
    assert (asked.returncode, b"no terminal to ask at" in asked.stderr) == (2, True), asked.stderr


def test_nothing_of_a_pipe_is_taken_without_asking(cli: CliProject) -> None:
    """In a loop over lines, in cron and under service managers a run neither takes the next line nor waits."""
    read, write = os.pipe()
    os.write(write, b"next\n")
    done = subprocess.run(
        cli.command("run", "arguments"), stdin=read, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"[]\n")
    assert os.read(read, 10) == b"next\n"
    os.close(read)
    os.close(write)


def test_exec_says_what_to_do_with_a_file(cli: CliProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "check.py").write_text('print("hi")\n')
    done = cli.call("exec", "check.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "exec - < check.py" in done.stderr
    assert "scripts import check.py" in done.stderr
    missing = cli.call("exec", "./nothing.py")
    assert (missing.returncode, "there is none" in missing.stderr) == (2, True)
    assert cli.call("exec", "class x: py = 1\nresult = x.py").stdout == "1\n"
    (tmp_path / "check.py").unlink()
    own = cli.call("exec", str(cli.root / "scripts/night/counts.py"))
    assert (own.returncode, "run night/counts.py" in own.stderr) == (2, True)


def test_commands_know_a_script_by_the_path_of_its_file(
    cli: CliProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cli.root / "scripts" / "night")
    for line in (
        ("scripts", "duplicate", "./counts.py", "./copied.py"),
        ("scripts", "rename", "./copied.py", str(cli.root / "scripts/night/moved.py")),
        ("scripts", "delete", "./moved.py", "--yes"),
        ("scripts", "restore", "./moved.py"),
    ):
        done = cli.call(*line)
        assert done.returncode == 0, (line, done.stderr)
    assert cli.json("runs", "list", "--name", "./counts.py")["runs"]
    outside = cli.call("scripts", "show", "./nothing.py", "--json")
    assert (outside.returncode, '"code":"no_script"' in outside.stdout) == (2, True)
    (tmp_path / "other.py").write_text("")
    refused = cli.call("run", str(tmp_path / "other.py"))
    assert (refused.returncode, "scripts import" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_secret_arguments_are_asked_for_by_a_replay(cli: CliProject) -> None:
    assert cli.call("run", "arguments", "--", "--password", "hunter2").returncode == 0
    number = str(cli.newest_run()["id"])
    shown = cli.call("runs", "show", number).stdout
    assert "--password '***'" in shown
    asked = cli.call("runs", "replay", number)
    assert asked.returncode != 0
    assert "argv2_password" in asked.stderr
    done = cli.call("runs", "replay", number, "--param-file", "argv2_password=-", stdin="hunter2\n")
    assert done.stdout == '["--password", "hunter2"]\n', done.stderr


@pytest.mark.slow
def test_an_ordinary_accounts_scripts_have_all_that_too() -> None:
    with ordinary_account() as account:
        project = account.folder("plant")

        def call(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
            command = account.command("--project", str(project), *arguments)
            where: dict[str, Any] = {"cwd": "/", "env": environment(), "timeout": PATIENCE}
            return subprocess.run(command, input=data, capture_output=True, check=False, **where)

        started = call("engine", "start")
        assert started.returncode == 0, started.stderr
        try:
            (project / "scripts" / "counts.py").write_text(f"{COUNTS}result = [result, __file__]\n")
            for mode in ("restricted", "admin"):
                refused = call("run", "counts", "--mode", mode, data=b"a\nb\n")
                assert (refused.returncode, b"--stdin" in refused.stderr) == (1, True), refused.stderr
                done = call("run", "counts", "--mode", mode, "--stdin", data=b"a\nb\n")
                assert done.stdout.decode() == f'[2, "{project}/scripts/counts.py"]\n', done.stderr
        finally:
            call("engine", "stop", "--force")
