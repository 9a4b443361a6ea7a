"""What must be killed is killed, as root and as an ordinary account, with namespaces and without.

Each account meets each level, and each level of ADMIN; half of that with the long tests: most of it is waiting for runs
to reach their limits.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from account_support import UID, OrdinaryAccount, end_processes_with, environment, ordinary_account
from pool_kit import environment as environment_of_tests
from pool_kit import processes_with

SCRIPT = str(Path(__file__).with_name("pool_scenarios.py"))
KILLS = ("bomb", "power", "deaf")
RESTRICTED = (*KILLS, "memory", "mess", "threads", "victim")
PLAIN = ("bomb", "power", "deaf", "memory", "threads", "victim")
"""Without namespaces there is no scratch to make a mess in."""

ADMIN = ("--admin", *KILLS, "daemons", "memory", "mess", "threads", "leaving", "victim", "out_of_reach")
PLAIN_ADMIN = ("--plain", *(work for work in ADMIN if work != "bomb"))
"""No fork bomb: without namespaces nothing bounds the number of an account's processes."""

FULL = "full: userns+pidns+netns+ipcns+tmpfs+view+landlock"
CORE = "core: landlock"


@pytest.fixture(scope="module")
def account() -> Iterator[OrdinaryAccount]:
    with ordinary_account() as made:
        yield made


def play(command: list[str], folder: Path) -> dict[str, object]:
    """Run scenarios in a process of their own; what they leave behind would be found by the folder's name."""
    # Bombs go off in there: what other tests do at the same time must get the processor all the same.
    with subprocess.Popen(
        ["nice", "-n", "15", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd="/", env=environment() | {"TMPDIR": str(folder)}, start_new_session=True,
    ) as playing:  # fmt: skip
        try:
            told, problem = playing.communicate(timeout=110)
        finally:
            if playing.poll() is None:
                os.killpg(playing.pid, signal.SIGKILL)
                end_processes_with(str(folder))
    assert playing.returncode == 0, problem[-3000:]
    assert not processes_with(str(folder))
    answer: dict[str, object] = json.loads(told)
    return answer


def test_this_account(tmp_path: Path) -> None:
    answer = play([sys.executable, SCRIPT, str(tmp_path), *RESTRICTED], tmp_path)
    assert answer["uid"] == os.geteuid()
    assert str(answer["isolation"]).startswith(FULL)


@pytest.mark.slow
def test_an_ordinary_account(account: OrdinaryAccount) -> None:
    folder = account.folder("contained")
    answer = play(account.python(SCRIPT, str(folder), *RESTRICTED), folder)
    assert answer["uid"] == (UID if os.geteuid() == 0 else os.geteuid())
    assert str(answer["isolation"]).startswith(FULL)


@pytest.mark.slow
def test_this_account_without_namespaces(tmp_path: Path) -> None:
    answer = play([sys.executable, SCRIPT, str(tmp_path), "--plain", *PLAIN], tmp_path)
    assert str(answer["isolation"]).startswith(CORE)
    assert str(answer["isolation"]).endswith("no userns, no scratch")


def test_an_ordinary_account_without_namespaces(account: OrdinaryAccount) -> None:
    folder = account.folder("plain")
    answer = play(account.python(SCRIPT, str(folder), "--plain", *PLAIN), folder)
    assert str(answer["isolation"]).startswith(CORE)


@pytest.mark.slow
def test_admin_runs_of_this_account(tmp_path: Path) -> None:
    answer = play([sys.executable, SCRIPT, str(tmp_path), *ADMIN], tmp_path)
    assert "pidns" in str(answer["isolation"])
    assert "no sandbox" in str(answer["isolation"])


def test_admin_runs_of_an_ordinary_account(account: OrdinaryAccount) -> None:
    folder = account.folder("admin")
    answer = play(account.python(SCRIPT, str(folder), *ADMIN), folder)
    assert str(answer["isolation"]).startswith("admin: userns+pidns+tmpfs, no sandbox")


@pytest.mark.slow
@pytest.mark.parametrize("ordinary", [False, True])
def test_admin_runs_without_namespaces(account: OrdinaryAccount, ordinary: bool, tmp_path: Path) -> None:
    folder = account.folder("plain-admin") if ordinary else tmp_path
    command = account.python(SCRIPT, str(folder), *PLAIN_ADMIN) if ordinary else [
        sys.executable, SCRIPT, str(folder), *PLAIN_ADMIN
    ]  # fmt: skip
    assert "no pid namespace" in str(play(command, folder)["isolation"])


@pytest.mark.slow
def test_scripts_run_on_the_systems_python_too(account: OrdinaryAccount) -> None:
    """An interpreter that is not the engine's own, of whatever build the distribution made."""
    system = Path("/usr/bin/python3")
    if not system.exists():
        pytest.skip("this host has no /usr/bin/python3")
    folder = account.folder("system")
    command = ["env", f"GATEWRIGHT_TEST_INTERPRETER={system}", *account.python(SCRIPT, str(folder), *RESTRICTED)]
    assert str(play(command, folder)["isolation"]).startswith(FULL)


def test_the_interpreter_for_tests_is_a_real_environment() -> None:
    assert environment_of_tests().prefix.joinpath("pyvenv.cfg").exists()
