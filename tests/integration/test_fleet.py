"""Several gateways on one host: commands by their names, one script on all of them, and one that dies in the middle."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from account_support import UID, environment, ordinary_account
from cli_support import PATIENCE, PROGRAM, CliProject, cli_project, ended, in_terminal, wait_until

from engine.client import calls, fleet, launch
from engine.client.fleet import FailureKind, FleetRun
from engine.client.gateways import Gateway
from engine.models.base import API_VERSION
from engine.models.engine import EngineInfo
from engine.models.runs import RunInfo, RunKind, RunRequest
from engine.registry.engine import ENGINE_INFO
from engine.registry.runs import RUNS_LIST, RunListParams
from tui import cli
from tui.commands import completion
from tui.commands.invocation import Invocation
from tui.text.fleet_answers import pending_text

SAME = 'print("scanning")\nresult = {"tags": 812, "bad": 0}\n'
OTHER = 'print("scanning")\nresult = {"bad": 3, "tags": 811}\n'
FOREVER = 'print("begun", flush=True)\nwhile True: pass\n'
NAMES = ("gw-01", "gw-02", "gw-03")

Said = tuple[int, str, str]


@dataclass(frozen=True)
class Fleet:
    """Three gateways, the third of which listens, too, and answers some scripts in another way."""

    projects: dict[str, CliProject]
    tokens: dict[str, Path]
    config: Path

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWRIGHT_")}
        return {**kept, "XDG_CONFIG_HOME": str(self.config), **more}

    def call(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False,
            cwd=self.config, env=self.environ(),
        )  # fmt: skip

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.config, env=self.environ(),
        )  # fmt: skip

    def runs(self, name: str) -> list[RunInfo]:
        """The runs of one gateway, the newest first."""

        async def ask() -> list[RunInfo]:
            client = await launch.connect(self.projects[name].root, client="cli")
            try:
                return (await client.call(RUNS_LIST, RunListParams(limit=5))).runs
            finally:
                await client.close()

        return asyncio.run(ask())

    def info(self, name: str) -> EngineInfo:
        async def ask() -> EngineInfo:
            client = await launch.connect(self.projects[name].root, client="cli")
            try:
                return await client.call(ENGINE_INFO)
            finally:
                await client.close()

        return asyncio.run(ask())

    def goes_on(self, name: str) -> bool:
        return any(run.state == "running" for run in self.runs(name))

    @contextmanager
    def also(self, text: str) -> Iterator[None]:
        """More gateways in the user's file."""
        file = self.config / "gatewright/gateways.toml"
        before = file.read_text()
        file.write_text(f"{before}\n{text}")
        try:
            yield
        finally:
            file.write_text(before)


LISTENS = '[listen]\naddress = "127.0.0.1:0"\n[policy]\nadmin_as_root = true\n'


def all_at_once(stack: ExitStack, root: Path) -> dict[str, CliProject]:
    """Their projects; the engines start and end at the same time."""
    contexts = [cli_project(root / name, LISTENS if name == "gw-03" else "") for name in NAMES]
    threads = stack.enter_context(ThreadPoolExecutor(len(NAMES)))
    begun = [threads.submit(context.__enter__) for context in contexts]
    stack.callback(lambda: list(threads.map(lambda context: context.__exit__(None, None, None), contexts)))
    return dict(zip(NAMES, (one.result() for one in begun), strict=True))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("fleet")
    config = root / "config"
    (config / "gatewright").mkdir(parents=True)
    with ExitStack() as stack:
        projects = all_at_once(stack, root)
        for name in NAMES:
            projects[name].script("night/tag_check.py", OTHER if name == "gw-03" else SAME)
            projects[name].script("night/forever.py", FOREVER if name == "gw-03" else SAME)
        tokens = {}
        for role, mode in (("viewer", "restricted"), ("admin", "admin")):
            tokens[role] = root / f"{role}.token"
            projects["gw-03"].json(
                "token", "create", "--role", role, "--name", role, "--default-mode", mode,
                "--output", str(tokens[role]),
            )  # fmt: skip
        file = config / "gatewright/gateways.toml"
        file.write_text(
            "".join(f'[gateways.{name}]\nproject = "{one.root}"\ngroups = ["b"]\n\n' for name, one in projects.items())
        )
        file.chmod(0o600)
        yield Fleet(projects, tokens, config)


