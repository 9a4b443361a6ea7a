"""Decisions about differences, in as many requests as it takes."""

from __future__ import annotations

from collections.abc import Iterable

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.calls import Calls
from engine.models.sync import DiffAnswer, DiffDecision, DiffOutcome, DiffRequest
from engine.registry.sync import SYNC_APPLY

DECIDED = 2_000
PREVIEWED = 100
"""Decisions in one request: a path may be long, and so may the difference that a preview answers with."""


CANCELLED = "it was cancelled before this one"


class SyncCalls(Calls):
    """Carry out decisions about differences between files and database."""

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
                answer = await self.call(SYNC_APPLY, body=body)
            except (EngineError, EngineUnreachable) as error:
                if not outcomes:
                    raise
                return DiffAnswer(outcomes=[*outcomes, *_not_done(request.decisions[start:], error.message)])
            outcomes += answer.outcomes
            if answer.cancelled:
                rest = _not_done(request.decisions[start + size :], CANCELLED)
                return DiffAnswer(outcomes=[*outcomes, *rest], cancelled=True)
        return DiffAnswer(outcomes=outcomes)


def _not_done(decisions: Iterable[DiffDecision], sentence: str) -> list[DiffOutcome]:
    return [
        DiffOutcome(path=one.path, state=one.state, choice=one.choice, done=False, sentence=sentence)
        for one in decisions
    ]
