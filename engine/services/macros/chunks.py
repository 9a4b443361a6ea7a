"""Make calls of macros by an executor, in chunks that are cut by the time that the ones before took."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.models.macros import DocumentInput
from engine.models.runs import Outcome, RunError
from engine.services.access import ServiceError
from engine.services.macros.executor import LONGEST, MAX_RESULTS, SHORTEST, Chunk, ChunkResult, Executor, MacroSource
from engine.services.macros.expansion import NOT_MADE, CallOutcome, MacroCall, Room
from engine.services.macros.library import Macro

FIRST = 8
"""Calls of a macro's first chunk, before it is known how long they take."""

GROWTH = 4
"""A chunk has at most so many times the calls of the one before."""

MOST = 4096
"""Calls of a chunk."""

CARRYING = 20e-9
"""Seconds that a character of a document takes on its way to a macro, about: JSON, a pipe, JSON."""

MAX_CHUNK = 4 << 20
"""Characters of documents and parameters that a chunk carries, but for a single call that has more."""

MOST_TIMEOUTS = 3
"""A macro that was stopped so often is not called again in its batch: each time costs its whole wall limit."""


log = logging.getLogger(__name__)


@dataclass(slots=True)
class ChunkSize:
    """How fast a macro is, and how often it had to be stopped."""

    calls: int = FIRST
    """How many make a chunk."""
    timeouts: int = 0
    _last: float = 0.0
    """When its last result came."""

    @property
    def given_up(self) -> bool:
        return self.timeouts >= MOST_TIMEOUTS

    def learn(self, sent: _Sent, result: ChunkResult, now: float) -> None:
        """Learn from a chunk: how long it took by itself, not how long it waited behind the one before."""
        seconds = min(result.duration, now - max(sent.at, self._last))
        self._last = now
        if stopped := [number for number, error in result.errors.items() if _is_timeout(error)]:
            self.timeouts += 1
            self.calls = max(1, min(stopped))
        else:
            self.took(len(result.texts), seconds, sent.characters)
            room = MAX_RESULTS // GROWTH // 4  # the next texts may be larger
            self.calls = max(1, min(self.calls, room * len(result.texts) // max(1, result.size)))

    def took(self, calls: int, seconds: float, characters: int = 0) -> None:
        """Learn that ``calls`` beside so many characters of documents took so long. Smaller chunks carry no fewer."""
        if calls < self.calls and seconds < SHORTEST:
            return  # the end of a request: it says nothing of larger ones
        seconds = max(seconds - characters * CARRYING, seconds / 20)
        aim = (SHORTEST + LONGEST) / 2
        fitting = int(calls * aim / seconds) if seconds > 0 else MOST
        self.calls = max(1, min(fitting, calls * GROWTH, MOST))


@dataclass(slots=True)
class _Sent:
    """A chunk on its way."""

    future: asyncio.Future[list[int]]
    """The calls of it that were not begun, since one before them was stopped."""
    pace: ChunkSize
    taken: Callable[[ChunkResult], list[int]]
    """Takes what there is room for out of the result, which then is let go of."""
    at: float
    characters: int


@dataclass(slots=True)
class ChunkCaller:
    """``MacroCaller`` by an executor, of which it is the only user.

    Attributes:
        executor: Takes the chunks.
        context: What every call is told.
        meta: The front matter of a document; called in a thread.
        heard: Gets every result.
        over: Called when the executor ends by itself: others have stopped it.
    """

    executor: Executor
    context: Mapping[str, Any]
    meta: Callable[[DocumentInput], Mapping[str, Any]]
    heard: Callable[[ChunkResult], None]
    over: Callable[[], None] = lambda: None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _waiting: dict[int, _Sent] = field(default_factory=dict)
    _paces: dict[str, ChunkSize] = field(default_factory=dict)
    _taking: asyncio.Task[None] | None = None
    _over: bool = False

    def start(self) -> None:
        self._taking = asyncio.create_task(self._take(), name="results of a batch")

    async def close(self) -> None:
        """Stop what goes on; calls that wait end as ``cancelled``."""
        self._over = True
        await self.executor.cancel()
        await self.executor.close()
        if self._taking is not None:
            self._taking.cancel()
            [ended] = await asyncio.gather(self._taking, return_exceptions=True)
            if isinstance(ended, Exception):
                log.error("results of a batch could not be taken", exc_info=ended)
        self._end_waiting()

    async def call(
        self, macro: Macro, calls: Sequence[MacroCall], documents: Sequence[DocumentInput], room: Room
    ) -> Sequence[CallOutcome]:
        """Make calls of one macro.

        Raises:
            ServiceError: ``cancelled``: the batch ended meanwhile.
        """
        if macro.source is None:
            raise ValueError(f"{macro.name} cannot be called")
        pace = self._paces.setdefault(macro.name, ChunkSize())
        outcomes: dict[int, CallOutcome] = {}

        def admit(number: int, outcome: CallOutcome) -> None:
            outcomes[number] = room.admitted(calls[number].document, outcome)

        todo = list(range(len(calls)))
        # Reading front matter of texts that the tree does not know takes milliseconds each.
        told = await asyncio.to_thread(self._told, calls, documents)
        while todo and not pace.given_up:
            todo = await self._round(macro.source, calls, told, todo, room, admit, pace)
        for number in todo:
            outcomes[number] = CallOutcome(error=_given_up(macro.name))
        # There is none of calls that were not made, since their documents are left for later.
        return [outcomes.get(number, NOT_MADE) for number in range(len(calls))]

    async def _round(
        self,
        macro: MacroSource,
        calls: Sequence[MacroCall],
        documents: Mapping[int, Mapping[str, Any]],
        todo: list[int],
        room: Room,
        admit: Callable[[int, CallOutcome], None],
        pace: ChunkSize,
    ) -> list[int]:
        """Make the calls ``todo``; return those that were not begun, since one before them was stopped."""
        sent: list[asyncio.Future[list[int]]] = []
        left = todo
        until = room.until
        try:
            while left and not pace.given_up:
                if room.until < until:
                    until = room.until
                    left = [number for number in left if calls[number].document < until]
                    continue
                size = _fitting(calls, documents, left, pace.calls)
                numbers, left = left[:size], left[size:]
                taken = partial(_taken, numbers, admit=admit)
                sent.append(await self._send(self._chunk(macro, calls, documents, numbers), pace, taken))
            again = [number for future in sent for number in await future]
        finally:
            for future in sent:
                future.cancel()
        return again + left

    async def _send(
        self, chunk: Chunk, pace: ChunkSize, taken: Callable[[ChunkResult], list[int]]
    ) -> asyncio.Future[list[int]]:
        if self._over:
            raise batch_over()
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        characters = sum(len(document["text"]) for document in chunk.documents)
        self._waiting[chunk.number] = _Sent(future, pace, taken, time.monotonic(), characters)
        future.add_done_callback(lambda done: self._answered(chunk.number, done))
        try:
            await self.executor.submit(chunk)
        except BaseException:
            future.cancel()
            raise
        return future

    def _chunk(
        self,
        macro: MacroSource,
        calls: Sequence[MacroCall],
        documents: Mapping[int, Mapping[str, Any]],
        numbers: Sequence[int],
    ) -> Chunk:
        places: dict[int, int] = {}
        of = [places.setdefault(calls[number].document, len(places)) for number in numbers]
        return Chunk(
            number=next(self._numbers),
            macro=macro,
            params=[calls[number].params for number in numbers],
            context={**self.context, "macro": macro.name},
            documents=[documents[place] for place in places],
            of=of,
            wall=macro.limits.wall,
        )

    def _told(self, calls: Sequence[MacroCall], documents: Sequence[DocumentInput]) -> dict[int, Mapping[str, Any]]:
        """Return what macros are told of the documents that calls are made for. Blocks."""
        return {
            place: {"path": one.path, "meta": self.meta(one), "text": one.text}
            for place in {call.document for call in calls}
            for one in (documents[place],)
        }

    async def _take(self) -> None:
        """Hand every result to the call that waits for it."""
        try:
            async for result in self.executor.as_completed():
                self.heard(result)
                if (sent := self._waiting.get(result.number)) is None:  # its request was given up
                    continue
                sent.pace.learn(sent, result, time.monotonic())
                if not sent.future.done():
                    sent.future.set_result(sent.taken(result))
        finally:
            if not self._over:
                self._over = True
                self.over()
            self._end_waiting()

    def _answered(self, number: int, done: asyncio.Future[list[int]]) -> None:
        self._waiting.pop(number, None)
        if not done.cancelled():
            done.exception()  # seen: of several that wait in one request, one is told

    def _end_waiting(self) -> None:
        for sent in list(self._waiting.values()):
            if not sent.future.done():
                sent.future.set_exception(batch_over())


def batch_over() -> ServiceError:
    return ServiceError("cancelled", "The render has ended, so nothing more is made in it.", status=409)


def _fitting(
    calls: Sequence[MacroCall], documents: Mapping[int, Mapping[str, Any]], numbers: Sequence[int], most: int
) -> int:
    """Tell how many of ``numbers`` make a chunk: up to ``most``, and not too much text."""
    size, seen = 0, set[int]()
    for count, number in enumerate(numbers[:most]):
        call = calls[number]
        size += sum(len(value) for value in call.params.values() if isinstance(value, str))
        if call.document not in seen:
            seen.add(call.document)
            size += len(documents[call.document]["text"])
        if size > MAX_CHUNK and count:
            return count
    return min(most, len(numbers))


def _taken(numbers: Sequence[int], result: ChunkResult, *, admit: Callable[[int, CallOutcome], None]) -> list[int]:
    """Hand each part of a result on; return the calls that were not begun."""
    first = min((place for place, error in result.errors.items() if _is_timeout(error)), default=None)
    again = []
    for place, number in enumerate(numbers):
        error = result.errors.get(place)
        if first is not None and place > first and error is not None and _is_timeout(error):
            again.append(number)
            continue
        outcome = CallOutcome(
            text=result.texts[place],
            error=error,
            traceback=result.tracebacks.get(place),
            warnings=result.warnings.get(place, ()),
            reads=result.reads.get(place, ()),
        )
        admit(number, outcome)
    return again


def _is_timeout(error: RunError) -> bool:
    return error.type == Outcome.TIMEOUT.value


def _given_up(name: str) -> RunError:
    message = f"The macro {name} was stopped {MOST_TIMEOUTS} times since it took too long; it is not called again."
    return RunError(type=Outcome.TIMEOUT.value, message=message)
