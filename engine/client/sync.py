"""Calls about the index against the files, and the tasks that this takes."""

from __future__ import annotations

from engine import registry
from engine.client.calls import TRANSFER_TIMEOUT, Calls
from engine.models import DiffAnswer, DiffOutcome, DiffReport, DiffRequest, RebuildReport, TaskInfo, TaskList

DECIDED = 2_000
PREVIEWED = 100
"""Decisions in one request: a path may be long, and so may the difference that a preview answers with."""


class SyncCalls(Calls):
    """Rebuild, compare, decide; events of type ``task`` tell how far a task is.

    What takes a while raises ``EngineError`` with code ``cancelled`` when it was, and ``busy`` when another one of its
    kind goes on.
    """

    async def rebuild(self, *, everything: bool = False) -> RebuildReport:
        """Make the index of scripts anew; with ``everything`` look through history and approvals too."""
        params = registry.RebuildParams(everything=everything)
        return await self.call(registry.SYNC_REBUILD, RebuildReport, params, patience=TRANSFER_TIMEOUT)

    async def diff(self) -> DiffReport:
        """Compare files and database. What is new and valid is taken in, what waits for a decision is told."""
        return await self.call(registry.SYNC_DIFF, DiffReport, patience=TRANSFER_TIMEOUT)

    async def apply_diff(self, request: DiffRequest) -> DiffAnswer:
        """Do what was decided, or tell what it would do. What is not as it was shown is left alone, and says so.

        Many decisions go in several requests, each a task of its own.
        """
        outcomes: list[DiffOutcome] = []
        size = PREVIEWED if request.preview else DECIDED
        for start in range(0, len(request.decisions), size):
            body = DiffRequest(decisions=request.decisions[start : start + size], preview=request.preview)
            answer = await self.call(registry.SYNC_APPLY, DiffAnswer, body=body, patience=TRANSFER_TIMEOUT)
            outcomes += answer.outcomes
        return DiffAnswer(outcomes=outcomes)

    async def list_tasks(self) -> TaskList:
        return await self.call(registry.TASKS_LIST, TaskList)

    async def cancel_task(self, task_id: int) -> TaskInfo:
        """Stop a task; what it was about to do is not done."""
        return await self.call(registry.TASKS_CANCEL, TaskInfo, registry.TaskParams(task_id=task_id))
