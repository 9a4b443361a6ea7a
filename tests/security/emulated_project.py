"""A project on an emulated host, used by root or by an ordinary account through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from account_support import PATIENCE, UID, OrdinaryAccount, environment
from daemon_support import ProjectUnderTest, alive, family, wait_for

HARNESS = str(Path(__file__).with_name("emulated_host.py"))
AS_ROOT, AS_ORDINARY = "root", "ordinary"
ACCOUNTS = (AS_ROOT, AS_ORDINARY) if os.geteuid() == 0 else (AS_ORDINARY,)


class EmulatedProject:
    """Calls ``gatewright`` on the project in ``root``, every time inside the host that lacks ``lack``.

    Attributes:
        lack: As ``emulated_host.py`` takes it; empty for this host as it is.
    """

    def __init__(self, root: Path, who: str, account: OrdinaryAccount, lack: str) -> None:
        self.root = root
        self.lack = lack
        self._ordinary = who == AS_ORDINARY
        self._account = account
        self.under_test = ProjectUnderTest(root)

    def python(self, *arguments: str) -> list[str]:
        """The interpreter with ``arguments``, called by the account, inside the host."""
        around = [sys.executable, HARNESS, self.lack, "--"] if self.lack else []
        if not self._ordinary:
            return [*around, sys.executable, *arguments]
        with self._account.inside(*around):
            return self._account.python(*arguments)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.python("-m", "tui.cli", "--project", str(self.root), *arguments)
        return self.run(command)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/",
            env=environment(),
        )  # fmt: skip

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What the command prints with ``--json``; it must leave with ``code``."""
        done = self.call("--json", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def findings(self) -> dict[str, Any]:
        """The doctor's, by layer; those about no layer by what was tried."""
        return {finding["layer"] or finding["tried"]: finding for finding in self.json("doctor")["findings"]}

    def settings(self, text: str) -> None:
        self.under_test.settings(text)
        self.own(self.under_test.paths.private)

    def own(self, *paths: Path) -> None:
        """Give them, and what is below, to the account."""
        if not self._ordinary or os.geteuid() != 0:
            return
        for path in paths:
            for below in (path, *path.rglob("*")):
                os.chown(below, UID, UID, follow_symlinks=False)

    @property
    def library_folder(self) -> Path:
        """Where scripts' packages are: RESTRICTED scripts may read it, and the account may write it."""
        return next((self.under_test.paths.private / "envs/default/lib").glob("python3*")) / "site-packages"

    def end(self) -> None:
        """Stop the engine, and make sure that nothing of it is left."""
        if not self.under_test.lives:
            return
        members = family(self.under_test.engine_pid)
        stopped = self.call("engine", "stop", "--force")
        assert stopped.returncode == 0, stopped.stderr
        wait_for(lambda: not alive(members))


@contextmanager
def emulated_project(who: str, account: OrdinaryAccount, lack: str) -> Iterator[EmulatedProject]:
    """A new project without an engine; whatever engine a test starts has ended afterwards."""
    root = account.home / f"{who}-{lack.replace(',', '-') or 'whole'}-{len(list(account.home.iterdir()))}"
    (root / ".gatewright").mkdir(parents=True, mode=0o700)
    project = EmulatedProject(root, who, account, lack)
    project.own(root)
    try:
        yield project
    finally:
        project.end()
