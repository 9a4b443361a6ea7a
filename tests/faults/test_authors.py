"""All authors at once: editors, vim, git, crashes, a lost index; held against a model of what they have seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from test_script_machine import PATHS, TEXTS, Scripts, sha

INDEX_DAMAGES = st.sampled_from(["none", "delete", "zero", "garbage", "truncate", "folder"])


class Authors(Scripts):
    """Adds what happens outside. ``committed`` is the last commit; what git overwrote, its user wanted overwritten."""

    @initialize()
    def start(self) -> None:
        super().start()
        self.committed: dict[str, str] = {}
        self._git("init", "-q", "-b", "main")
        self._git("commit", "-q", "--allow-empty", "-m", "begin")

    def _git(self, *command: str) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@plant.example", "-c", "gc.auto=0"]
        folder = self.root / "scripts"
        subprocess.run(["git", *who, *command], cwd=folder, env=environment, check=True, capture_output=True)

    @rule(path=PATHS, text=TEXTS)
    def vim_replaces(self, path: str, text: str) -> None:
        """As vim saves where it may: a new file under a name of its own, then renamed over the script."""
        file = self.root / "scripts" / path
        file.parent.mkdir(exist_ok=True)
        mine = file.with_name(f"{file.name}~")
        mine.write_bytes(text.encode())
        mine.rename(file)
        self.model[path] = text

    @rule(old=PATHS, new=PATHS)
    def rename_outside(self, old: str, new: str) -> None:
        if old in self.model and old != new:
            target = self.root / "scripts" / new
            target.parent.mkdir(exist_ok=True)
            (self.root / "scripts" / old).rename(target)
            self.model[new] = self.model.pop(old)

    @rule()
    def git_commit(self) -> None:
        self._git("add", "-A", ".")
        self._git("commit", "-q", "--allow-empty", "-m", "more")
        self.committed = dict(self.model)

    @precondition(lambda self: getattr(self, "committed", None))
    @rule()
    def git_checkout(self) -> None:
        """Every committed script is what it was."""
        self._git("checkout", "-q", "-f", "HEAD", "--", ".")
        self.model.update(self.committed)

    @precondition(lambda self: getattr(self, "committed", None))
    @rule(back=st.booleans())
    def git_stash(self, back: bool) -> None:
        """Tracked scripts go to what was committed, and come back if they are wanted."""
        if {path: text for path, text in self.model.items() if path in self.committed} == self.committed:
            return
        before = dict(self.model)
        self._git("stash", "-q")
        self.model.update(self.committed)
        if back:
            self._git("stash", "pop", "-q")
            self.model = before

    @rule()
    def crash(self) -> None:
        """What lies on the disk at this moment is what the next engine finds: it is taken away from under this one."""
        copy = Path(tempfile.mkdtemp(prefix="gatewright-test-"))
        shutil.copytree(self.root, copy, dirs_exist_ok=True, symlinks=True)
        self._close()
        shutil.rmtree(self.root)
        self.root = copy
        self.do(self._open())

    @rule(damage=INDEX_DAMAGES)
    def restart_with_another_index(self, damage: str) -> None:
        self._close()
        index = self.root / "index.db"
        if index.is_dir():
            index.rmdir()
        size = index.stat().st_size if index.exists() else 4096
        match damage:
            case "delete":
                index.unlink(missing_ok=True)
            case "zero":
                index.write_bytes(bytes(size))
            case "garbage":
                index.write_bytes(os.urandom(size))
            case "truncate" if index.exists():
                os.truncate(index, size // 2)
            case "folder":
                index.unlink(missing_ok=True)
                index.mkdir()
        if index.is_file():
            index.chmod(0o600)
        self.do(self._open())

    def _close(self) -> None:
        self.do(self.writer.settled())
        self.do(self.reconciler.close())
        self.do(self.state.close())

    @invariant()
    def the_index_is_what_the_files_are(self) -> None:
        if hasattr(self, "reconciler"):
            rows = self.do(self.reconciler.scripts())
            assert {row.path: row.sha256 for row in rows} == {path: sha(text) for path, text in self.model.items()}


@pytest.mark.parametrize(
    ("examples", "steps"),
    [pytest.param(200, 40, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_no_order_of_events_loses_anything(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Authors,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
