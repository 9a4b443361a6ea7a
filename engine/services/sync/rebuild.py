"""The index of scripts, rebuilt from the files when asked, and the records checked at it: history and approvals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from engine.models.sync import RebuildPart, RebuildReport, RenamedScript, ScriptProblem
from engine.registry.sync import SYNC_REBUILD
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.events import EventBus
from engine.services.operations import implements
from engine.services.scripts.service import ScriptService
from engine.services.sync.watch import WatchService
from engine.services.tasks import Progress, TaskService
from store.errors import StoreError
from store.files.versioned import VersionedFiles
from store.index.reconcile import ProgressCallback, Rebuilt, Reconciler
from store.state.approvals import Approvals
from store.state.versions import Versions


class SyncService:
    def __init__(
        self,
        reconciler: Reconciler,
        parts: Sequence[Part],
        tasks: TaskService,
        events: EventBus,
        watch: WatchService,
        audit: AuditService | None = None,
    ) -> None:
        """``parts``: what a rebuild of everything looks through besides the index."""
        self._reconciler = reconciler
        self._parts = parts
        self._watch = watch
        self._tasks = tasks
        self._events = events
        self._audit = audit

    @property
    def problems(self) -> list[str]:
        """What the user should know about the index and the watch over the scripts, one sentence each."""
        return [*self._reconciler.problems, *self._watch.problems]

    @implements(SYNC_REBUILD)
    async def rebuild(self, actor: Actor, *, everything: bool = False) -> RebuildReport:
        """Make the index anew from the files, all or nothing. No file is touched.

        Args:
            actor: Who asks.
            everything: Look through history and approvals before, and tell what does not fit.

        Raises:
            ServiceError: ``cancelled``, ``busy``, or ``store`` when the scripts or the index could not be used.
        """
        begun = time.monotonic()
        parts: list[RebuildPart] = []

        async def work(progress: Progress) -> Rebuilt:
            if everything:  # before the index is another one: who cancels has changed nothing
                parts.extend([await part.look(progress) for part in self._parts])
            return await self._reconciler.rebuild(progress)

        try:
            found = await self._tasks.run("rebuild", actor, work)
        except StoreError as error:
            raise ServiceError("store", error.sentence, hint=error.hint, status=422) from None
        if self._audit is not None:
            self._audit.tell(actor, "scripts", "rebuild", scripts=found.scripts)
        self._events.publish("script", {"change": "rebuilt"})
        return RebuildReport(
            scripts=found.scripts,
            seconds=time.monotonic() - begun,
            created=found.created,
            updated=found.updated,
            renamed=[RenamedScript(old=old, new=new) for old, new in found.renamed],
            removed=found.removed,
            problems=[ScriptProblem(path=path, problem=problem) for path, problem in found.problems],
            parts=parts,
        )


class Part(Protocol):
    """What a rebuild of everything looks through besides the index. It changes nothing before its end.

    Nothing of it is derived, so nothing of it is rebuilt: what does not fit the files is reported. Whatever else comes
    to depend on the files is one more part.
    """

    async def look(self, progress: ProgressCallback) -> RebuildPart:
        """Look through all of it. What ``progress`` raises ends the work."""


class HistoryPart:
    """The versions of files of one kind: are the bytes of every one there, and what they were?"""

    def __init__(self, files: VersionedFiles, versions: Versions, name: str = "history") -> None:
        self._files = files
        self._versions = versions
        self._name = name

    async def look(self, progress: ProgressCallback) -> RebuildPart:
        kept = await self._versions.all()
        return await asyncio.to_thread(self._look, kept, progress)

    def _look(self, kept: list[tuple[str, str]], progress: ProgressCallback) -> RebuildPart:
        problems = []
        for number, (sha256, path) in enumerate(kept):
            progress(self._name, number)
            try:
                self._files.kept(sha256)
            except StoreError as error:
                problems.append(ScriptProblem(path=path, problem=error.sentence))
        return RebuildPart(name=self._name, checked=len(kept), problems=problems)


class ApprovalPart:
    """The approvals in force: are the texts that each is for still those of the script and its shared code?"""

    def __init__(self, approvals: Approvals, reconciler: Reconciler, scripts: ScriptService) -> None:
        self._approvals = approvals
        self._reconciler = reconciler
        self._scripts = scripts

    async def look(self, progress: ProgressCallback) -> RebuildPart:
        approved = await self._approvals.approved()
        now = {row.path: row.sha256 for row in await self._reconciler.scripts()}
        same = {path for path, sha256 in approved.items() if now.get(path) == sha256}
        other = await self._scripts.with_other_shared_code(same)
        problems = []
        for number, (script, sha256) in enumerate(sorted(approved.items())):
            progress("approvals", number)
            if script not in now:
                problems.append(ScriptProblem(path=script, problem="It is approved, and is not there any more."))
            elif now[script] != sha256:
                problems.append(ScriptProblem(path=script, problem="Its text is no longer the approved one."))
            elif script in other:
                sentence = "The shared code that it imports is no longer the approved one."
                problems.append(ScriptProblem(path=script, problem=sentence))
        return RebuildPart(name="approvals", checked=len(approved), problems=problems)
