"""The sandbox holds on every interpreter that scripts may run on, and no code of a package runs outside of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from account_support import OrdinaryAccount, environment, ordinary_account
from catalogue import ATTACKS, VARIANTS
from outside import Outside, tag_of
from pool_kit import environment_on, other_interpreters, plain_plans, plans, pool_of, run
from test_attacks import FULL, PATIENCE, SCRIPT

from engine.models.runs import Outcome
from engine.pool.job import Environment, Profile
from engine.sandbox.probe import probe
from engine.worker.wire import CHILD

pytestmark = pytest.mark.timeout(PATIENCE)

INTERPRETERS = other_interpreters()
"""The oldest first; the tests' own is what all other tests run on."""

REPRESENTATIVES = ("files-", "writes-", "network-", "processes-", "protocol-")
"""Beginnings of names: what rests on a layer that an interpreter could get in the way of."""

A_FEW = ("files-runpy", "files-mmap", "network-socket-inet-stream", "processes-fork")
"""The same, for the ordinary suite."""

OF_TIME = {"host:late", "host:held up"}
"""Signs that a busy host shows by itself."""

LEVEL = "full: userns+pidns+netns+ipcns+tmpfs+view+landlock"


# -- attacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interpreter", "account"),
    [
        pytest.param(path, account, id=f"{path.name}-{account}")
        for path in INTERPRETERS
        # Root is tried on the oldest and the newest: it differs from another account in what the kernel lets it do.
        for account in (FULL if path in (INTERPRETERS[0], INTERPRETERS[-1]) else FULL[-1:])
    ],
)
@pytest.mark.slow
def test_the_attacks_do_not_get_through(interpreter: Path, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attacked(interpreter, account, REPRESENTATIVES, monkeypatch)


@pytest.mark.skipif(not INTERPRETERS, reason="this host has no other interpreter")
def test_a_few_attacks_do_not_get_through_on_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    attacked(INTERPRETERS[0], FULL[-1], A_FEW, monkeypatch)


def attacked(interpreter: Path, account: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make attacks as an account whose scripts run on ``interpreter``, at the level that the account has here."""
    monkeypatch.setenv("GATEWRIGHT_TEST_INTERPRETER", str(interpreter))
    folder = Path(tempfile.mkdtemp(prefix="gwtrial-", dir="/tmp"))  # short: sockets lie in it
    with ordinary_account() as other:
        try:
            report = reported(other, account, folder, "--imports=everything", *names)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    assert interpreter.name == f"python{'.'.join(report['python'].split('.')[:2])}"
    assert report["isolation"].startswith(LEVEL), report["isolation"]
    chosen = {name for name in ATTACKS.keys() - VARIANTS.keys() if name.startswith(names)}
    assert report["restricted"].keys() == chosen
    for name, seen in report["restricted"].items():
        expected = ATTACKS[name].outcomes
        assert (name, set(seen["signs"]) - OF_TIME, seen["after"]) == (name, set(), "")
        assert not expected or seen["outcome"] in expected, (name, seen)
    assert report["sweep"] == []


def reported(other: OrdinaryAccount, account: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Return what ``attack_host.py`` saw as an account."""
    if account == "this account":
        command = [sys.executable, SCRIPT, str(folder), *arguments]
    else:
        folder = other.folder("trial")
        command = other.python(SCRIPT, str(folder), *arguments)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", env=environment(), timeout=PATIENCE, check=False
        )
    finally:
        Outside(tag_of(folder), 0, folder).files()  # what a trial that was killed could not take away itself
    assert done.stdout, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


# -- hostile packages ------------------------------------------------------------------------------------------------

EVERYWHERE = """
try:
    with open({mark!r}, "a") as mark:
        mark.write({name!r} + "\\n")
except OSError:
    pass
"""
"""Leaves a mark wherever it runs outside of the sandbox."""

HOSTILE = """
import os, socket
SEEN = {{}}

def attempt(work):
    try:
        work()
        SEEN[work.__name__] = "allowed"
    except BaseException as error:
        SEEN[work.__name__] = type(error).__name__

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.connect(address)

@attempt
def read(): open({secret!r}).read()
@attempt
def write(): open({mark!r}, "a").write("hostile\\n")
@attempt
def list(): os.listdir({folder!r})
@attempt
def environ(): open("/proc/%d/environ" % {engine}, "rb").read()
@attempt
def inet(): connect(socket.AF_INET, ("127.0.0.1", {port}))
@attempt
def unix(): connect(socket.AF_UNIX, {folder!r} + "/socket")
@attempt
def program(): os.execv("/bin/true", ["true"])
@attempt
def spawn(): os.posix_spawn("/bin/true", ["true"], {{}})
@attempt
def signal(): os.kill({engine}, 0)
@attempt
def own_package(): open(__file__, "a").close()
"""

FORGER = """
import os, socket
for fd in range(3, 64):
    try:
        os.write(fd, {message!r})
    except OSError:
        pass
"""
"""Writes to every descriptor of the process that it is imported in, and so to the engine."""

FORGED = (b"C", b"C" + bytes(CHILD.size - 1), b"R{}", b"E")

HOSTILE_MODULES = (
    "hostile",
    "breeder",
    "leaver",
    "shouter",
    "threader",
    "timer",
    *(f"forger{number}" for number in range(len(FORGED))),
)

PRELOADS = ("pickle", "copy", "hostile")
"""The first two are the standard library's, and import what a package has put there."""

ATTEMPTS = ("read", "write", "list", "environ", "inet", "unix", "program", "spawn", "signal", "own_package")
REPORT = "import sys\nahead = 'hostile' in sys.modules\nimport hostile\nresult = [ahead, hostile.SEEN]"


@dataclass(frozen=True)
class Prepared:
    """An environment with packages that try what they can.

    Attributes:
        mark: A file that is there when one of them has run outside of the sandbox.
    """

    environment: Environment
    mark: Path

    def ran(self) -> list[str]:
        return self.mark.read_text().split() if self.mark.exists() else []


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("", id="own"),
        *(pytest.param(path, id=path.name, marks=pytest.mark.slow) for path in INTERPRETERS),
    ],
)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("hostile")
    made = environment_on(request.param)
    mark, secret = folder / "mark", folder / "secret"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(folder / "socket"))
        local.listen()
        given = {
            "mark": str(mark), "secret": str(secret), "folder": str(folder), "engine": os.getpid(),
            "port": server.getsockname()[1],
        }  # fmt: skip
        for name, source in {
            "hostile": HOSTILE.format(**given),
            "breeder": "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\n",
            "leaver": "raise SystemExit(0)",
            "threader": "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            "timer": "import threading\ntimer = threading.Timer(99, print)\ntimer.start()\ntimer.cancel()",
            **{f"forger{number}": FORGER.format(message=message) for number, message in enumerate(FORGED)},
            "shouter": "import os\nos.write(2, b'\\x1b[2Jshouted')\nraise ImportError('\\x1b[2Jno')",
        }.items():
            (made.packages / f"{name}.py").write_text(source)
        for name in ("sitecustomize", "usercustomize", "_gatewright_worker", "_gatewright"):
            (made.packages / f"{name}.py").write_text(EVERYWHERE.format(mark=str(mark), name=name))
        # The standard library's pickle and copy try to import this name and go on without it.
        (made.packages / "org" / "python").mkdir(parents=True)
        for place in ("org", "org/python"):
            (made.packages / place / "__init__.py").write_text("")
        shadow = EVERYWHERE.format(mark=str(mark), name="org.python.core")
        (made.packages / "org" / "python" / "core.py").write_text(shadow + "class PyStringMap(dict): pass\n")
        (made.packages / "hostile.pth").write_text(f"import os; open({str(mark)!r}, 'a').write('pth\\n')\n/etc\n")
        for name in ("python", "python3"):
            (made.prefix / "bin" / name).unlink(missing_ok=True)
            (made.prefix / "bin" / name).write_text(f"#!/bin/sh\necho python >> {mark}\n")
            (made.prefix / "bin" / name).chmod(0o755)
        yield Prepared(made, mark)


