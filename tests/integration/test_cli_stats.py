"""``gatewright stats``: figures of a real engine, once and again and again, also while the engine comes and goes."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import PATIENCE, PROGRAM, CliProject, cli_project, ended, in_terminal, read_line

from engine.client import launch
from engine.models.engine import SlotUse
from engine.models.runs import RunKind, RunRequest
from engine.registry.engine import POOL_USE
from engine.registry.runs import RUNS_CANCEL, RUNS_START, RunParams, StartParams

GOOD, BAD = 3, 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliProject]:
    with cli_project(tmp_path_factory.mktemp("stats") / "plant", '[listen]\naddress = "127.0.0.1:0"\n') as made:
        made.script("night/two words.py", "import sys\nresult = 1\n")
        made.script("fails.py", "raise ValueError('no tags')\n")
        asyncio.run(run_each(made.root, ["night/two words.py"] * GOOD + ["fails.py"] * BAD))
        yield made


async def run_each(root: Path, scripts: list[str]) -> None:
    client = await launch.connect(root, client="cli", start=False)
    for script in scripts:
        await client.run_to_end(RunRequest(kind=RunKind.SCRIPT, script=script))
    await client.close()


class Watching:
    """A command on a terminal, whose text is read as it comes."""

    def __init__(self, command: list[str], term: str = "xterm-256color") -> None:
        self._controller, terminal = pty.openpty()
        environ = {**os.environ, "TERM": term, "LINES": "50", "COLUMNS": "100"}
        self.process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ)
        os.close(terminal)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def until(self, pattern: str) -> None:
        """Read on until a pattern has come since the last one that was waited for."""
        deadline, seen = time.monotonic() + PATIENCE, ""
        while not re.search(pattern, seen):
            if not select.select([self._controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"never: {pattern}; instead {seen}")
            piece = self._decoder.decode(os.read(self._controller, 65536))
            seen += piece
            self.text += piece

    def end(self) -> int:
        """End it as Ctrl+C does; the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            os.close(self._controller)


def test_good_and_failing_runs_are_told_apart(project: CliProject) -> None:
    found = project.json("stats")
    minute = found["metrics"]["since_start"]
    assert (minute["total"], minute["successful"], minute["failed"]) == (GOOD + BAD, GOOD, BAD)
    assert minute["p50_ms"] > 0
    assert sum(point["failed"] for point in found["history"]["points"]) == BAD
    shown = project.call("stats").stdout
    assert re.search(rf"^ok +\d+ +{GOOD}$", shown, re.MULTILINE), shown
    assert re.search(rf"^failed +\d+ +{BAD}$", shown, re.MULTILINE), shown
    assert re.search(r"^health \d+   impact [A-Z]+", shown), shown


def test_tables_by_script_caller_and_kind_of_failure(project: CliProject) -> None:
    scripts = project.call("stats", "--by", "script").stdout
    assert scripts.startswith("last 24 h\n")
    assert re.search(rf"^night/two words\.py +{GOOD} +{GOOD} +0 +0 +0 % ", scripts, re.MULTILINE), scripts
    assert re.search(rf"^fails\.py +{BAD} +0 +{BAD} +0 +100 % .* script_error {BAD} ", scripts, re.MULTILINE), scripts
    errors = project.json("stats", "--by", "error", "--hours", "1")["groups"]
    assert [(one["name"], one["total"]) for one in errors] == [("script_error", BAD)]
    assert [one["total"] for one in project.json("stats", "--by", "caller")["groups"]] == [GOOD + BAD]
    assert "and 1 more: -n shows up to 500" in project.call("stats", "--by", "script", "-n", "1").stdout


