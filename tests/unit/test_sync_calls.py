"""Many decisions in several requests: what was done is told, and after a stop nothing more is begun."""

from __future__ import annotations

from typing import Any

import pytest

from engine.client import sync
from engine.client.answers import EngineError
from engine.client.sync import SyncCalls
from engine.models.sync import DiffAnswer, DiffChoice, DiffDecision, DiffOutcome, DiffRequest, DiffState


def decision(number: int) -> DiffDecision:
    return DiffDecision(path=f"{number}.py", state=DiffState.MISSING_FILE, choice=DiffChoice.DROP_ROW, seen="")


class Answers(SyncCalls):
    """An engine that carries decisions out until, with the second request, it does what it was made for."""

    def __init__(self, second: EngineError | DiffAnswer | None) -> None:
        self.second = second
        self.requests: list[list[str]] = []

    async def call(self, *_: Any, body: Any = None, **__: Any) -> Any:
        self.requests.append([one.path for one in body.decisions])
        if len(self.requests) == 2 and self.second is not None:
            if isinstance(self.second, EngineError):
                raise self.second
            return self.second
        done = [
            DiffOutcome(path=one.path, state=one.state, choice=one.choice, done=True, sentence="")
            for one in body.decisions
        ]
        return DiffAnswer(outcomes=done)


@pytest.fixture(autouse=True)
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "DECIDED", 2)


REQUEST = DiffRequest(decisions=[decision(number) for number in range(5)])


async def test_all_of_them_go_in_several_requests() -> None:
    engine = Answers(None)
    answer = await engine.apply_diff(REQUEST)
    assert engine.requests == [["0.py", "1.py"], ["2.py", "3.py"], ["4.py"]]
    assert [one.done for one in answer.outcomes] == [True] * 5
    assert not answer.cancelled


async def test_after_a_cancel_no_other_request_goes_out() -> None:
    skipped = [
        DiffOutcome(path=f"{n}.py", state=DiffState.MISSING_FILE, choice=DiffChoice.DROP_ROW, done=False, sentence="")
        for n in (2, 3)
    ]
    engine = Answers(DiffAnswer(outcomes=skipped, cancelled=True))
    answer = await engine.apply_diff(REQUEST)
    assert len(engine.requests) == 2
    assert [one.done for one in answer.outcomes] == [True, True, False, False, False]
    assert answer.cancelled


async def test_what_was_done_before_a_failure_is_told() -> None:
    engine = Answers(EngineError("busy", "Another one goes on.", None, 409))
    answer = await engine.apply_diff(REQUEST)
    assert [(one.done, one.sentence) for one in answer.outcomes[2:]] == [(False, "Another one goes on.")] * 3
    engine = Answers(None)
    engine.requests, engine.second = [[]], EngineError("busy", "Another one goes on.", None, 409)
    with pytest.raises(EngineError, match="Another one"):
        await engine.apply_diff(REQUEST)
