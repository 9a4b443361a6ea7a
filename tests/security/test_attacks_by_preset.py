"""The attacks again where more may be imported: the sandbox holds whatever the import rule lets pass."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from account_support import OrdinaryAccount, environment, ordinary_account
from catalogue import ATTACKS, VARIANTS
from outside import Outside, tag_of
from test_attacks import FULL, PATIENCE, SCRIPT

A_FEW = ("files-runpy", "files-shutil", "files-mmap", "network-socket-inet-stream")
"""Beginnings of names, for the ordinary suite."""

OF_TIME = {"host:late", "host:held up"}
"""Signs that a busy host shows by itself, and no import changes: the trials of the default measure them."""

pytestmark = pytest.mark.timeout(PATIENCE)


@pytest.mark.parametrize(
    ("account", "imports", "names"),
    [
        pytest.param("this account", "everything", A_FEW, id="a few"),
        *(
            pytest.param(account, imports, (), id=f"{imports}-{account}", marks=pytest.mark.slow)
            for account in FULL
            for imports in ("practical", "everything")
        ),
    ],
)
def test_no_attack_gets_through(account: str, imports: str, names: tuple[str, ...]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="gwtrial-", dir="/tmp"))  # short: sockets lie in it
    with ordinary_account() as other:
        try:
            report = attacked(other, account, folder, f"--imports={imports}", *names)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    chosen = {name for name in ATTACKS.keys() - VARIANTS.keys() if not names or name.startswith(names)}
    assert chosen
    assert report["restricted"].keys() == chosen
    for name, seen in report["restricted"].items():
        expected = ATTACKS[name].outcomes
        assert (name, set(seen["signs"]) - OF_TIME, seen["after"]) == (name, set(), "")
        assert not expected or seen["outcome"] in expected, (name, seen)
    assert report["sweep"] == []


def attacked(
    other: OrdinaryAccount, account: str, folder: Path, *arguments: str
) -> dict[str, dict[str, dict[str, str]]]:
    """What ``attack_host.py`` saw as an account."""
    if account == "this account":
        command = [sys.executable, SCRIPT, str(folder), *arguments]
    else:
        folder = other.folder("imports")
        command = other.python(SCRIPT, str(folder), *arguments)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", env=environment(), timeout=PATIENCE, check=False
        )
    finally:
        Outside(tag_of(folder), 0, folder).files()  # what a trial that was killed could not take away itself
    assert done.stdout, done.stderr[-3000:]
    report: dict[str, dict[str, dict[str, str]]] = json.loads(done.stdout)
    return report
