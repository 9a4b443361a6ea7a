"""Calls about the index against the files, and the tasks that this takes."""

from __future__ import annotations

from collections.abc import Iterable

from engine import registry
from engine.client.answers import EngineError, EngineUnreachable
from engine.client.calls import TRANSFER_TIMEOUT, Calls
from engine.models import (
    DiffAnswer,
    DiffDecision,
    DiffOutcome,
    DiffReport,
    DiffRequest,
    RebuildReport,
    TaskInfo,
    TaskList,
)

DECIDED = 2_000
PREVIEWED = 100
"""Decisions in one request: a path may be long, and so may the difference that a preview answers with."""


CANCELLED = "it was cancelled before this one"


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

        Many decisions go in several requests, each a task of its own. When one of them fails or is cancelled, what was
        done before is told all the same, and the rest is not begun.
        """
        outcomes: list[DiffOutcome] = []
        size = PREVIEWED if request.preview else DECIDED
        for start in range(0, len(request.decisions), size):
            body = DiffRequest(decisions=request.decisions[start : start + size], preview=request.preview)
            try:
                answer = await self.call(registry.SYNC_APPLY, DiffAnswer, body=body, patience=TRANSFER_TIMEOUT)
            except (EngineError, EngineUnreachable) as error:
                if not outcomes:
                    raise
                return DiffAnswer(outcomes=[*outcomes, *_not_done(request.decisions[start:], error.message)])
            outcomes += answer.outcomes
            if answer.cancelled:
                rest = _not_done(request.decisions[start + size :], CANCELLED)
                return DiffAnswer(outcomes=[*outcomes, *rest], cancelled=True)
        return DiffAnswer(outcomes=outcomes)

    async def list_tasks(self) -> TaskList:
        return await self.call(registry.TASKS_LIST, TaskList)

    async def cancel_task(self, task_id: int) -> TaskInfo:
        """Stop a task; what it was about to do is not done."""
        return await self.call(registry.TASKS_CANCEL, TaskInfo, registry.TaskParams(task_id=task_id))


def _not_done(decisions: Iterable[DiffDecision], sentence: str) -> list[DiffOutcome]:
    return [
        DiffOutcome(path=one.path, state=one.state, choice=one.choice, done=False, sentence=sentence)
        for one in decisions
    ]
