"""Whatever happens to files, index and engine, in any order: what is listed and found is what the files say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from store.errors import Conflict, NotFound
from store.files.save import sha256
from store.files.scripts import ScriptFiles
from store.index import database as index_module
from store.index.reconcile import Reconciler

T = TypeVar("T")

NAMES = st.sampled_from(["a.py", "b.py", "in/a.py", "in/deep/c.py", "Ü.py"])
WORDS = ("alpha", "beta", "gamma", "delta")
TEXTS = st.sampled_from(
    [f"# /// script\n# [tool.gatewright]\n# title = '{word} title'\n# ///\n# {word}\n" for word in WORDS]
    + ["plain gamma\n", "# /// script\n# broken delta\n", ""]
)
FAULTS = st.sampled_from(["_apply", "_replace"])
CODES = st.sampled_from([sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT])


class Stop(Exception):
    """Ends a rebuild."""


class IndexMachine(RuleBasedStateMachine):
    """Files as a dict beside the real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        for name in ("scripts", "history"):
            (self.root / name).mkdir()
        self.files = ScriptFiles(self.root / "scripts", self.root / "history")
        self.model: dict[str, str] = {}
        self.runner = asyncio.Runner()
        self.reconciler = self.do(Reconciler.open(self.files, self.root / "index.db"))

    def do(self, work: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await work

        return self.runner.run(wrapped())

    def teardown(self) -> None:
        self.do(self.reconciler.close())
        self.runner.close()
        shutil.rmtree(self.root)

    @rule(path=NAMES, text=TEXTS)
    def save(self, path: str, text: str) -> None:
        base = None if path not in self.model else sha256(self.model[path].encode())
        try:
            self.files.save(path, text.encode(), base)
        except (Conflict, NotFound):
            return
        self.model[path] = text
        self.do(self.reconciler.saved(path))

    @rule(path=NAMES, text=TEXTS)
    def write_outside(self, path: str, text: str) -> None:
        file = self.root / "scripts" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.model[path] = text

    @rule(path=NAMES, text=TEXTS)
    def write_outside_and_hide_it(self, path: str, text: str) -> None:
        """Same inode, same times: as a tool does that keeps them."""
        file = self.root / "scripts" / path
        if file.exists():
            before = file.stat()
            file.write_text(text)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.model[path] = text

    @rule(old=NAMES, new=NAMES)
    def rename_outside(self, old: str, new: str) -> None:
        if old in self.model and old != new:
            target = self.root / "scripts" / new
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.root / "scripts" / old).rename(target)
            self.model[new] = self.model.pop(old)

    @rule(path=NAMES)
    def delete_outside(self, path: str) -> None:
        if self.model.pop(path, None) is not None:
            (self.root / "scripts" / path).unlink()

    @rule()
    def look(self) -> None:
        self.do(self.reconciler.scripts())

    @rule()
    def rebuild(self) -> None:
        report = self.do(self.reconciler.rebuild(lambda _, __: None))
        assert report.scripts == len(self.model)

    @rule(steps=st.integers(0, 12))
    def rebuild_is_stopped(self, steps: int) -> None:
        left = iter(range(steps))

        def stop(_: str, __: int) -> None:
            if next(left, None) is None:
                raise Stop

        with contextlib.suppress(Stop):
            self.do(self.reconciler.rebuild(stop))

    @rule(name=FAULTS, code=CODES, rebuild=st.booleans())
    def fault(self, name: str, code: int, rebuild: bool) -> None:
        """The database fails after it has done its work, before it is committed."""
        work = getattr(index_module, name)

        def failing(*arguments: object) -> None:
            work(*arguments)
            patch.undo()
            error = sqlite3.OperationalError("injected")
            error.sqlite_errorcode = code
            raise error

        patch = pytest.MonkeyPatch()
        patch.setattr(index_module, name, failing)
        try:
            self.do(self.reconciler.rebuild(lambda _, __: None) if rebuild else self.reconciler.scripts())
        finally:
            patch.undo()

    @rule(damage=st.sampled_from(["none", "delete", "zero", "garbage", "truncate"]))
    def restart(self, damage: str) -> None:
        self.do(self.reconciler.close())
        index = self.root / "index.db"
        size = index.stat().st_size if index.exists() else 0
        match damage:
            case "delete":
                index.unlink(missing_ok=True)
            case "zero":
                index.write_bytes(bytes(size))
            case "garbage":
                index.write_bytes(os.urandom(size))
            case "truncate" if size:
                os.truncate(index, size // 2)
        if index.exists():
            index.chmod(0o600)
        self.reconciler = self.do(Reconciler.open(self.files, index))

    @rule()
    def crash(self) -> None:
        """The engine is killed: what lies on disk is opened by another one."""
        copy = self.root / "copy"
        copy.mkdir()
        for suffix in ("", "-wal"):
            file = self.root / f"index.db{suffix}"
            if file.exists():
                shutil.copy(file, copy)
        self.do(self.reconciler.close())
        for suffix in ("", "-wal", "-shm"):
            (self.root / f"index.db{suffix}").unlink(missing_ok=True)
        for file in copy.iterdir():
            file.rename(self.root / file.name)
        copy.rmdir()
        self.reconciler = self.do(Reconciler.open(self.files, self.root / "index.db"))

    @invariant()
    def the_index_is_what_the_files_are(self) -> None:
        rows = self.do(self.reconciler.scripts())
        assert {row.path: row.sha256 for row in rows} == {
            path: sha256(text.encode()) for path, text in self.model.items()
        }
        for word in WORDS:
            found = {hit.path for hit in self.do(self.reconciler.search(word, 50))}
            assert found == {path for path, text in self.model.items() if word in text}


IndexMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestIndexMachine = IndexMachine.TestCase
