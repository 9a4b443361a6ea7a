"""The index of scripts: made anew from the files when asked."""

from __future__ import annotations

import time
from collections.abc import Sequence

from engine.models import RebuildPart, RebuildReport, RenamedScript, ScriptProblem
from engine.services.access import Actor, Role, ServiceError, require
from engine.services.audit import AuditService
from engine.services.events import EventBus
from engine.services.rebuild_parts import Part
from engine.services.tasks import Progress, TaskService
from engine.services.watching import WatchService
from store.errors import StoreError
from store.reconcile import Rebuilt, Reconciler


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

    async def rebuild(self, actor: Actor, *, everything: bool = False) -> RebuildReport:
        """Make the index anew from the files, all or nothing. No file is touched.

        Args:
            actor: Who asks.
            everything: Look through history and approvals before, and tell what does not fit.

        Raises:
            ServiceError: ``cancelled``, ``busy``, or ``store`` when the scripts or the index could not be used.
        """
        require(actor, Role.AUTHOR, "rebuild the index")
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
