"""Bad input through the real daemon and command line: each ends with one clear answer, and the next run is right.

Also what many runs must not do: change a later one, pile up in memory, leave descriptors or processes behind.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account_support import ordinary_account
from cli_support import CliProject, cli_project, in_terminal
from daemon_support import ProjectUnderTest, alive, family, line_of, listens, wait_for, write_settings

from engine.client import launch
from engine.client.answers import EngineError
from engine.models.engine import ResizeRequest
from engine.models.runs import Outcome, RunInfo, RunKind, RunRequest, Stream
from engine.registry.engine import POOL_INFO, POOL_RESIZE
from engine.registry.runs import RUNS_GET, RUNS_OUTPUT, RUNS_START, OutputParams, RunParams, StartParams

MIB = 1 << 20
SETTINGS = """
[policy]
modules = ["os", "sys", "signal", "ctypes", "builtins", "threading"]
lifted = ["ctypes", "threading"]
admin_as_root = true
"""
"""The import rule out of the way: these tests look at what comes after it."""


class Caller:
    """Calls the command line on one project, as whoever it is."""

    def __init__(self, project: ProjectUnderTest) -> None:
        self.project = project

    def call(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = CliProject(self.project.root).command(*arguments)
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)

    def run(self, code: str | bytes, *options: str) -> dict[str, Any]:
        """Run ``code`` by ``exec --json``; the run, with ``exit`` as the command's exit code."""
        data = code.encode("utf-8", "surrogatepass") if isinstance(code, str) else code
        done = self.call("--json", "exec", "-", *options, stdin=data)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer | {"exit": done.returncode}

    def newest_run(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.call("--json", "runs", "list", "-n", "1").stdout)["runs"]
        return listed

    def check_innocent(self) -> None:
        done = self.run("import math\nresult = [len('abc'), math.isqrt(144)]")
        assert (done["outcome"], done["value"]) == ("ok", [3, 12])


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    root = tmp_path_factory.mktemp("bad") / "plant"
    with cli_project(root, SETTINGS):
        yield Caller(ProjectUnderTest(root))


NOT_JSON = {
    "NaN": ("result = float('nan')", None, "NaN to null"),
    "an infinity": ("result = [1e400]", [None], "infinity to null"),
    "a set": ("result = {1}", [1], "set to list"),
    "bytes": ("result = b'abc'", "YWJj", "bytes to base64 text"),
    "itself": ("result = []\nresult.append(result)", ["<list that holds itself>"], "a value that holds itself to text"),
    "a lone surrogate": ("result = '\\udfff'", "\\udfff", "lone surrogate to escapes"),
    "a repr that fails": (
        "class A:\n def __repr__(self): raise SystemExit\nresult = [A(), 1]",
        ["<A object whose repr() raised SystemExit>", 1],
        "A to text",
    ),
}


@pytest.mark.parametrize("kind", NOT_JSON)
def test_a_result_that_json_cannot_carry_is_converted_and_the_note_tells(caller: Caller, kind: str) -> None:
    code, value, change = NOT_JSON[kind]
    done = caller.run(code)
    assert (done["exit"], done["outcome"], done["has_value"]) == (0, "ok", True)
    assert done["value"] == value
    assert change in done["note"]


def test_a_result_of_10_000_levels_is_cut_and_one_that_only_repr_knows_is_text(caller: Caller) -> None:
    deep = caller.run("result = []\nfor _ in range(10_000): result = [result]")
    assert (deep["outcome"], deep["has_value"]) == ("ok", True)
    assert "more than 200 levels deep" in deep["note"]
    plain = caller.run("result = object()")
    assert (plain["outcome"], plain["has_value"]) == ("ok", False)
    assert plain["note"].endswith("so it is shown as text only.")


BAD_CODE = {
    "syntax": (b"def f(:", "SyntaxError", "invalid syntax"),
    "tabs and spaces": (b"if 1:\n\tx=1\n        y=2", "TabError", "inconsistent use of tabs"),
    "NUL": (b"x = 1\0\nresult = 2", "SyntaxError", "NUL character in line 1"),
    "nesting": (b"(" * 5_000 + b")" * 5_000, "SyntaxError", "too many nested parentheses"),
}


