"""The index of scripts against the files: made anew when asked."""

from __future__ import annotations

import logging
import time

from engine.models import RebuildReport, RenamedScript, ScriptProblem
from engine.services.access import Actor, Role, ServiceError, require
from engine.services.events import EventBus
from engine.services.tasks import TaskService
from store.errors import StoreError
from store.reconcile import Reconciler

log = logging.getLogger(__name__)


class SyncService:
    def __init__(self, reconciler: Reconciler, tasks: TaskService, events: EventBus) -> None:
        self._reconciler = reconciler
        self._tasks = tasks
        self._events = events

    @property
    def problems(self) -> list[str]:
        """What the user should know about the index, one sentence each."""
        return self._reconciler.problems

    async def first_look(self) -> None:
        """Bring the index up to date with what happened while no engine ran."""
        try:
            await self._reconciler.scripts()
        except StoreError as error:  # lists say the same, as often as they are asked for
            log.warning("the scripts could not be looked at: %s", error)

    async def rebuild(self, actor: Actor) -> RebuildReport:
        """Make the index anew from the files, all or nothing. No file is touched.

        Raises:
            ServiceError: ``cancelled``, ``busy``, or ``store`` when the scripts or the index could not be used.
        """
        require(actor, Role.AUTHOR, "rebuild the index")
        begun = time.monotonic()
        try:
            found = await self._tasks.run("rebuild", actor, self._reconciler.rebuild)
        except StoreError as error:
            raise ServiceError("store", error.sentence, hint=error.hint, status=422) from None
        self._events.publish("script", {"change": "rebuilt"})
        return RebuildReport(
            scripts=found.scripts,
            seconds=time.monotonic() - begun,
            created=found.created,
            updated=found.updated,
            renamed=[RenamedScript(old=old, new=new) for old, new in found.renamed],
            removed=found.removed,
            problems=[ScriptProblem(path=path, problem=problem) for path, problem in found.problems],
        )
