"""``run``, ``exec`` and ``eval`` as a shell sees them: output, exit codes, signals, pipes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import PATIENCE, CliProject, cli_project, ended, in_terminal, read_line, wait_until

WAITS = "import time\nprint('first', flush=True)\ntime.sleep(60)\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("cli") / "project", '[policy]\nmodules = ["sys"]\n') as made:
        yield made


def test_json_has_the_value_and_the_whole_run(project: CliProject) -> None:
    run = project.json("exec", "print('out'); import sys; print('err', file=sys.stderr); result = 1 + 1")
    assert run["value"] == 2
    assert run["result"] == "2"
    assert run["outcome"] == "ok"
    assert run["stdout"] == "out\n"
    assert run["stderr"] == "err\n"
    assert run["source"] == "cli"
    assert run["isolation"]
    assert run["error"] is None
    assert run["duration"] > 0


def test_output_and_result_go_to_stdout_and_nothing_else(project: CliProject) -> None:
    done = project.call("exec", "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c', end='')\nresult = [1]")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nc\n[1]\n", "b\n")


@pytest.mark.parametrize("code", ["result = None", "x = 1"])
def test_no_result_prints_nothing(project: CliProject, code: str) -> None:
    done = project.call("exec", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_eval_prints_its_value(project: CliProject) -> None:
    assert project.call("eval", "'a' * 3").stdout == "aaa\n"
    assert project.call("eval", "{'a': 1.5}").stdout == '{"a": 1.5}\n'
    assert project.call("eval", "--", "-1").stdout == "-1\n"


@pytest.mark.parametrize("arguments", [("exec",), ("exec", "-")])
def test_code_from_the_standard_input(project: CliProject, arguments: tuple[str, ...]) -> None:
    done = project.call(*arguments, stdin="for i in range(2):\n    print('é', i)\n")
    assert (done.returncode, done.stdout) == (0, "é 0\né 1\n")


def test_code_that_is_not_utf8_is_refused(project: CliProject) -> None:
    done = project.call("exec", stdin=b"print('\xe9')")
    assert done.returncode == 2
    assert "not UTF-8 (byte 7)" in done.stderr


def test_an_error_shows_the_scripts_own_lines(project: CliProject) -> None:
    done = project.call("exec", "def f():\n    return 1 / 0\nf()")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ZeroDivisionError" in done.stderr
    assert "line 2, in f" in done.stderr
    assert "ended with script_error" in done.stderr


def test_a_line_is_seen_before_the_run_ends_and_ctrl_c_stops_it(project: CliProject) -> None:
    process = project.popen("exec", WAITS)
    assert read_line(process) == "first\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130
    assert out == ""
    assert "ended with cancelled" in err
    assert project.newest_run()["outcome"] == "cancelled"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_that_is_ended_can_take_its_run_along(project: CliProject, number: signal.Signals, code: int) -> None:
    process = project.popen("exec", WAITS, "--cancel-on-exit")
    assert read_line(process) == "first\n"
    process.send_signal(number)
    got, _, err = ended(process)
    run = project.newest_run()
    assert (got, run["outcome"]) == (code, "cancelled"), err
    assert f"ended by {number.name}; run {run['id']} was cancelled" in err


def test_else_the_run_goes_on_and_is_named(project: CliProject) -> None:
    process = project.popen("exec", WAITS)
    assert read_line(process) == "first\n"
    process.send_signal(signal.SIGTERM)
    got, _, err = ended(process)
    run = project.newest_run()
    assert (got, run["state"]) == (-signal.SIGTERM, "running")
    assert f"run {run['id']} may go on: gatewright runs show {run['id']}" in err
    again = project.popen("exec", WAITS)
    assert read_line(again) == "first\n"
    again.send_signal(signal.SIGHUP)
    assert ended(again)[0] == -signal.SIGHUP
    newest = project.newest_run()
    assert newest["state"] == "running"
    project.call("runs", "cancel", str(run["id"]), str(newest["id"]))


def test_a_replay_can_be_ended_with_its_command(project: CliProject) -> None:
    first = project.popen("exec", WAITS, "--cancel-on-exit")
    assert read_line(first) == "first\n"
    first.terminate()
    ended(first)
    process = project.popen("runs", "replay", str(project.newest_run()["id"]), "--cancel-on-exit", "--json")
    wait_until(lambda: project.newest_run()["state"] == "running", "the replay runs")
    process.send_signal(signal.SIGTERM)
    code, out, _ = ended(process)
    assert (code, json.loads(out)["outcome"]) == (143, "cancelled")


def test_the_second_ctrl_c_leaves_at_once(project: CliProject) -> None:
    """Nobody reads our output: the first Ctrl+C cannot get through, the second one must."""
    process = project.popen("exec", "while True: print('x' * 1000)", "--timeout", "20")
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE)[0]
    assert os.read(process.stdout.fileno(), 1) == b"x"
    wait_until(lambda: _sleeps_in_write(process.pid), "the command waits for its reader")
    presses = 0
    while process.poll() is None and presses < 20:
        process.send_signal(signal.SIGINT)  # two at the same instant would be one to the kernel
        presses += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    code, _, told = ended(process)
    assert code == 130
    assert presses > 1
    assert f"gatewright runs show {project.newest_run()['id']}" in told


def _sleeps_in_write(pid: int) -> bool:
    """Whether the process sleeps in write(2) to its stdout (proc(5): the syscall's number, then its arguments).

    One that only lost the processor in the middle of the call shows the call, too, but does not sleep.
    """
    if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "S":
        return False
    number, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
    return number == "1" and int(arguments[0], 16) == 1


def test_timeout(project: CliProject) -> None:
    done = project.call("exec", "while True: pass", "--timeout", "0.3")
    assert done.returncode == 124
    assert "ended with timeout" in done.stderr


def test_a_timeout_that_makes_no_sense_is_usage(project: CliProject) -> None:
    assert project.call("exec", "1", "--timeout", "-1").returncode == 2


def test_a_reader_that_leaves_ends_the_run_quietly(project: CliProject) -> None:
    process = project.popen("exec", "import time\nwhile True:\n    print('line')\n    time.sleep(0.01)")
    assert read_line(process) == "line\n"
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    code, _, err = ended(process)
    assert code == 130
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert project.newest_run()["outcome"] == "cancelled"


@pytest.mark.parametrize("arguments", ["--help", "exec --help", "runs list", "scripts show defaults/tour"])
def test_a_reader_that_never_reads_is_left_quietly(project: CliProject, arguments: str) -> None:
    command = subprocess.list2cmdline(project.command()) + f" {arguments}"
    done = subprocess.run(f"{command} | true", shell=True, capture_output=True, timeout=PATIENCE, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize("arguments", [["--help"], ["eval", "1"], ["runs", "list"]])
def test_a_full_disk_behind_stdout_is_said(project: CliProject, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            project.command(*arguments), stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_pipeline_works(project: CliProject) -> None:
    command = subprocess.list2cmdline(project.command("exec", "print('b'); print('a')"))
    done = subprocess.run(f"{command} | sort", shell=True, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "a\nb\n"


def test_a_pipe_gets_the_scripts_bytes_and_a_terminal_does_not(project: CliProject) -> None:
    code = r"print('\x1b]0;title\x07 é')"
    assert project.call("exec", code).stdout == "\x1b]0;title\x07 é\n"
    status, shown = in_terminal(project.command("exec", code))
    assert status == 0
    assert r"\x1b]0;title\x07 é" in shown
    assert "\x1b" not in shown


def test_admin_mode_is_refused_with_a_sentence(project: CliProject) -> None:
    done = project.call("exec", "1", "--mode", "admin")
    assert done.returncode == 4
    assert "RESTRICTED" in done.stderr


def test_refusals_are_json_too(project: CliProject) -> None:
    done = project.call("--json", "run", "nothing_like_it")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert answer["success"] is False
    assert answer["code"] == "no_script"


ROWS = "result = {'rows': [{'tank': f'T{n}', 'level': n * 1.5, 'note': 'é' * 30} for n in range(3)], 'more': 0}"


def test_a_terminal_shows_progress_and_nothing_of_it_stays(project: CliProject) -> None:
    code = (
        "import gatewright\ngatewright.progress(3, 10, 'reading')\n"
        "for _ in range(20): gatewright.runs.current()\n"  # by then the engine has told it
        "print('half'); gatewright.progress(10, 10)\nresult = 7"
    )
    status, shown = in_terminal(project.command("exec", code))
    assert status == 0
    assert "\r3 of 10, 30 %  reading\x1b[K" in shown
    assert "\r\x1b[Khalf" in shown, "the line is the script's again"
    assert shown.rstrip().endswith("7")
    piped = project.call("exec", code)
    assert (piped.stdout, piped.stderr) == ("half\n7\n", "")


def test_a_result_is_laid_out_on_a_terminal_and_json_in_a_pipe(project: CliProject) -> None:
    code, shown = in_terminal(project.command("exec", ROWS))
    table = "rows:\r\n  tank  level  note\r\n  T0      0.0  " + "é" * 30 + "\r\n"
    assert (code, shown.startswith(table), shown.endswith("\r\nmore: 0\r\n")) == (0, True, True), shown
    piped = project.call("exec", ROWS).stdout
    assert json.loads(piped)["rows"][2] == {"tank": "T2", "level": 3.0, "note": "é" * 30}
    run_id = str(project.newest_run()["id"])
    assert table in in_terminal(project.command("runs", "show", run_id))[1]
    assert piped in project.call("runs", "show", run_id).stdout
    assert in_terminal(project.command("runs", "replay", run_id))[1].startswith(table)
    narrow = in_terminal(project.command("exec", ROWS), columns=30)[1]
    assert "…" in narrow
    assert "--json" in narrow
    assert json.loads(in_terminal(project.command("exec", "--json", ROWS))[1])["value"]["more"] == 0


def test_failures_are_marked_and_red_on_a_terminal_only(project: CliProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = in_terminal(project.command("exec", "1/0", "--project", str(project.root)))[1]
    assert "\x1b[31mgatewright: run " in shown
    project.call("exec", "result = 1")
    listed = project.command("runs", "list", "-n", "2")
    good, bad = in_terminal(listed)[1].splitlines()[1:3]
    assert bad.startswith("\x1b[31m")
    assert bad.endswith("\x1b[39m")
    assert ("! script_error" in bad, "\x1b" in good, "!" in good) == (True, False, False)
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            plain = in_terminal(listed)[1]
        assert ("\x1b" in plain, "! script_error" in plain) == (False, True)
    piped = project.call("runs", "list", "-n", "2").stdout
    assert ("\x1b" in piped, "!" in piped) == (False, False)


REPORT = """
print("the report")
result = {f"key {number}": "x" * 40 for number in range(12)}
"""


def test_on_a_terminal_a_long_result_does_not_push_the_report_out_of_sight(project: CliProject) -> None:
    code, shown = in_terminal(project.command("exec", REPORT))
    run_id = str(project.newest_run()["id"])
    assert (code, shown.splitlines()) == (
        0, ["the report", f"gatewright: the result has 12 lines: gatewright runs show {run_id}"],
    )  # fmt: skip
    assert "key 11: " in in_terminal(project.command("runs", "show", run_id))[1]
    assert "key 11" in project.call("exec", REPORT).stdout
    assert "key 11: " in in_terminal(project.command("exec", REPORT.replace("print", "str")))[1]