@pytest.mark.parametrize("kind", BAD_CODE)
def test_code_that_is_no_python_fails_as_the_scripts_own_error(caller: Caller, kind: str) -> None:
    code, error, message = BAD_CODE[kind]
    done = caller.run(code)
    assert (done["exit"], done["outcome"], done["error"]["type"]) == (1, "script_error", error)
    assert message in done["error"]["message"]
    caller.check_innocent()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (b"x = 1\n" * (16 * MIB // 6 + 1), b"The request is larger than 16 MiB."),
        (b"x = 1\n" * (3 * MIB // 2 // 6), b"The code has 1.5 MiB; the limit is 1 MiB."),
        (b"x = '\xff'", b"is not UTF-8"),
        (b"", b"There is no code to run."),
    ],
    ids=["16 MiB", "1.5 MiB", "not UTF-8", "nothing"],
)
def test_code_that_cannot_be_a_run_is_refused_before_one(caller: Caller, code: bytes, sentence: bytes) -> None:
    before = caller.newest_run()
    done = caller.call("exec", "-", stdin=code)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr
    assert caller.newest_run() == before


def test_code_just_below_the_limit_runs(caller: Caller) -> None:
    done = caller.run(b"x = 1\n" * ((MIB - 20) // 6) + b"result = x")
    assert done["value"] == 1


@pytest.mark.parametrize("script", ["no/such", "../../etc/passwd", "", "a\udcffb", "/etc/passwd", ".git/config"])
def test_an_unknown_script_is_named(caller: Caller, script: str) -> None:
    done = caller.call("run", "--", os.fsencode(script).decode("utf-8", "surrogateescape"))
    assert done.returncode == 2
    assert done.stderr.startswith(b"gatewright: ")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e9"])
def test_a_timeout_that_is_none_is_refused(caller: Caller, timeout: str) -> None:
    done = caller.call("exec", "result = 1", f"--timeout={timeout}")
    assert (done.returncode, done.stdout) == (2, b"")


async def test_pool_sizes_out_of_range_change_nothing(caller: Caller) -> None:
    client = await launch.connect(caller.project.root, client="cli")
    for size in (-1, 0, 2, 21, 99, 10**30):
        with pytest.raises(EngineError, match="The pool's size must be 3 to 20, not"):
            await client.call(POOL_RESIZE, body=ResizeRequest(size=size))
    assert (await client.call(POOL_INFO)).size == 3
    await client.close()


@pytest.mark.parametrize("name", ["x" * 300, "a\nb", "\x1b[31m", "a\u202eb"])
async def test_a_name_that_no_list_could_show_is_refused(caller: Caller, name: str) -> None:
    client = await launch.connect(caller.project.root, client="cli")
    with pytest.raises(EngineError, match="The name of a run must be printable and at most 255 characters long"):
        await client.call(RUNS_START, StartParams(), RunRequest(kind=RunKind.EXEC, code="result = 1", name=name))
    await client.close()


def test_lone_surrogates_in_output_come_as_escapes(caller: Caller) -> None:
    done = caller.run("import sys\nprint('a\\ud800b')\nprint('c\\udfffd', file=sys.stderr)")
    assert (done["stdout"], done["stderr"]) == ("a\\ud800b\n", "c\\udfffd\n")


def test_control_sequences_reach_a_pipe_as_they_are_and_no_terminal(caller: Caller) -> None:
    code = "print('\\x1b[31mred\\x07\\x9b')"
    assert caller.call("exec", code).stdout == "\x1b[31mred\x07\x9b\n".encode()
    _, shown = in_terminal(CliProject(caller.project.root).command("exec", code))
    assert "red" in shown
    assert not any(control in shown for control in ("\x1b[31m", "\x07", "\x9b"))


MUCH = {
    "lines": "for _ in range(100_000): print('x' * 99)\nprint('the end')",
    "one line": "print('x' * 30_000_000, 'the end')",
    "the descriptor": "import os\nfor _ in range(30): os.write(1, b'x' * 1_000_000)\nos.write(1, b'the end\\n')",
}


@pytest.mark.slow
def test_much_output_is_cut_in_the_middle_and_does_not_stay_in_memory(caller: Caller) -> None:
    caller.run(MUCH["lines"])
    pid = caller.project.engine_pid
    before = resident(pid)
    for code in MUCH.values():
        done = caller.run(code)
        assert (done["exit"], done["outcome"], done["output_complete"]) == (0, "ok", False)
        assert MIB <= len(done["stdout"]) < MIB + 200
        assert done["stdout"].endswith("the end\n")
        head, _, tail = re.split(r"^(\[.* missing here: .* its limit, 1 MiB .*\n)", done["stdout"], flags=re.MULTILINE)
        assert min(len(head), len(tail)) > MIB // 2 - 200, "half of it before the line and half behind it"
        assert "from the middle of the output are not kept" in done["note"]
    assert resident(pid) - before < 16 * MIB
    caller.check_innocent()


def test_whoever_reads_along_gets_the_whole_output(caller: Caller) -> None:
    """Six times at once: what comes while the reader is busy is easily forgotten."""
    command = CliProject(caller.project.root).command("exec", "for _ in range(16): print('x' * 65_000)")
    readers = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(6)]
    assert [len(reader.communicate(timeout=60)[0]) for reader in readers] == [16 * 65_001] * 6


ENDINGS = {
    "closing every descriptor": ("import os\nos.closerange(0, 256)\nwhile True: pass", "protocol", 1),
    "closing every descriptor and leaving": ("import os\nos.closerange(0, 256)\nos._exit(3)", "exited", 1),
    "forged frames": ("import os\nos.write(3, b'\\xff' * 64)\nwhile True: pass", "protocol", 1),
    "os._exit": ("import os\nos._exit(0)", "exited", 1),
    "a fatal signal": ("import ctypes\nctypes.string_at(0)", "crashed", 1),
    "sys.exit": ("import sys\nsys.exit(3)", "script_error", 1),
    "memory": ("x = []\nwhile True: x.append(bytearray(10**7))", "memory", 1),
    "too large a result": ("result = 'x' * (2 << 20)", "script_error", 1),
    "endless recursion": ("def f(): f()\nf()", "script_error", 1),
    "standard input": ("input()", "script_error", 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_hostile_ending_is_its_own_outcome_and_nobody_elses(caller: Caller, kind: str) -> None:
    code, outcome, exit_code = ENDINGS[kind]
    done = caller.run(code, "--timeout=10")
    assert (done["outcome"], done["exit"]) == (outcome, exit_code), done["error"]
    caller.check_innocent()


RUNAWAYS = {
    "a fork bomb": """
import os
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
""",
    "one long operation": "9**9**9",
    "blocked signals": "import signal as s\ns.pthread_sigmask(s.SIG_BLOCK, s.valid_signals())\nwhile True: pass",
    "a loop that catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
}


@pytest.mark.parametrize("kind", RUNAWAYS)
def test_a_runaway_is_stopped_at_its_timeout_and_nothing_is_left(caller: Caller, kind: str) -> None:
    pid = caller.project.engine_pid
    wait_for(lambda: idle(caller))
    before = len(family(pid))
    done = caller.run(RUNAWAYS[kind], "--timeout=0.5")
    assert (done["exit"], done["outcome"]) == (124, "timeout")
    assert 0.5 <= done["duration"] < 20
    caller.check_innocent()
    wait_for(lambda: idle(caller) and len(family(pid)) <= before)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are those of an ordinary account already")
@pytest.mark.parametrize(
    "kind", ["a fork bomb", *(pytest.param(kind, marks=pytest.mark.slow) for kind in RUNAWAYS if "bomb" not in kind)]
)
def test_an_ordinary_accounts_runaway_is_stopped_too(kind: str) -> None:
    with ordinary_account() as account:
        project = ProjectUnderTest(account.folder("plant"))
        write_settings(project.root, SETTINGS)
        account.own(project.root / ".gatewright")
        try:
            started = account.call("--project", str(project.root), "engine", "start")
            assert started.returncode == 0, started.stderr
            status = ("--json", "--project", str(project.root), "engine", "status")
            wait_for(lambda: at_rest(account.call(*status).stdout))
            before = len(account.processes())
            done = account.call("--project", str(project.root), "exec", "--timeout=0.5", RUNAWAYS[kind])
            assert done.returncode == 124
            assert account.call("--project", str(project.root), "exec", "result = 1 + 1").stdout == "2\n"
            wait_for(lambda: at_rest(account.call(*status).stdout) and len(account.processes()) <= before)
            account.call("--project", str(project.root), "engine", "stop")
            wait_for(lambda: not account.processes())
        finally:
            project.end()


PATCHES = """
import builtins, json, os, sys, threading, time
builtins.len = lambda thing: 99
json.dumps = None
os.environ.clear()
os.environ["LEFT"] = "behind"
open("left-behind", "w").close()
os.chdir("/")
sys.path.clear()
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
result = "patched"
"""
INTACT = """
import json, os, sys, threading
result = [len("ab"), json.dumps([1]), os.environ.get("LEFT"), os.getcwd() != "/", os.listdir("."), len(sys.path) > 1,
          threading.active_count()]
"""


async def test_two_hundred_runs_that_patch_everything_change_nothing_for_the_next(caller: Caller) -> None:
    client = await launch.connect(caller.project.root, client="cli")
    for _ in range(200):
        ended = [item async for item in client.run_and_follow(RunRequest(kind=RunKind.EXEC, code=PATCHES))][-1]
        assert isinstance(ended, RunInfo)
        assert (ended.outcome, ended.value) == (Outcome.OK, "patched")
    for _ in range(3):  # on every slot, if they take turns
        ended = [item async for item in client.run_and_follow(RunRequest(kind=RunKind.EXEC, code=INTACT))][-1]
        assert isinstance(ended, RunInfo)
        assert ended.value == [2, "[1]", None, True, [], True, 1]
    await client.close()


async def test_five_hundred_runs_leave_no_descriptor_and_no_process(caller: Caller) -> None:
    client = await launch.connect(caller.project.root, client="cli")

    async def run(number: int) -> None:
        request = RunRequest(kind=RunKind.EXEC, code=f"print({number})\nresult = {number}")
        *items, ended = [item async for item in client.run_and_follow(request)]
        assert isinstance(ended, RunInfo)
        printed = [chunk.text for item in items if isinstance(item, list) for chunk in item]
        assert (ended.value, printed) == (number, [f"{number}\n"])

    for number in range(20):
        await run(number)
    pid = caller.project.engine_pid
    await client.close()
    wait_for(lambda: idle(caller))
    before = descriptors(pid), len(family(pid)), resident(pid)
    client = await launch.connect(caller.project.root, client="cli")
    for number in range(500):
        await run(number)
    await client.close()
    wait_for(lambda: idle(caller) and (descriptors(pid), len(family(pid))) == before[:2])
    assert resident(pid) - before[2] < 16 * MIB


def test_a_real_log_of_twenty_megabytes_is_digested(caller: Caller, tmp_path: Path) -> None:
    line = "INFO   | jvm 1    | 2024/05/01 10:{:02}:{:02} | I [g.CatalogManager] [10:00:00]: Loaded project {}\n"
    log = tmp_path / "wrapper.log"
    with log.open("w") as file:
        number = 0
        while file.tell() < 20 * MIB:
            file.write("".join(line.format(n // 60 % 60, n % 60, n) for n in range(number, number + 10_000)))
            number += 10_000
    done = caller.call("--json", "run", "defaults/log_digest", "--file", f"log={log}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["value"]["entries"] == number


async def test_an_engine_killed_under_a_follower_is_said_and_the_next_one_tells_how_the_run_ended(
    project: ProjectUnderTest,
) -> None:
    write_settings(project.root, SETTINGS)
    assert CliProject(project.root).call("engine", "start").returncode == 0
    code = "import os\nprint('on', flush=True)\nif os.fork() == 0: os.setsid()\nwhile True: pass"
    follower = CliProject(project.root).popen("exec", "--mode=admin", code)
    assert line_of(follower) == b"on\n"
    members = family(project.engine_pid)
    wait_for(lambda: bool(project.recorded("SELECT 1 FROM output")))
    os.kill(project.engine_pid, signal.SIGKILL)
    _, said = follower.communicate(timeout=20)
    assert follower.returncode == 1
    assert b"run 1 (<exec>) ended with interrupted" in said
    wait_for(lambda: not alive(members))
    client = await launch.connect(project.root, client="cli")
    assert (await client.call(RUNS_GET, RunParams(run_id=1))).outcome is Outcome.INTERRUPTED
    assert [
        (chunk.stream, chunk.text) for chunk in (await client.call(RUNS_OUTPUT, OutputParams(run_id=1))).chunks
    ] == [(Stream.STDOUT, "on\n")]
    ended = [item async for item in client.run_and_follow(RunRequest(kind=RunKind.EXEC, code="result = 1 + 1"))][-1]
    assert isinstance(ended, RunInfo)
    assert ended.value == 2
    await client.close()


def test_nohup_keeps_an_engine_in_the_foreground_when_its_terminal_goes(project: ProjectUnderTest) -> None:
    serving = subprocess.Popen(
        ["nohup", *launch.daemon_command(project.root)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: listens(project.paths.socket) or serving.poll() is not None)
    serving.send_signal(signal.SIGHUP)
    done = CliProject(project.root).call("exec", "result = 1 + 1")
    assert (done.stdout, project.engine_pid) == ("2\n", serving.pid)
    serving.terminate()
    assert serving.wait(20) == 0


def idle(caller: Caller) -> bool:
    """Return whether every slot has its next child parked; asked by a command that has left again."""
    return at_rest(caller.call("--json", "engine", "status").stdout)


def at_rest(status: str | bytes) -> bool:
    pool = json.loads(status)["pool"]
    return bool(pool["ready"] == pool["size"])


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
