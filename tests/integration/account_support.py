"""Commands run by an ordinary account: uid and gid of nobody else's, with an interpreter that it may execute."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon_support import parents
from pool_kit import processes_with

UID = 54_322 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
"""Of its own for each worker of a test run: what one's tests kill and count is none of the other's."""

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 60.0

CHOSEN = "GATEWRIGHT_TEST_INTERPRETER"
"""The variable that names the interpreter of the scripts (``pool_kit.environment``)."""


class OrdinaryAccount:
    """An account without rights, and a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._around: list[str] = []

    @contextmanager
    def inside(self, *around: str) -> Iterator[None]:
        """Meanwhile its commands run inside the command ``around``, which itself has the rights of the tests."""
        self._around = [*around]
        try:
            yield
        finally:
            self._around = []

    def command(self, *arguments: str) -> list[str]:
        """``gatewright`` with ``arguments``, called by this account."""
        return self.python("-m", "tui.cli", *arguments)

    def python(self, *arguments: str) -> list[str]:
        """The interpreter with ``arguments``, called by this account."""
        return [*_where_all_reach_python(), *self._around, *self._drop(), sys.executable, *arguments]

    def command_of_root(self, *arguments: str) -> list[str]:
        """The same, called by root where the account can execute the interpreter, too."""
        return [*_where_all_reach_python(), sys.executable, "-m", "tui.cli", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
            check=False, cwd="/", env=environment(),
        )  # fmt: skip

    def folder(self, name: str) -> Path:
        """A new folder that belongs to the account."""
        folder = self.home / name
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, UID, UID)
        return folder

    def own(self, tree: Path) -> None:
        """Give ``tree`` and everything in it to the account."""
        if os.geteuid() == 0:
            for path in [tree, *tree.rglob("*")]:
                os.chown(path, UID, UID)

    def _drop(self) -> list[str]:
        """What to put before a command that root gives, so that it runs under this account."""
        return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"] if os.geteuid() == 0 else []

    def processes(self) -> set[int]:
        """What runs on its behalf, by the uid that the kernel notes; only for a uid that nobody else uses."""
        found = set()
        for pid in parents():
            try:
                if os.stat(f"/proc/{pid}").st_uid == UID:
                    found.add(pid)
            except FileNotFoundError:
                continue
        return found


def environment() -> dict[str, str]:
    chosen = {CHOSEN: os.environ[CHOSEN]} if CHOSEN in os.environ else {}
    return chosen | {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "HOME": "/nonexistent", "LANG": "C.UTF-8",
        "GATEWRIGHT_YIELD_ENABLED": "false",
    }  # fmt: skip


@contextmanager
def ordinary_account() -> Iterator[OrdinaryAccount]:
    home = Path(tempfile.mkdtemp(prefix="gatewright-account-", dir="/tmp"))
    home.chmod(0o755)
    try:
        yield OrdinaryAccount(home)
    finally:
        end_processes_with(str(home))
        shutil.rmtree(home)


def end_processes_with(mark: str) -> None:
    """Kill what a test that failed has left running, by its command lines: a fork bomb takes more than one round."""
    deadline = time.monotonic() + PATIENCE
    while found := processes_with(mark):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(found)} processes cannot be ended, {min(found)} among them")
        time.sleep(0.02)


def _where_all_reach_python() -> list[str]:
    """What to put before a command so that every account can execute the interpreter and read the repository.

    Where they lie in a folder that is closed to others (/root), the command gets a mount namespace of its own, in which
    the way to them is open.
    """
    if os.geteuid() != 0:
        return []
    closed = {tree: top for tree in _needed() if (top := _closed_top(tree)) is not None}
    if not closed:
        return []
    script = ["set -e", "hold=$(mktemp -d)"]
    for number, tree in enumerate(closed):
        script.append(f'mkdir "$hold/{number}"; mount --bind {shlex.quote(str(tree))} "$hold/{number}"')
    script += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(top))}" for top in sorted(set(closed.values()))]
    for number, tree in enumerate(closed):
        where = shlex.quote(str(tree))
        script.append(f'mkdir -p {where}; mount --bind "$hold/{number}" {where}; umount "$hold/{number}"')
    script.append('rm -r "$hold"; exec "$@"')
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script), "sh"]


def _needed() -> set[Path]:
    chosen = {Path(os.environ[CHOSEN]).resolve().parents[1]} if CHOSEN in os.environ else set()
    return {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), REPOSITORY} | chosen


def _closed_top(tree: Path) -> Path | None:
    """The topmost folder on the way to ``tree`` that other accounts may not pass."""
    return next((folder for folder in [*tree.parents][::-1] if not folder.stat().st_mode & 0o001), None)