@pytest.mark.parametrize(
    ("preloads", "settings"),
    [
        pytest.param((), plans, id="imported"),
        pytest.param(PRELOADS, plans, id="preloaded"),
        pytest.param((), plain_plans, id="imported, without namespaces", marks=pytest.mark.slow),
        pytest.param(PRELOADS, plain_plans, id="preloaded, without namespaces", marks=pytest.mark.slow),
    ],
)
async def test_what_a_package_tries_while_it_is_imported_is_refused(
    prepared: Prepared, preloads: tuple[str, ...], settings: Callable[[], Any]
) -> None:
    given = {"environment": prepared.environment, "profile": Profile(), "modules": HOSTILE_MODULES, **settings()}
    async with pool_of(1, **given) as pool:
        done = await run(pool, REPORT, profile=Profile(preloads=preloads))
        assert done.outcome is Outcome.OK, done.ending
        ahead, seen = done.value
        assert ahead is bool(preloads)
        assert seen.keys() == set(ATTEMPTS)
        assert {name for name, answer in seen.items() if answer == "allowed"} == set()
    assert prepared.ran() == []


async def test_nothing_of_a_package_runs_when_a_slot_starts_or_the_host_is_tried(prepared: Prepared) -> None:
    probe(prepared.environment.interpreter, fresh=True)
    async with pool_of(1, environment=prepared.environment, profile=Profile()) as pool:
        done = await run(pool, "import sys, copy, pickle\nresult = sys.path", profile=Profile())
        assert done.value[-1] == str(prepared.environment.packages)
        assert "/etc" not in done.value
    assert prepared.ran() == []


