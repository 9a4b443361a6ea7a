"""What is kept of first answers: for whom, how long and how much."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.api import idempotency
from engine.api.idempotency import Repeats
from engine.models.runs import RunKind, RunRequest
from engine.registry.runs import RUNS_REPLAY, RUNS_START, StartParams
from engine.services.access import NO_ACCOUNT, Actor, Role, ServiceError
from engine.services.operations import Request


class Work:
    """Counts how often it is done."""

    def __init__(self, answer: Any = "done") -> None:
        self.answer = answer
        self.times = 0

    async def __call__(self) -> Any:
        self.times += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def request(token: str = "t1", code: str = "1") -> Request:
    actor = Actor("token:scada", NO_ACCOUNT, Role.AUTHOR, token)
    return Request(actor, "rest", StartParams(), RunRequest(kind=RunKind.EXEC, code=code))


async def once(repeats: Repeats, key: str, work: Work, *, token: str = "t1", operation: Any = RUNS_START) -> Any:
    return await repeats.once(operation, key, request(token), work, cancels=False)


async def test_a_key_is_of_one_caller_and_one_operation() -> None:
    repeats, work = Repeats(), Work()
    for _ in range(2):
        await once(repeats, "k", work)
        await once(repeats, "k", work, token="t2")
        await once(repeats, "k", work, operation=RUNS_REPLAY)
    assert work.times == 3


async def test_answers_are_kept_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "LIFETIME", 0.05)
    repeats, work = Repeats(), Work()
    await once(repeats, "k", work)
    assert list(repeats._callers)
    async with asyncio.timeout(20):
        while repeats._callers:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    await once(repeats, "k", work)
    assert work.times == 2


async def test_too_many_keys_and_too_large_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEYS", 5)
    monkeypatch.setattr(idempotency, "CALLER_BYTES", 8_000)
    repeats, work = Repeats(), Work("x" * 2_000)
    for number in range(20):
        await once(repeats, f"k{number}", work)
    kept = repeats._callers["token:t1"]
    assert len(kept.kept) == 5
    assert kept.size == sum(each.size for each in kept.kept.values()) <= 8_000
    assert await once(repeats, "k19", work) == work.answer
    with pytest.raises(ServiceError, match="too much to be kept") as gone:
        await once(repeats, "k15", work)
    assert gone.value.status == 409
    assert work.times == 20


async def test_the_largest_caller_gives_way_when_all_keep_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "ALL_BYTES", 20_000)
    repeats = Repeats()
    await once(repeats, "k", Work("x" * 1_000), token="small")
    for number in range(30):
        await once(repeats, f"k{number}", Work("x" * 2_000), token="large")
    work = Work()
    assert await once(repeats, "k", work, token="small") == "x" * 1_000
    assert sum(caller.size for caller in repeats._callers.values()) <= 20_000 + 2_512
    assert work.times == 0


async def test_a_failure_of_the_engine_is_not_tried_again_and_a_refusal_is() -> None:
    repeats = Repeats()
    broken, refused = Work(RuntimeError("ours")), Work(ServiceError("busy", "Busy.", status=429))
    with pytest.raises(RuntimeError):
        await once(repeats, "broken", broken)
    with pytest.raises(ServiceError, match="the engine failed at it"):
        await once(repeats, "broken", broken)
    for _ in range(2):
        with pytest.raises(ServiceError, match="Busy"):
            await once(repeats, "refused", refused)
    assert (broken.times, refused.times) == (1, 2)
