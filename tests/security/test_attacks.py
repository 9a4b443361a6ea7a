"""Every attack of the catalogue gets through in a plain process and not in RESTRICTED, as root and as another account.

The attacks are made by ``attack_host.py``, once for each account and level, all of them at once; here what it saw is
judged, so that a failure names the attack. Variants of an attack are tried with the long tests, among all others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account_support import UID, OrdinaryAccount, environment, ordinary_account
from attack import Allowed, Attack
from catalogue import ALLOWED, ATTACKS, VARIANTS
from outside import Outside, tag_of

SCRIPT = str(Path(__file__).with_name("attack_host.py"))
ROOT = os.geteuid() == 0
PATIENCE = 1000.0

FULL = ("this account", "an ordinary account") if ROOT else ("this account",)
"""Without root there is one account only, and it is an ordinary one."""

CORE = "an account without namespaces"
CORE_SUBJECTS = (
    "files", "writes", "write_grant", "own_files", "locks", "network", "processes", "memory_of_others", "shared_memory",
    "frames", "arguments", "allowed",
)  # fmt: skip
"""What rests on Landlock and seccomp alone there, or on the engine itself."""

pytestmark = pytest.mark.timeout(PATIENCE)


class Trials:
    """The trials of all accounts, under way at the same time."""

    def __init__(self, account: OrdinaryAccount, folder: Path, names: set[str], *, variants: bool) -> None:
        """Begin the trials of the accounts in ``names``."""
        asked = ["--variants"] if variants else []
        full, core = account.folder("full"), account.folder("core")
        commands = {
            "this account": [sys.executable, SCRIPT, str(folder), *asked],
            "an ordinary account": account.python(SCRIPT, str(full), *asked),
            CORE: account.python(SCRIPT, str(core), "--core", *asked, *CORE_SUBJECTS),
        }
        self._folders = (folder, full, core)
        self._begun = {name: _begin(command) for name, command in commands.items() if name in names}
        self._reports: dict[str, dict[str, Any]] = {}

    def report(self, name: str) -> dict[str, Any]:
        """What a trial saw; waits for its end."""
        if name not in self._reports:
            output, errors = self._begun[name].communicate(timeout=PATIENCE)
            self._reports[name] = json.loads(output) if output else {"broke": errors[-3000:]}
        report = self._reports[name]
        assert "broke" not in report, report["broke"]
        return report

    def end(self) -> None:
        for process in self._begun.values():
            process.terminate()
        for process in self._begun.values():
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate(timeout=20)
        for folder in self._folders:  # what a trial that was killed could not take away itself
            Outside(tag_of(folder), 0, folder).files()


def _begin(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        env=environment() | {"GATEWRIGHT_TEST_NUMPY": os.environ.get("GATEWRIGHT_TEST_NUMPY", "")},
    )  # fmt: skip


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    asked = [item for item in request.session.items if item.path == Path(__file__)]
    variants = any(item.get_closest_marker("slow") for item in asked)
    specs = [item.callspec for item in asked if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    names = {str(spec.params["account"]) for spec in specs if "account" in spec.params}
    folder = tempfile.mkdtemp(prefix="gwtrial-", dir="/tmp")  # short: sockets lie in it
    with ordinary_account() as account:
        made = Trials(account, Path(folder), names, variants=variants)
        try:
            yield made
        finally:
            made.end()
            shutil.rmtree(folder, ignore_errors=True)


every_attack = pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=name, marks=[pytest.mark.slow] if name in VARIANTS else [])
        for name, attack in ATTACKS.items()
    ],
)
ACCOUNTS = [pytest.param(name, marks=[pytest.mark.slow] if ROOT and name == FULL[0] else []) for name in FULL]
"""Root makes its attacks with the long tests: as an ordinary account everything is tried that root has of a sandbox."""
every_full_account = pytest.mark.parametrize("account", ACCOUNTS)
every_account = pytest.mark.parametrize("account", [*ACCOUNTS, CORE])
name_of = {id(attack): name for name, attack in ATTACKS.items()}


@every_full_account
@every_attack
def test_it_gets_through_without_a_sandbox(trials: Trials, account: str, attack: Attack, record_property: Any) -> None:
    """Otherwise its failure in RESTRICTED would prove nothing. What a host cannot show is recorded, not passed over."""
    report = trials.report(account)
    seen = report["plain"][name_of[id(attack)]]
    assert seen["reached"], seen
    if any(sign.startswith(attack.shows) for sign in seen["signs"]):
        return
    if attack.root and report["uid"] != 0:
        record_property("not shown", "only root gets through")
    elif attack.may_lack and seen["lacks"]:
        record_property("not shown", attack.may_lack)
    else:
        raise AssertionError(seen)


@every_account
@every_attack
def test_it_does_not_get_through_in_restricted(trials: Trials, account: str, attack: Attack) -> None:
    """No sign of any kind; the run ends as it should; the next run in the slot is none the worse."""
    name = name_of[id(attack)]
    if account == CORE and not name.startswith(CORE_SUBJECTS):
        return
    seen = trials.report(account)["restricted"][name]
    if not (account == CORE and attack.core):
        assert not seen["signs"], seen
    assert seen["reached"] or seen["outcome"] == "protocol", f"the import rule was taken for a wall: {seen}"
    assert not attack.outcomes or seen["outcome"] in attack.outcomes, seen
    assert not seen["after"], seen


@every_full_account
@pytest.mark.parametrize("attack", [pytest.param(attack, id=name) for name, attack in ATTACKS.items() if attack.admin])
def test_it_does_not_get_through_in_admin_either(trials: Trials, account: str, attack: Attack) -> None:
    seen = trials.report(account)["admin"][name_of[id(attack)]]
    assert seen["reached"], seen
    assert (seen["outcome"], seen["signs"]) == (attack.admin, []), seen


@every_account
@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: case.name)
def test_it_is_allowed_in_restricted(trials: Trials, account: str, case: Allowed) -> None:
    seen = trials.report(account)["allowed"][case.name]
    if account == CORE and case.scratch:
        assert seen["outcome"] == "script_error", seen
        return
    assert (seen["outcome"], seen["value"]) == (case.outcome, case.value), seen
    assert case.says in seen["message"]


@every_account
def test_the_host_is_as_it_was(trials: Trials, account: str) -> None:
    """No file, descriptor, zygote or IPC object is other than before; no process is left (``pool_of`` sees to that)."""
    assert trials.report(account)["sweep"] == []


@pytest.mark.slow
@every_account
def test_the_host_is_as_it_was_after_the_variants_too(trials: Trials, account: str) -> None:
    assert trials.report(account)["sweep"] == []


def test_what_stands_for_a_variant_is_no_variant_itself() -> None:
    assert VARIANTS.keys() <= ATTACKS.keys()
    assert set(VARIANTS.values()) <= ATTACKS.keys() - VARIANTS.keys()


@every_account
def test_the_trials_were_what_they_should_be(trials: Trials, account: str) -> None:
    report = trials.report(account)
    if account == CORE:
        assert report["isolation"].startswith("core: landlock")
        assert report["uid"] != 0
    else:
        assert report["isolation"].startswith("full: userns+pidns+netns+ipcns+tmpfs+view+landlock")
        assert report["uid"] == (os.geteuid() if account == FULL[0] else UID)


@every_account
def test_tracebacks_show_the_scripts_own_lines(trials: Trials, account: str) -> None:
    traceback = trials.report(account)["allowed"]["traceback"]["traceback"]
    assert "return 1 / n  # the line that fails" in traceback
    assert traceback.count("File ") == 3


@every_account
def test_output_keeps_its_order(trials: Trials, account: str) -> None:
    assert trials.report(account)["allowed"]["print"]["stdout"] == "one\ntwo"
