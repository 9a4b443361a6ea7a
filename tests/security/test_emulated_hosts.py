"""On hosts that lack a layer, RESTRICTED is what it says or refuses; for root and for an ordinary account.

Every run is asked for as users do it, by the command line, with all of the engine inside the emulated host. Each host
is met by both accounts; one of them, in turn, has to wait for the long tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from account_support import OrdinaryAccount, ordinary_account
from decisive_attacks import ATTACKS, Targets, script
from emulated_project import ACCOUNTS, EmulatedProject, emulated_project

REFUSED = 4
"""The exit code of what role, policy or sandbox refuse."""


FORGED_FINDINGS = """
import json, os, sys
from pathlib import Path
from engine.sandbox.probe import host_mark
private = Path(sys.argv[1], ".gatewright")
kept = private / "sandbox.json"
known = json.loads(kept.read_text())
known["host"] = host_mark(private / "envs/default/bin/python")
known["findings"] = {"abi": 7, "failures": dict.fromkeys(known["findings"]["failures"])}
kept.write_text(json.dumps(known))
command = ["-m", "tui.cli", "--json", "--project", sys.argv[1], "exec", "result = 1"]
os.execv(sys.executable, [sys.executable, *command])
"""
"""Makes the engine that comes next believe that every layer has been tried here, and works."""


@dataclass(frozen=True)
class Expected:
    """What is promised on a host.

    Attributes:
        level: Of RESTRICTED runs.
        has: Layers that the isolation line names.
        lacks: What it says is missing; of a refusal, the words that name the layer.
        wanting: The layers that the doctor does not find.
    """

    level: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    wanting: tuple[str, ...] = ()


CONTAINED = ("user namespace", "namespaces", "private view", "scratch", "file locks")
LISTENED_TO = ("Landlock", "file locks")
"""Where the host is emulated by a filter with a listener: there can be one only (seccomp(2), EBUSY)."""
HOSTS = {
    "": Expected("full", ("userns", "pidns", "netns", "tmpfs", "view", "landlock", "seccomp")),
    "no-userns": Expected("core", ("landlock", "seccomp"), ("no userns", "no scratch"), CONTAINED),
    "apparmor-like": Expected("core", ("landlock", "seccomp"), ("no userns", "no scratch"), CONTAINED[1:]),
    "container": Expected("core", ("landlock", "seccomp"), ("no userns", "no scratch"), CONTAINED),
    "no-userns,landlock-abi-3": Expected("core", ("landlock3", "seccomp"), ("no userns",), CONTAINED),
    "no-listener": Expected("full", ("userns", "view", "landlock", "seccomp"), (), ("file locks",)),
    "no-landlock": Expected("core", ("userns", "view", "seccomp"), ("no landlock",), ("Landlock",)),
    "landlock-off": Expected("core", ("userns", "view", "seccomp"), ("no landlock",), ("Landlock",)),
    "landlock-abi-1": Expected("full", ("userns", "view", "landlock1", "seccomp"), (), LISTENED_TO),
    "linux-4.18": Expected("core", ("userns", "view", "seccomp"), ("no landlock",), ("Landlock", "file locks")),
    "no-seccomp": Expected("refused", lacks=("no seccomp",), wanting=("seccomp", "file locks")),
    "no-userns,no-landlock": Expected(
        "refused", lacks=("no Landlock", "no user namespace"), wanting=(*CONTAINED, "Landlock")
    ),
    "no-userns,landlock-abi-1": Expected(
        "refused", lacks=("Landlock 1 lets files be truncated", "no user namespace"), wanting=(*CONTAINED, "Landlock")
    ),
}
REFUSING = [lack for lack, expected in HOSTS.items() if expected.level == "refused"]
RUNNING = [lack for lack, expected in HOSTS.items() if expected.level != "refused"]


@pytest.fixture(scope="module")
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as made:
        yield made


def met(hosts: Iterable[str], *, first: int, usual: int = len(HOSTS)) -> pytest.MarkDecorator:
    """Both accounts on each of the hosts.

    Args:
        hosts: What they lack.
        first: Which of the accounts meets the first host in the ordinary suite.
        usual: How many hosts are met there.
    """
    return pytest.mark.parametrize(
        ("who", "lack"),
        [
            pytest.param(
                who,
                lack,
                id=f"{who}-{lack}",
                marks=[] if at < usual and (at + first) % len(ACCOUNTS) == by else pytest.mark.slow,
            )
            for by, who in enumerate(ACCOUNTS)
            for at, lack in enumerate(hosts)
        ],
    )


@pytest.fixture
def project(who: str, account: OrdinaryAccount, lack: str) -> Iterator[EmulatedProject]:
    with emulated_project(who, account, lack) as made:
        yield made


@met(HOSTS, first=0, usual=4)
def test_the_doctor_says_what_is_missing_and_what_follows(project: EmulatedProject, lack: str) -> None:
    expected = HOSTS[lack]
    found = project.findings()
    wanting = {layer for layer in found if layer not in ("RESTRICTED", "ADMIN") and found[layer]["protects"]
               and found[layer]["level"] != "ok"}  # fmt: skip
    assert wanting == set(expected.wanting)
    assert all(found[layer]["advice"] for layer in wanting)
    assert found["RESTRICTED"]["found"].startswith(f"{expected.level}: ")
    assert found["RESTRICTED"]["level"] == ("fail" if expected.level == "refused" else "ok")
    assert not any("itself failed" in finding["found"] for finding in found.values())


@met(RUNNING, first=1, usual=2)
def test_restricted_runs_as_promised_and_holds(project: EmulatedProject, lack: str) -> None:
    run = project.json("exec", "print('heard')\nresult = sum(range(10))")
    assert (run["outcome"], run["value"], run["stdout"]) == ("ok", 45, "heard\n")
    check_isolation(run["isolation"], HOSTS[lack])
    check_what_is_missing_is_said(project, run["note"], HOSTS[lack])
    targets = targets_of(project)
    control = project.run(project.python("-c", f"{script(targets)}\nimport json; print(json.dumps(result))"))
    assert json.loads(control.stdout) == dict.fromkeys(ATTACKS, "escaped"), "an attack that proves nothing"
    assert not targets.unharmed()
    targets = targets_of(project)
    run = project.json("exec", script(targets))
    assert run["outcome"] == "ok", run
    assert run["value"].keys() == set(ATTACKS)
    assert "escaped" not in run["value"].values(), run["value"]
    assert targets.unharmed()


@met(REFUSING, first=0, usual=1)
def test_restricted_is_refused_and_says_which_layer_is_missing(project: EmulatedProject, lack: str) -> None:
    refused = project.call("exec", "result = 1")
    assert refused.returncode == REFUSED, refused.stdout + refused.stderr
    assert refused.stdout == ""
    assert all(words in refused.stderr for words in HOSTS[lack].lacks), refused.stderr
    assert "Traceback" not in refused.stderr
    assert project.json("exec", "result = 1", code=REFUSED)["code"] == "sandbox_unavailable"
    status = project.json("engine", "status")
    assert status["engine"]["pid"], "the engine itself is there"


@met(REFUSING, first=1, usual=1)
def test_only_the_policy_lets_it_run_degraded_and_every_result_says_so(project: EmulatedProject, lack: str) -> None:
    project.settings("[policy]\nallow_degraded = true\n")
    assert project.findings()["RESTRICTED"]["found"].startswith("degraded: ")
    for _ in range(2):
        run = project.json("exec", "result = 6 * 7")
        assert (run["outcome"], run["value"]) == ("ok", 42)
        assert run["isolation"].startswith("degraded: ")
        assert run["note"].startswith("This host holds scripts at level degraded: ")
    assert project.json("runs", "show", str(run["id"]))["isolation"].startswith("degraded: ")


@met(["no-userns", "no-landlock", "no-seccomp", "no-userns,no-landlock"], first=0, usual=1)
def test_a_stale_probe_never_lets_a_run_pass_for_more_than_it_is(
    project: EmulatedProject, account: OrdinaryAccount, lack: str
) -> None:
    """Findings of a whole host with the mark of this one: the zygote puts its layers on for real, or nothing runs."""
    project.call("exec", "1")
    project.end()
    done = project.run(project.python("-c", FORGED_FINDINGS, str(project.root)))
    run = json.loads(done.stdout)
    if run.get("outcome") == "ok":
        check_isolation(run["isolation"], HOSTS[lack])
    else:
        assert done.returncode == REFUSED
        assert "sandbox_unavailable" in (run.get("outcome"), run.get("code"))


@met(["no-userns", "no-landlock"], first=1, usual=1)
def test_findings_of_a_whole_host_are_not_used_on_another(project: EmulatedProject, lack: str) -> None:
    project.lack = ""
    assert project.json("exec", "1")["isolation"].startswith("full: ")
    project.end()
    project.lack = lack
    run = project.json("exec", "1")
    check_isolation(run["isolation"], HOSTS[lack])


def check_isolation(line: str, expected: Expected) -> None:
    level, _, layers = line.partition(": ")
    has, *lacks = layers.split(", ")
    assert level == expected.level, line
    names = has.split("+")
    assert all(any(name.startswith(layer) for name in names) for layer in expected.has), line
    assert all(lack in lacks for lack in expected.lacks), line
    assert not any(f"no {name}" in lacks for name in names), line


def check_what_is_missing_is_said(project: EmulatedProject, note: str | None, expected: Expected) -> None:
    """In the record of the run and among the engine's problems, with what to do; on a host that lacks nothing, not."""
    problems = project.json("engine", "status")["engine"].get("problems", [])
    if expected.level == "full" and "file locks" in expected.wanting:
        assert note is not None
        assert note.startswith("This host holds scripts at level full: no locks on files, so no SQLite")
        assert note in problems
        return
    if expected.level == "full":
        assert note is None
        assert not any("gatewright doctor" in problem for problem in problems)
        return
    assert note is not None
    assert note.startswith(f"This host holds scripts at level {expected.level}: ")
    missing = {"no userns": "no user namespace", "no scratch": "no scratch folder", "no landlock": "no Landlock"}
    assert all(missing[lack] in note for lack in expected.lacks)
    assert note.endswith("`gatewright doctor` says what to do.")
    assert note in problems


def targets_of(project: EmulatedProject) -> Targets:
    """Fresh ones, that the account itself could read, write and reach."""
    folder = project.root / "beside"
    folder.mkdir(exist_ok=True)
    status: dict[str, Any] = project.json("engine", "status")
    targets = Targets(
        folder=folder,
        library=Path(project.library_folder, "attacked.py"),
        socket=project.under_test.paths.socket,
        pid=status["engine"]["pid"],
    )
    targets.put()
    project.own(folder, targets.library)
    return targets