@pytest.fixture
def here(three: Fleet, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Calls a command in this process, which saves the start of an interpreter: exit code, stdout, stderr."""
    monkeypatch.chdir(three.config)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(three.config))

    def call(*arguments: str, **environ: str) -> Said:
        with monkeypatch.context() as while_called:
            for name, value in environ.items():
                while_called.setenv(name, value)
            code = cli._call(arguments, Invocation())
        return (code, *capfd.readouterr())

    return call


def listening(three: Fleet) -> str:
    """Its port is another one since it was started again."""
    (url,) = three.info("gw-03").listening
    return url


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_command_reaches_a_gateway_by_its_name(three: Fleet, here: Any) -> None:
    for place in (["--gateway", "gw-03"], []):
        environ = {} if place else {"GATEWRIGHT_GATEWAY": "gw-03"}
        code, out, err = here("run", "night/tag_check", "--json", *place, **environ)
        assert (code, json.loads(out)["value"]["tags"]) == (0, 811), err
    assert here("--gateway", "gw-01", "run", "night/tag_check")[1] == 'scanning\n{"tags": 812, "bad": 0}\n'
    with three.also(f'[gateways.far]\nurl = "{listening(three)}"\ntoken_file = "{three.tokens["admin"]}"\n'):
        assert here("--gateway", "far", "eval", "6 * 7")[:2] == (0, "42\n")
        code, _, err = here("--gateway", "far", "engine", "start")
        assert (code, "an engine is started for a project's folder, and this names far" in err) == (2, True)
        code, _, err = here("engine", "start", GATEWRIGHT_GATEWAY="far")
        assert (code, "and GATEWRIGHT_GATEWAY names far" in err) == (2, True)
    with three.also(f'[gateways.near]\nsocket = "{three.projects["gw-02"].root}/.gatewright/engine.sock"\n'):
        assert here("--gateway", "near", "run", "night/tag_check")[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--gateway", "gw-1", "eval", "1"], "There is no gateway 'gw-1'"),
        (["--gateway", "", "eval", "1"], "There is no gateway ''"),
        (["--gateway", "gw-01", "--project", ".", "eval", "1"], "Two engines are named: by --project and by --gateway"),
        (["--gateway", "gw-01", "--url", "http://a", "eval", "1"], "by --gateway and by --url"),
        (["--gateway", "gw-01", "--token-file", "t", "eval", "1"], "belong to --url, and --gateway is given"),
        (["--gateway", "gw-01", "run", "a", "--on", "gw-02"], "by --gateway and by --on"),
        (["run", "a", "--on", "gw-02,gw-9"], "There is no gateway 'gw-9'"),
        (["run", "a", "--on", "@c"], "There is no group @c"),
        (["run", "./a.py", "--on", "gw-01"], "is the path of a file on this host"),
        (["run", "a", "--on", "gw-01", "--exit-status"], "--exit-status is of one run"),
        (["run", "a", "--on", "gw-01", "--save-buffer", "a=b"], "--save-buffer writes one file"),
        (["run", "a", "--on", "gw-01", "--file", "x=/nope"], "/nope cannot be read"),
        (["run", "a", "--on", "gw-01", "--gateway-timeout", "0"], "takes more than 0 seconds"),
        (["run", "a", "--gateway-timeout", "3"], "--gateway-timeout belongs to --on"),
        (["restore", "a", "b", "--gateway", "gw-01"], "--gateway has no place here"),
        (["init", "x", "--gateway", "gw-01"], "given twice: as an argument and by --gateway"),
        (["gateways", "list", "--gateway", "gw-01"], "--gateway has no place here"),
        (["--project", "a", "gateways", "add", "x"], "--project has no place here"),
        (["engine", "list", "--gateway", "gw-01"], "--gateway names another"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_runs(here: Any, words: list[str], sentence: str) -> None:
    code, out, err = here(*words)
    assert (code, out) == (2, "")
    assert sentence in err


def test_gateways_are_named_and_forgotten_by_a_command(
    here: Any, three: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    code, out, err = here("gateways", "list", **home)
    assert (code, out, "there are no gateways in" in err, "gateways add gw-01 --url" in err) == (0, "", True, True)
    monkeypatch.chdir(tmp_path)
    words = ["--url", "https://gw-09:9089", "--token-file", "a.token", "--group", "@c", "--group", "c"]
    code, _, err = here("gateways", "add", "gw-09", *words, **home)
    assert (code, f"not yet: The token file {tmp_path}/a.token cannot be read" in err) == (0, True)
    assert here("gateways", "add", "here", "--project", str(three.projects["gw-01"].root), **home)[0] == 0
    listed = json.loads(here("gateways", "list", "--json", **home)[1])
    assert listed["file"] == str(tmp_path / "config/gatewright/gateways.toml")
    assert [(one["name"], one["token_file"], one["groups"]) for one in listed["gateways"]] == [
        ("gw-09", str(tmp_path / "a.token"), ["c"]),
        ("here", "", []),
    ]
    assert re.search(r"^gw-09 +https://gw-09:9089 +@c$", here("gateways", "list", **home)[1], re.MULTILINE)
    for words, sentence in (
        (["gw-09", "--project", "/a"], "There is a gateway 'gw-09' already"),
        (["gw-10"], "does not say where the gateway is"),
        (["gw-10", "--url", "http://far", "--token-file", "t"], "would show the token to every host"),
    ):
        code, _, err = here("gateways", "add", *words, **home)
        assert (code, sentence in err) == (2, True), err
    code, _, err = here("gateways", "remove", "gw-09", **home)
    assert (code, "Its token still counts" in err) == (0, True)
    assert re.findall(r"^\S+", here("gateways", "list", **home)[1], re.MULTILINE) == ["gateway", "here"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gatewright --gateway gw-0", ["gw-01", "gw-02", "gw-03"]),
        ("gatewright run night/tag_check --on @", ["@b", "@all"]),
        ("gatewright run night/tag_check --on gw-01,gw-0", ["gw-01,gw-02", "gw-01,gw-03"]),
        ("gatewright gateways remove gw-03", ["gw-03"]),
        ("gatewright --gateway gw-02 run night/ta", ["night/tag_check"]),
        ("gatewright run --on gw-03 night/fo", ["night/forever"]),
    ],
)
def test_names_are_completed(three: Fleet, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(three.config))
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.chdir(three.config)
    found = completion.answer(cli.cli, "zsh_complete").splitlines()
    assert [one.split("\t")[1] for one in found] == offered


def test_two_variables_that_name_engines_are_refused(here: Any) -> None:
    code, _, err = here("eval", "1", GATEWRIGHT_GATEWAY="gw-01", GATEWRIGHT_URL="http://a")
    assert (code, "Two engines are named: by GATEWRIGHT_GATEWAY and by GATEWRIGHT_URL" in err) == (2, True)


def test_the_same_answers_are_one_and_the_other_is_a_difference(here: Any) -> None:
    code, out, err = here("run", "night/tag_check", "--on", "@b")
    assert code == 0, err
    head, same, other = out.split("\n\n")
    assert re.fullmatch(r"night/tag_check on @b: 3 gateways, 3 ok, [\d.]+ m?s: 2 same, 1 differs", head)
    assert same == 'same answer (2): gw-01 gw-02\n  scanning\n  {"tags": 812, "bad": 0}'
    assert other.splitlines()[:3] == ["differs (1): gw-03", "  --- gw-01", "  +++ gw-03"]
    assert '  +  "bad": 3,' in other.splitlines()
    assert sorted(line.split()[0] for line in err.splitlines() if " ok " in line) == list(NAMES)
    assert "not the same text ran everywhere: another one on gw-03" in err


def test_what_is_meant_for_one_gateway_is_not_done_twice_there(three: Fleet, here: Any) -> None:
    with three.also(f'[gateways.twin]\nproject = "{three.projects["gw-01"].root}/."\n'):
        code, out, err = here("exec", "result = 1", "--on", "gw-01,twin", "--json")
    assert (code, [one["gateway"] for one in json.loads(out)["answers"]]) == (0, ["gw-01"])
    assert "twin is another name of gw-01, which is asked once" in err


def test_a_program_gets_every_answer_and_the_groups(here: Any) -> None:
    code, out, err = here("run", "night/tag_check", "--on", "gw-03,gw-01", "--json")
    report = json.loads(out)
    assert (code, report["exit_code"], report["summary"]) == (0, 0, "all 2 differ"), err
    assert [(one["gateway"], one["run"]["stdout"], one["failure"]) for one in report["answers"]] == [
        ("gw-01", "scanning\n", None),
        ("gw-03", "scanning\n", None),
    ]
    assert [group["gateways"] for group in report["groups"]] == [["gw-01"], ["gw-03"]]
    assert [one["group"] for one in report["answers"]] == [0, 1]
    assert '+  "bad": 3' in report["groups"][1]["difference"]


def test_one_that_is_dead_refuses_or_is_newer_is_told_and_the_others_answer(
    three: Fleet, here: Any, tmp_path: Path
) -> None:
    viewer, admin = three.tokens["viewer"], three.tokens["admin"]
    with (
        newer_engine(tmp_path / "newer.sock"),
        three.also(
            f'[gateways.dead]\nurl = "http://127.0.0.1:{unused_port()}"\ntoken_file = "{admin}"\n'
            f'[gateways.viewed]\nurl = "{listening(three)}"\ntoken_file = "{viewer}"\n'
            f'[gateways.newer]\nsocket = "{tmp_path}/newer.sock"\n'
            f'[gateways.tokenless]\nurl = "{listening(three)}"\ntoken_file = "{tmp_path}/none"\n'
        ),
    ):
        code, out, err = here("exec", "result = 1", "--on", "@all", "--json")
        report = json.loads(out)
        kinds = {one["gateway"]: one["failure"] and one["failure"]["kind"] for one in report["answers"]}
        assert kinds == {
            **dict.fromkeys(NAMES),
            "dead": "not reachable",
            "viewed": "refused",
            "newer": "other version",
            "tokenless": "not set up",
        }, err
        codes = {one["gateway"]: one["exit_code"] for one in report["answers"]}
        assert (code, codes["viewed"], codes["tokenless"]) == (3, 4, 2)
        assert report["summary"].startswith("3 same, ")
        code, out, err = here("gateways", "check", "gw-01,dead,viewed,newer,tokenless")
        states = dict(re.findall(r"^(\S+) +(answers|not \S+(?: up)?|other version)", out, re.MULTILINE))
        assert states == {
            "gw-01": "answers", "viewed": "answers", "dead": "not reachable", "newer": "other version",
            "tokenless": "not set up",
        }  # fmt: skip
        assert code == 3
        assert re.search(r"^viewed +answers +viewer", out, re.MULTILINE)


@contextmanager
def hanging() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@contextmanager
def newer_engine(path: Path) -> Iterator[None]:
    """An engine of a version that is still to come, as far as its handshake goes."""
    info = EngineInfo(
        version="99.1", api_version=API_VERSION + 1, pid=1, project="/p", owner="me", started_at=1.0
    )  # fmt: skip
    body = msgspec.json.encode(info)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    connection.sendall(head + body)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def test_each_has_its_time_and_what_runs_is_cancelled_then(three: Fleet, here: Any) -> None:
    with (
        hanging() as port,
        three.also(f'[gateways.slow]\nurl = "http://127.0.0.1:{port}"\ntoken_file = "{three.tokens["admin"]}"\n'),
    ):
        code, out, _ = here("run", "night/forever", "--on", "slow,gw-03", "--gateway-timeout", "0.5")
    assert code == 124
    assert "no answer in time (2): gw-03 slow\n" in out
    assert re.search(
        r"^  gw-03: It had not answered after 0.5 s; (run \d+ was cancelled|nothing was run)\.$", out, re.M
    )
    assert re.search(r"^  slow: It had not answered after 0.5 s; nothing was run\.$", out, re.M)
    assert not three.goes_on("gw-03")


def test_an_interrupt_cancels_it_everywhere(three: Fleet) -> None:
    process = three.popen("exec", "while True: pass", "--on", "@b")
    wait_until(lambda: all(map(three.goes_on, NAMES)), "all three run")
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, err
    assert "same answer (3), cancelled: gw-01 gw-02 gw-03\n" in out
    assert [three.runs(name)[0].outcome for name in NAMES] == ["cancelled"] * 3


def test_a_terminal_shows_what_is_waited_for(three: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in three.environ().items():
        monkeypatch.setenv(name, value)
    ended, shown = in_terminal([PROGRAM, "eval", "6 * 7", "--on", "gw-02"])
    assert ended == 0
    assert "\r0 of 1 answered; waiting for gw-02\x1b[K" in shown
    assert re.search(r"\x1b\[Kgw-02  ok  [\d.]+ ms  42\r\n", shown), shown
    assert shown.endswith("same answer (1): gw-02\r\n  42\r\n")


async def test_what_is_waited_for_tells_how_far_it_is(three: Fleet) -> None:
    code = "import gatewright\ngatewright.progress(0.25)\nwhile True: pass"

    async def prepare(_: object) -> RunRequest:
        return RunRequest(kind=RunKind.EXEC, code=code)

    members = FleetRun([Gateway("gw-02", project=str(three.projects["gw-02"].root))], prepare, "cli")
    told: list[str] = []

    def note() -> None:
        told.extend(map(pending_text, members.pending()))
        if "gw-02 (25 %)" in told:
            members.cancel()

    members.on_change = note
    async with asyncio.timeout(PATIENCE):
        (answer,) = [answer async for answer in members.answers()]
    assert answer.run is not None
    assert answer.run.outcome == "cancelled"
    assert (members.waiting, members.running, members.pending()) == ([], {}, [])


async def test_what_began_elsewhere_is_not_left_to_itself_when_a_file_cannot_be_read(three: Fleet) -> None:
    begun: list[object] = []

    async def prepare(client: object) -> RunRequest:
        begun.append(client)
        if len(begun) == 2:
            while not members.running:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
            raise PermissionError(errno.EACCES, "Permission denied")
        return RunRequest(kind=RunKind.EXEC, code="while True: pass")

    gateways = [Gateway(name, project=str(three.projects[name].root)) for name in ("gw-01", "gw-02")]
    members = FleetRun(gateways, prepare, "cli")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(PermissionError):
            async for _ in members.answers():
                pass
    runs = await asyncio.to_thread(lambda: [run for name in ("gw-01", "gw-02") for run in three.runs(name)[:1]])
    assert "cancelled" in [run.outcome for run in runs]
    assert not any(run.state == "running" for run in runs)


@pytest.mark.slow
def test_leaving_by_a_signal_says_what_goes_on(three: Fleet) -> None:
    process = three.popen("run", "night/forever", "--on", "gw-03")
    wait_until(lambda: three.goes_on("gw-03"), "it runs")
    number = three.runs("gw-03")[0].id
    process.terminate()
    code, _, err = ended(process)
    assert code == -signal.SIGTERM
    assert re.search(rf"ended; may go on at gw-03(?: \(run {number}\))?: gatewright --gateway NAME runs list", err), err
    assert three.goes_on("gw-03")
    three.call("--gateway", "gw-03", "runs", "cancel", str(number))


def test_one_that_is_killed_in_the_middle_is_told_and_the_others_answers_are_shown(
    three: Fleet, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine is started again, as for a single run, and says what became of the run, if it was on record yet."""
    monkeypatch.setattr(calls, "RECONNECT_DELAYS", (0.0, 0.1))
    pid = three.info("gw-03").pid

    def kill() -> None:
        wait_until(lambda: three.goes_on("gw-03"), "it runs")
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    code, out, err = here("run", "night/forever", "--on", "@b")
    killer.join(PATIENCE)
    recorded = "+ended with interrupted" in out
    assert recorded or "lost (1): gw-03\n  The engine ended before it had recorded run " in out, (out, err)
    summary = "2 same, 1 differs" if recorded else "2 same, 1 lost"
    assert f"{summary}\n\nsame answer (2): gw-01 gw-02\n  scanning\n" in out
    assert code == (1 if recorded else 3)
    assert re.search(r"^gw-03 +(interrupted|lost)", err, re.MULTILINE)


@pytest.mark.slow
def test_a_run_that_nothing_tells_the_end_of_is_lost(three: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine elsewhere is not started again: its run is told as lost when the line stayed down."""
    monkeypatch.setattr(fleet, "LINE_PAUSE", 0.05)
    monkeypatch.setattr(calls, "RECONNECT_DELAYS", (0.0, 0.1))
    socket_of = {name: f"{three.projects[name].root}/.gatewright/engine.sock" for name in ("gw-01", "gw-03")}
    gateways = [Gateway(name, socket=path) for name, path in socket_of.items()]
    pid = three.info("gw-03").pid

    async def prepare(_: object) -> RunRequest:
        return RunRequest(kind=RunKind.SCRIPT, script="night/forever")

    async def ask() -> list[fleet.Answer]:
        members = FleetRun(gateways, prepare, "cli", patience=0.5)
        answers = []
        async for answer in members.answers():
            answers.append(answer)
            if len(answers) == 1:
                async with asyncio.timeout(PATIENCE):
                    while not members.running:  # noqa: ASYNC110 - nobody announces it
                        await asyncio.sleep(0.01)
                os.kill(pid, signal.SIGKILL)
        return answers

    first, last = asyncio.run(ask())
    assert (first.gateway, first.failure) == ("gw-01", None)
    assert last.failure is not None
    assert (last.gateway, last.failure.kind) == ("gw-03", FailureKind.LOST)
    assert f"It went away while run {last.run_id} went on" in last.failure.message
    assert three.projects["gw-03"].call("engine", "start").returncode == 0


def test_admin_is_only_what_is_asked_for_there(three: Fleet, here: Any) -> None:
    """The token's own default is ADMIN, and the viewer's may not."""
    url = listening(three)
    with three.also(
        f'[gateways.far]\nurl = "{url}"\ntoken_file = "{three.tokens["admin"]}"\n'
        f'[gateways.viewed]\nurl = "{url}"\ntoken_file = "{three.tokens["viewer"]}"\n'
    ):
        assert json.loads(here("--gateway", "far", "eval", "1", "--json")[1])["mode"] == "ADMIN"
        (one,) = json.loads(here("eval", "1", "--on", "far", "--json")[1])["answers"]
        assert one["run"]["mode"] == "RESTRICTED"
        code, out, _ = here("eval", "1", "--on", "far,viewed", "--mode", "admin", "--json")
        far, viewed = json.loads(out)["answers"]
        assert (code, far["run"]["mode"], viewed["failure"]["kind"]) == (4, "ADMIN", "refused")


def test_each_gets_the_files_and_the_standard_input_and_leaves_its_own(three: Fleet, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\ntwo\n")
    code = (
        "here = params['log'].text()\nopen('left.txt', 'w').write(here)\n"
        "result = {'log': len(here), 'stdin': open(0).read(), 'files': ['left.txt']}\n"
    )
    done = three.call(
        "exec", code, "--on", "gw-01,gw-02", "--file", f"log={tmp_path / 'log'}", "--stdin",
        "--out", str(tmp_path / "out"), "--json", stdin="typed",
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [one["run"]["value"]["stdin"] for one in report["answers"]] == ["typed", "typed"]
    assert report["summary"] == "2 same"
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "out").rglob("*.txt")} == {
        "out/gw-01/left.txt",
        "out/gw-02/left.txt",
    }


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has projects of several accounts")
def test_root_stays_root_with_the_projects_of_several_accounts(three: Fleet) -> None:
    with ordinary_account() as account:
        project = account.folder("plant")

        def as_account(*words: str) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                account.command("--project", str(project), *words), capture_output=True, check=False, cwd="/",
                env=environment(), timeout=PATIENCE,
            )  # fmt: skip

        assert as_account("engine", "start").returncode == 0
        try:
            with three.also(f'[gateways.theirs]\nproject = "{project}"\n'):
                both = three.call("exec", "result = 1", "--on", "theirs,gw-01", "--json")
                answers = {one["gateway"]: one for one in json.loads(both.stdout)["answers"]}
                assert {name: one["run"]["actor"] for name, one in answers.items()} == {
                    "theirs": "root", "gw-01": "root",
                }, both.stderr  # fmt: skip
                checked = three.call("gateways", "check", "theirs")
                assert re.search(r"^theirs +answers +admin", checked.stdout, re.MULTILINE), checked.stdout
                # One gateway is another matter: there root goes on as the account.
                command = account.command_of_root("--gateway", "theirs", "exec", "result = 1", "--json")
                one = subprocess.run(command, capture_output=True, check=False, cwd="/", env=three.environ())
                assert json.loads(one.stdout)["actor"] != "root", one.stderr
                assert f"who owns {project}" in one.stderr.decode()
                as_account("engine", "stop", "--force")
                away = three.call("exec", "result = 1", "--on", "theirs,gw-01")
                assert away.returncode == 3
                assert f"The engine of {project} does not run." in away.stdout
                assert f"Start it: gatewright --project {project} engine start" in away.stdout
                assert {path.lstat().st_uid for path in project.rglob("*")} == {UID}
        finally:
            as_account("engine", "stop", "--force")