@pytest.mark.parametrize("settings", [plans, pytest.param(plain_plans, marks=pytest.mark.slow)])
async def test_a_preload_that_starts_a_process_leaves_none(prepared: Prepared, settings: Callable[[], Any]) -> None:
    given = {"environment": prepared.environment, "profile": Profile(), "modules": HOSTILE_MODULES, **settings()}
    async with pool_of(1, **given) as pool:
        done = await run(pool, "result = 1", profile=Profile(preloads=("breeder",)))
        assert done.outcome is Outcome.SANDBOX_UNAVAILABLE
        assert done.ending.error is not None
        assert "a preloaded module has started a process" in done.ending.error.message
        done = await run(pool, "import breeder", profile=Profile())
        assert done.ending.error is not None
        assert done.ending.error.type == "PermissionError"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("leaver", "the preloaded module leaver ended with SystemExit"),
        ("shouter", "ImportError:  [2Jno"),
        ("threader", "a preloaded module has started threads"),
    ],
)
async def test_a_preload_that_fails_ends_its_run_and_says_so(prepared: Prepared, name: str, sentence: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        given = {"environment": prepared.environment, "profile": Profile(), "log_file": Path(folder) / "log"}
        async with pool_of(1, **given, modules=HOSTILE_MODULES) as pool:
            done = await run(pool, "result = 1", profile=Profile(preloads=(name,)))
            assert done.outcome is Outcome.SANDBOX_UNAVAILABLE
            assert done.ending.error is not None
            assert sentence in done.ending.error.message
            # A thread that has ended, as matplotlib's timer has, is none.
            assert (await run(pool, "result = 1", profile=Profile(preloads=("timer",)))).value == 1
        assert "shouted" not in (Path(folder) / "log").read_text()


@pytest.mark.slow
async def test_what_a_preload_reports_in_the_slots_name_ends_its_run_only(prepared: Prepared) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with pool_of(1, environment=prepared.environment, profile=Profile(), modules=HOSTILE_MODULES) as pool:
        for number in range(len(FORGED)):
            done = await run(pool, "result = 1", profile=Profile(preloads=(f"forger{number}",)))
            assert done.outcome is Outcome.SANDBOX_UNAVAILABLE, (number, done.ending)
            assert (await run(pool, "result = 1", profile=Profile())).value == 1
    assert problems == []
