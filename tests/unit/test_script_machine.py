"""Scripts against a model: any order of changes by two authors, of edits outside, crashes and restarts."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, SaveRequest
from engine.models.versions import RestoreRequest, VersionReason
from engine.services import versioned_writer
from engine.services.access import ServiceError, owner_actor
from engine.services.events import EventBus
from engine.services.scripts.changes import ScriptChanges
from engine.services.scripts.dependencies import Dependencies
from engine.services.scripts.service import ScriptService
from engine.services.versioned_writer import VersionedWriter
from store import disk
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.state.database import StateDB

PATHS = st.sampled_from(["a.py", "b.py", "sub/a.py"])
TEXTS = st.sampled_from(["", "one\n", "two\n", "drei \u00e4\n"])
ME = owner_actor()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Scripts(RuleBasedStateMachine):
    """``model`` is what must be on disk; ``seen`` what each path's author has loaded; ``owed`` what must be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="gatewright-test-"))
        self.runner = asyncio.Runner()
        self.model: dict[str, str] = {}
        self.seen: dict[str, str | None] = {}
        self.owed: dict[str, set[str]] = {}

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize()
    def start(self) -> None:
        for name in ("scripts", "history"):
            (self.root / name).mkdir(exist_ok=True)
        self.do(self._open())

    async def _open(self) -> None:
        self.files = ScriptFiles(self.root / "scripts", self.root / "history")
        self.files.recover()
        self.state = await StateDB.open(self.root / "state.db")
        self.writer = VersionedWriter(self.files, self.state.versions)
        await self.writer.after_crash()
        events = EventBus()
        self.reconciler = await Reconciler.open(self.files, self.root / "index.db")
        self.scripts = ScriptService(
            self.files, self.reconciler, self.writer, self.state.approvals, events, Dependencies([])
        )
        self.changes = ScriptChanges(self.scripts, self.files, self.writer, self.state.versions, events)

    def refused(self, work: Coroutine[Any, Any, Any]) -> str | None:
        """The code of the refusal; None if it was done."""
        try:
            self.do(work)
        except ServiceError as error:
            return error.code
        return None

    def replaced(self, path: str) -> None:
        """What ``path`` held is gone from its place: its history owes it."""
        if path in self.model:
            self.owed.setdefault(path, set()).add(self.model[path])

    @rule(path=PATHS)
    def load(self, path: str) -> None:
        self.seen[path] = sha(self.model[path]) if path in self.model else None

    @rule(path=PATHS, text=TEXTS)
    def save(self, path: str, text: str) -> None:
        base = self.seen.get(path)
        now = sha(self.model[path]) if path in self.model else None
        code = self.refused(self.scripts.save(path, SaveRequest(text=text, base_sha256=base), ME))
        if base == now or (now is not None and self.model[path] == text):
            assert code is None
            if self.model.get(path) != text:
                self.replaced(path)
            self.model[path] = text
            self.seen[path] = sha(text)
        else:
            assert code == ("no_script" if now is None else "conflict")

    @rule(path=PATHS, text=TEXTS)
    def edit_outside(self, path: str, text: str) -> None:
        file = self.root / "scripts" / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.encode())
        self.model[path] = text

    @rule(path=PATHS)
    def remove_outside(self, path: str) -> None:
        (self.root / "scripts" / path).unlink(missing_ok=True)
        self.model.pop(path, None)

    @rule(path=PATHS, blind=st.booleans())
    def delete(self, path: str, blind: bool) -> None:
        base = None if blind else self.seen.get(path)
        code = self.refused(self.changes.delete(f"{path}", DeleteRequest(base_sha256=base), ME))
        if path not in self.model:
            assert code == "no_script"
            return
        if base in (None, sha(self.model[path])):
            assert code is None
            self.replaced(path)
            del self.model[path]
        else:
            assert code == "conflict"

    @rule(path=PATHS, new_path=PATHS, blind=st.booleans())
    def rename(self, path: str, new_path: str, blind: bool) -> None:
        base = None if blind else self.seen.get(path)
        code = self.refused(self.changes.rename(path, RenameRequest(new_path=new_path, base_sha256=base), ME))
        if path not in self.model:
            assert code == "no_script"
        elif path == new_path:
            assert code == "bad_name"
        elif new_path in self.model or base not in (None, sha(self.model[path])):
            assert code == "conflict"
        else:
            assert code is None
            self.replaced(path)
            self.model[new_path] = self.model.pop(path)
            self.owed.setdefault(new_path, set()).update(self.owed.pop(path, set()))

    @rule(path=PATHS, new_path=PATHS)
    def duplicate(self, path: str, new_path: str) -> None:
        if path not in self.model or path == new_path:
            return
        code = self.refused(self.changes.duplicate(path, DuplicateRequest(new_path=new_path), ME))
        if self.model.get(new_path, self.model[path]) == self.model[path]:
            assert code is None
            self.model[new_path] = self.model[path]
        else:
            assert code == "conflict"

    @rule(path=PATHS, data=st.data())
    def restore(self, path: str, data: st.DataObject) -> None:
        if not self.owed.get(path):
            return
        text = data.draw(st.sampled_from(sorted(self.owed[path])))
        assert self.refused(self.changes.restore(path, RestoreRequest(sha256=sha(text)), ME)) is None
        if self.model.get(path) != text:
            self.replaced(path)
        self.model[path] = text

    @rule(path=PATHS, done=st.booleans())
    def crash_in_a_deletion(self, path: str, done: bool) -> None:
        """The engine ends after the announcement: before the file is touched, or after it and before it is settled."""
        if path not in self.model:
            return
        before = self.files.version(path)
        assert before is not None
        self.do(self.state.versions.announce(versioned_writer._row(before, VersionReason.DELETED, ME)))
        if done:
            self.files.delete(path, before.sha256)
            self.replaced(path)
            del self.model[path]
        self.restart()

    @rule(path=PATHS, new_path=PATHS, done=st.booleans())
    def crash_in_a_rename(self, path: str, new_path: str, done: bool) -> None:
        if path not in self.model or new_path in self.model:
            return
        before = self.files.version(path)
        assert before is not None
        self.do(self.state.versions.announce(versioned_writer._row(before, VersionReason.RENAMED, ME, new_path)))
        if done:
            self.files.rename(path, new_path, before.sha256)
            self.replaced(path)
            self.model[new_path] = self.model.pop(path)
            self.owed.setdefault(new_path, set()).update(self.owed.pop(path, set()))
        self.restart()

    @rule()
    def restart(self) -> None:
        self.do(self.writer.settled())
        self.do(self.reconciler.close())
        self.do(self.state.close())
        self.do(self._open())

    @invariant()
    def the_disk_is_the_model(self) -> None:
        if hasattr(self, "files"):
            assert {file.path: self.files.read(file.path).decode() for file in self.files.list()} == self.model
            assert not [path for path in self.root.rglob("*") if disk.TEMP_NAME.fullmatch(path.name)]

    @invariant()
    def every_history_gives_out_what_it_owes(self) -> None:
        for path, texts in self.owed.items():
            for text in texts:
                assert self.do(self.changes.version(path, sha(text), ME)).text == text
        if hasattr(self, "writer"):
            self.do(self.writer.settled())
            assert self.do(self.state.versions.unsettled()) == []

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.do(self.writer.settled())
            self.do(self.reconciler.close())
            self.do(self.state.close())
        self.runner.close()
        shutil.rmtree(self.root)


Scripts.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestScripts = Scripts.TestCase
