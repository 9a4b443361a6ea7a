"""Commands for an engine that has no folder here: by its URL with a token, and by the ID of a shared project."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_support import PATIENCE, PROGRAM, CliProject, cli_project
from mounts import needs_mounts
from tls_front import Front, front

from engine.client import remote, shared
from tui import cli
from tui.commands.invocation import Invocation

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the folder of shared projects must be root's")

SCRIPT = """# /// script
# [tool.gatewright]
# title = "Adds"
# [tool.gatewright.params.n]
# type = "int"
# default = 1
# ///
print("added")
result = params["n"] + 1
"""


@dataclass(frozen=True)
class Elsewhere:
    """A project, and the ways to its engine that do without its folder."""

    project: CliProject
    url: str
    token_file: Path
    run_folder: Path
    empty: Path
    """Where commands are called: in no project."""

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWRIGHT_")}
        return {**kept, "HOME": str(self.empty), **more}

    def call(self, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """As a user calls it who is somewhere else."""
        return subprocess.run(
            [PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False,
            cwd=self.empty, env=self.environ(**more),
        )  # fmt: skip

    def here(
        self, patch: pytest.MonkeyPatch, said: pytest.CaptureFixture[str], *arguments: str, **environ: str
    ) -> tuple[int, str, str]:
        """The same in this process, which saves the start of an interpreter: exit code, stdout, stderr."""
        with patch.context() as while_called:
            while_called.setattr(shared, "RUN_FOLDER", self.run_folder)
            while_called.chdir(self.empty)
            for name, value in environ.items():
                while_called.setenv(name, value)
            code = cli._call(arguments, Invocation())
        out, err = said.readouterr()
        return code, out, err

    @property
    def options(self) -> list[str]:
        return ["--url", self.url, "--token-file", str(self.token_file)]

    @property
    def variables(self) -> dict[str, str]:
        return {"GATEWRIGHT_URL": self.url, "GATEWRIGHT_TOKEN_FILE": str(self.token_file)}

    def by_url(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.call(*arguments, *self.options, stdin=stdin)

    def by_id(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """In a mount namespace of its own, whose /run/gatewright is this test's."""
        script = "mount -t tmpfs -o mode=755 none /run; mkdir /run/gatewright; "
        script += 'mount --bind "$1" /run/gatewright; shift; exec "$@"'
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", str(self.run_folder)]
        return subprocess.run(
            [*inside, PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False,
            cwd=self.empty, env=self.environ(),
        )  # fmt: skip


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    root = tmp_path_factory.mktemp("elsewhere")
    with cli_project(root / "plant", '[listen]\naddress = "127.0.0.1:0"\n') as project:
        project.script("night/adds.py", SCRIPT)
        token = root / "token"
        project.json("token", "create", "--name", "far", "--role", "admin", "--output", str(token))
        (url,) = project.json("engine", "status")["engine"]["listening"]
        run_folder, empty = root / "run", root / "empty"
        for folder in (run_folder, run_folder / "plant-a", run_folder / "plant-b", empty):
            folder.mkdir(mode=0o755)
        os.link(root / "plant/.gatewright/engine.sock", run_folder / "plant-a/engine.sock")
        project.call("run", "night/adds")
        yield Elsewhere(project, url, token, run_folder, empty)


READ_ONLY = [
    (["engine", "status"], "process"),
    (["run", "night/adds", "-p", "n=41"], "42"),
    (["exec", "result = 6 * 7"], "42"),
    (["eval", "6 * 7"], "42"),
    (["scripts", "list"], "night/adds"),
    (["scripts", "show", "night/adds"], "n"),
    (["scripts", "show", "scripts/night/adds.py"], "n"),
    (["runs", "list"], "night/adds"),
    (["runs", "show", "1"], "night/adds"),
    (["runs", "output", "1"], ""),
    (["modules", "json"], "json"),
    (["diff"], ""),
    (["history", "night/adds"], ""),
    (["git", "status"], "scripts/night/adds.py"),
    (["git", "log"], ""),
    (["git", "diff"], ""),
    (["audit"], ""),
    (["retention"], ""),
    (["token", "list"], "far"),
]
"""Each command that changes nothing, and something that it prints."""


@pytest.mark.parametrize("way", ["url", pytest.param("id", marks=as_root)])
@pytest.mark.parametrize(("arguments", "printed"), READ_ONLY, ids=[" ".join(one[:2]) for one, _ in READ_ONLY])
def test_a_command_works_elsewhere(
    elsewhere: Elsewhere,
    arguments: list[str],
    printed: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = elsewhere.options if way == "url" else ["--project", "@plant-a"]
    code, out, err = elsewhere.here(monkeypatch, capfd, *arguments, *options)
    assert code == 0, err
    assert printed in out + err
    assert elsewhere.token_file.read_text().strip() not in out + err


def test_the_status_says_who_one_is_elsewhere(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "night.token")
    limits = ("--role", "operator", "--expires", "90m", "--scripts", "night/**")
    made = elsewhere.project.json("token", "create", "--name", "night", *limits, "--output", file)
    code, out, err = elsewhere.here(
        monkeypatch, capfd, "engine", "status", "--url", elsewhere.url, "--token-file", file
    )
    assert code == 0, err
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(made["expires_at"]))
    assert f"token:night, operator, for night/** only, until {end}" in out
    assert "token:night" not in elsewhere.project.call("engine", "status").stdout


@needs_mounts
def test_a_member_uses_a_shared_project_by_its_id(elsewhere: Elsewhere) -> None:
    done = elsewhere.by_id("run", "night/adds", "-p", "n=41", "--project", "@plant-a")
    assert (done.returncode, done.stdout) == (0, "added\n42\n"), done.stderr


def test_the_environment_names_an_engine_and_the_command_line_wins(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str, **environ: str) -> tuple[int, str, str]:
        return elsewhere.here(monkeypatch, capfd, "scripts", "list", *arguments, **environ)

    assert "night/adds" in call(**elsewhere.variables)[1]
    assert "There is no project in" in call("--project", str(elsewhere.empty), **elsewhere.variables)[2]
    code, _, said = call(*elsewhere.options, "--project", "@plant-a")
    assert (code, "Two engines are named" in said) == (2, True)
    assert "belong to --url" in call("--token-file", str(elsewhere.token_file))[2]
    assert "takes a token" in call("--url", elsewhere.url)[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["init"], "this command needs a project's folder"),
        (["init", "new"], "this command needs a project's folder"),
        (["doctor"], "this command needs a project's folder"),
        (["engine", "serve"], "this command needs a project's folder"),
        (["engine", "start"], "an engine is started for a project's folder"),
        (["run", "./adds.py"], "./adds.py is the path of a file on this host"),
        (["scripts", "show", "/srv/adds.py"], "is the path of a file on this host"),
    ],
)
def test_what_needs_a_folder_is_refused_in_a_sentence(
    elsewhere: Elsewhere,
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for place in (elsewhere.options, ["--project", "@plant-a"]):
        if arguments == ["init", "new"] and place[0] == "--project":
            continue  # two folders, which is said before
        code, out, err = elsewhere.here(monkeypatch, capfd, *arguments, *place)
        assert (code, out) == (2, "")
        assert sentence in err
    assert list(elsewhere.empty.iterdir()) == []


def test_files_are_read_and_written_here(elsewhere: Elsewhere, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 300_000)
    counted = elsewhere.by_url("exec", "result = len(params['log'].text())", "--file", f"log={tmp_path}/log")
    assert counted.stdout == "300000\n", counted.stderr
    piped = elsewhere.by_url("exec", "result = sum(1 for _ in open(0))", "--stdin", stdin="a\nb\n")
    assert piped.stdout == "2\n", piped.stderr
    left = elsewhere.by_url(
        "exec", "open('out.txt', 'w').write('y' * 100); result = {'files': ['out.txt']}", "--out", str(tmp_path / "out")
    )
    assert left.returncode == 0, left.stderr
    assert (tmp_path / "out/out.txt").read_text() == "y" * 100
    (tmp_path / "far.py").write_text("result = 'far'\n")
    assert elsewhere.by_url("scripts", "import", str(tmp_path / "far.py")).returncode == 0
    assert elsewhere.by_url("run", "far").stdout == "far\n"
    assert elsewhere.by_url("scripts", "export", "far", "--out", str(tmp_path / "copy")).returncode == 0
    assert (tmp_path / "copy/far.py").read_text() == "result = 'far'\n"


def test_hints_name_the_same_engine(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _, _, said = elsewhere.here(monkeypatch, capfd, "exec", "nothing/there.py", *elsewhere.options)
    assert " ".join(elsewhere.options) in said


def test_stopping_takes_a_name_on_the_command_line(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, said = elsewhere.here(monkeypatch, capfd, "engine", "stop", **elsewhere.variables)
    assert (code, "stopped only if --gateway or --url names it" in said) == (2, True)
    assert elsewhere.here(monkeypatch, capfd, "engine", "status", *elsewhere.options)[0] == 0


def test_completion_asks_the_engine(elsewhere: Elsewhere) -> None:
    def offered(line: str) -> list[str]:
        word = line.rpartition(" ")[2]
        done = elsewhere.call(_GATEWRIGHT_COMPLETE="bash_complete", COMP_LINE=line, COMP_WORD=word)
        return [row.split("\t")[1] for row in done.stdout.splitlines()]

    place = f"gatewright --url {elsewhere.url} --token-file {elsewhere.token_file}"
    assert "night/adds" in offered(f"{place} run night/")
    assert offered(f"{place} run night/adds -p ") == ["n="]
    assert "1" in offered(f"{place} runs show ")
    assert offered("gatewright --url https://127.0.0.1:1 --token-file /none run x") == []


@needs_mounts
def test_shared_projects_are_listed(elsewhere: Elsewhere) -> None:
    done = elsewhere.by_id("--json", "engine", "list")
    first, second = json.loads(done.stdout)["projects"]
    assert (first["id"], first["owner"], first["answers"], first["role"]) == ("plant-a", "root", True, "admin")
    assert first["project"] == str(elsewhere.project.root)
    assert (second["id"], second["answers"]) == ("plant-b", False)
    assert second["problem"] == "The engine of @plant-b does not run."
    text = elsewhere.by_id("engine", "list").stdout
    assert "@plant-a" in text
    assert "does not run" in text
    none = elsewhere.by_id("exec", "1", "--project", "@plant-x")
    assert none.returncode == 2
    assert "There is no shared project @plant-x" in none.stderr
    assert "Did you mean @plant-" in none.stderr
    dead = elsewhere.by_id("exec", "1", "--project", "@plant-b")
    assert (dead.returncode, "does not run" in dead.stderr) == (3, True)


@needs_mounts
def test_no_shared_projects_is_said_with_what_to_do(elsewhere: Elsewhere, tmp_path: Path) -> None:
    nothing = Elsewhere(elsewhere.project, "", tmp_path, tmp_path / "run", elsewhere.empty)
    nothing.run_folder.mkdir()
    done = nothing.by_id("engine", "list")
    assert done.returncode == 0
    assert "engine serve --shared ID --group GROUP" in done.stderr
    assert json.loads(nothing.by_id("--json", "engine", "list").stdout) == {"projects": []}
    nothing.run_folder.chmod(0o777)
    assert stat.S_IMODE(nothing.run_folder.stat().st_mode) == 0o777
    refused = nothing.by_id("engine", "list")
    assert (refused.returncode, "cannot be trusted" in refused.stderr) == (4, True)


def test_an_asyncio_program_uses_the_client_as_its_text_says(elsewhere: Elsewhere) -> None:
    example = textwrap.dedent((remote.__doc__ or "").partition("Example::\n")[2])
    program = example.replace("https://gw-02:9089", elsewhere.url).replace("~/gw-02.token", str(elsewhere.token_file))
    assert program != example
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == "ok 42 added\n\n", done.stderr


@contextmanager
def line_to(elsewhere: Elsewhere) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A line to the engine: its URL, what cuts it and what repairs it."""
    loop = asyncio.new_event_loop()
    port, cut = int(elsewhere.url.rpartition(":")[2]), threading.Event()

    async def to_engine() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if cut.is_set():
            raise ConnectionRefusedError
        return await asyncio.open_connection("127.0.0.1", port)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> None:
        async with front(to_engine) as line:
            started.set_result(line)
            await ended.wait()

    started: Future[Front] = Future()
    ended = asyncio.Event()
    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    line = started.result(PATIENCE)

    def break_it() -> None:
        cut.set()
        loop.call_soon_threadsafe(line.cut)

    try:
        yield f"http://127.0.0.1:{line.port}", break_it, cut.clear
    finally:
        loop.call_soon_threadsafe(ended.set)
        serving.result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_run_is_followed_to_its_end_over_a_line_that_was_down(elsewhere: Elsewhere) -> None:
    code = "import time\nfor n in range(5): print(n, flush=True); time.sleep(0.5)\nresult = 'end'"
    with line_to(elsewhere) as (url, cut, repair):
        command = [PROGRAM, "exec", code, "--url", url, "--token-file", str(elsewhere.token_file)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=elsewhere.environ(),
            cwd=elsewhere.empty, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        cut()
        assert "is down, trying again" in process.stderr.readline()
        repair()
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out.split()) == (0, ["1", "2", "3", "4", "end"]), err