@pytest.mark.slow
def test_a_token_for_some_scripts_sees_their_figures_and_no_alerts(project: CliProject, tmp_path: Path) -> None:
    file = tmp_path / "token"
    narrow = ("--name", "narrow", "--role", "viewer", "--scripts", "night/*")
    assert project.call("token", "create", *narrow, "--output", str(file)).returncode == 0
    (url,) = project.json("engine", "status")["engine"]["listening"]
    command = [PROGRAM, "--url", url, "--token-file", str(file), "--json", "stats"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["metrics"]["size"] >= 1
    assert found.get("alerts") is None
    assert project.json("stats")["alerts"] is not None


@pytest.mark.slow
def test_a_narrow_terminal_loses_columns_and_no_name(project: CliProject) -> None:
    code, shown = in_terminal(project.command("stats", "--by", "script"), columns=60)
    assert code == 0
    assert "night/two words.py" in shown
    assert max(map(len, shown.splitlines())) <= 60
    code, shown = in_terminal(project.command("stats"), columns=60)
    assert max(map(len, shown.splitlines())) <= 60, shown


@pytest.mark.parametrize("hours", ["0", "721", "nan"])
def test_hours_that_are_none_are_refused(project: CliProject, hours: str) -> None:
    done = project.call("stats", f"--hours={hours}")
    assert done.returncode == 2
    assert "is no number of hours up to 720, such as 24." in done.stderr


@pytest.mark.slow
def test_a_watch_goes_on_when_the_engine_goes_and_comes_back(project: CliProject) -> None:
    watch = Watching(project.command("stats", "--watch", "--every", "0.1"))
    try:
        watch.until(r"Ctrl\+C ends")
        watch.until(r"\x1b\[\d+A")  # the second picture is drawn over the first one
        project.call("engine", "stop", "--force")
        watch.until("no engine answers since .*, trying again")
        project.call("engine", "start")
        watch.until(r"Ctrl\+C ends")
    finally:
        code = watch.end()
    assert code == 0
    assert "Traceback" not in watch.text
    assert "\u2581" in watch.text or "\u2588" in watch.text


def test_terminals_without_block_elements_get_ascii(project: CliProject) -> None:
    watch = Watching(project.command("stats", "--watch", "--every", "0.1"), term="linux")
    try:
        watch.until(r"Ctrl\+C ends")
    finally:
        assert watch.end() == 0
    assert watch.text.isascii()
    assert re.search(r"memory +#*\.+ ", watch.text), watch.text


@pytest.mark.slow
def test_a_watch_for_programs_is_a_line_each_time_and_ends_with_its_reader(project: CliProject) -> None:
    process = project.popen("stats", "--watch", "--every", "0.1", "--json")
    first, second = json.loads(read_line(process)), json.loads(read_line(process))
    assert first["metrics"]["uptime"] < second["metrics"]["uptime"]
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 0
    with process.stderr as told:
        assert told.read() == b""


@pytest.mark.slow
def test_a_watch_ends_by_the_signals_that_end_programs(project: CliProject) -> None:
    process = project.popen("stats", "--watch", "--every", "0.1", "--by", "script")
    assert read_line(process).startswith("last 24 h")
    process.send_signal(signal.SIGINT)
    code, _, error = ended(process)
    assert (code, error) == (0, "")


def test_a_busy_run_shows_in_its_slot(project: CliProject) -> None:
    async def busiest() -> SlotUse:
        client = await launch.connect(project.root, client="cli", start=False)
        try:
            run = await client.call(RUNS_START, StartParams(), RunRequest(kind=RunKind.EXEC, code="while True: pass"))
            deadline = time.monotonic() + PATIENCE
            while True:
                found = await client.call(POOL_USE)
                used = max(found.slots, key=lambda one: one.cpu_percent or 0.0)
                if (used.cpu_percent or 0.0) > 1 or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.1)
            await client.call(RUNS_CANCEL, RunParams(run_id=run.id))
            assert found.disk is not None
            return used
        finally:
            await client.close()

    used = asyncio.run(busiest())
    assert (used.cpu_percent or 0.0) > 1
    assert (used.memory or 0) > 1 << 20
