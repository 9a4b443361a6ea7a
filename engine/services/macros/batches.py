"""A batch: the macros of one moment, one tree of documents, one record, one task; ended by the first of four.

That is its client, who has everything; a cancel of its task or its run; its time; or its lease: a client that
has asked for nothing for a while is gone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from engine.models.macros import BatchInfo, DocumentInput, Read, RenderedDocument
from engine.models.runs import Outcome, RunError, RunInfo, Stream
from engine.services.access import Actor, ServiceError
from engine.services.macros.chunks import ChunkCaller
from engine.services.macros.executor import ChunkResult
from engine.services.macros.expansion import expand
from engine.services.macros.library import Macros
from engine.services.runs.active import ActiveRun
from engine.services.tasks import Progress, TaskCancelled

LEASE = 60.0
"""Seconds without a request after which a batch's client counts as gone."""

RENDERING = "rendering"

MAX_ANSWER = 32 << 20
"""Characters of texts and reads in one answer, but for a single document that has more."""


class Documents(Protocol):
    """The tree that a batch is about, as macros see it."""

    def meta(self, document: DocumentInput) -> Mapping[str, Any]:
        """Return the front matter of a document whose text this is."""

    def answer_sha256(self, read: Read) -> str:
        """Return the hash of what a macro would be answered now."""


class BatchEnd(Enum):
    """Why a batch ended: the outcome of its record, the code of what requests are told that come later, and why."""

    DONE = Outcome.OK, "no_batch", ""
    CANCELLED = Outcome.CANCELLED, "cancelled", "The render was cancelled."
    GIVEN_UP = Outcome.CANCELLED, "cancelled", "The caller did not wait for its end."
    TIMEOUT = Outcome.TIMEOUT, "timeout", "The render took longer than it may."
    LEFT = Outcome.CANCELLED, "no_batch", "The render's client was gone: it asked for nothing for a minute."
    STOPPED = Outcome.INTERRUPTED, "stopping", "The engine was stopped."

    def __init__(self, outcome: Outcome, code: str, sentence: str) -> None:
        self.outcome = outcome
        self.code = code
        self.sentence = sentence

    @property
    def hint(self) -> str:
        return "Render again: what was rendered is noted, and only the rest is done."


@dataclass(slots=True)
class Counts:
    """What a batch has done so far."""

    documents: int = 0
    tags: int = 0
    warnings: int = 0
    errors: int = 0
    """Calls that failed, and tags without a macro or with wrong parameters."""

    def add(self, rendered: Sequence[RenderedDocument]) -> None:
        self.documents += len(rendered)
        for document in rendered:
            self.tags += document.tags
            said = sum(warning.kind == "warning" for warning in document.warnings)
            self.warnings += said
            self.errors += len(document.warnings) - said

    def sentence(self) -> str:
        errors = f", {self.errors:,} of them wrong" if self.errors else ""
        documents, tags = _counted(self.documents, "document"), _counted(self.tags, "tag")
        return f"{documents} with {tags}{errors}; {_counted(self.warnings, 'warning')}."


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@dataclass(slots=True)
class Batch:
    """One that goes on. Its ``work`` is the task that it is known by."""

    actor: Actor
    macros: Macros
    documents: Documents
    total: int
    timeout: float
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    counts: Counts = field(default_factory=Counts)
    isolation: str = ""
    run: ActiveRun | None = None
    caller: ChunkCaller | None = None
    record: Callable[[BatchEnd], RunInfo] | None = None
    """Makes the final record."""
    info: BatchInfo | None = None
    _progress: Progress | None = None
    _end: BatchEnd | None = None
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _final: RunInfo | None = None
    _going_on: int = 0
    _used: float = field(default_factory=time.monotonic)

    async def work(self, progress: Progress) -> None:
        """Go on until the batch ends, whatever ends it.

        Raises:
            TaskCancelled: It did not come to its end.
        """
        self._progress = progress
        progress.on_stop = lambda: self.stop(BatchEnd.CANCELLED)
        try:
            await self._until_end(time.monotonic() + self.timeout)
        except asyncio.CancelledError:
            self.stop(BatchEnd.STOPPED)
            raise
        finally:
            end = self._end or BatchEnd.STOPPED
            if self.caller is not None:
                await self.caller.close()
            if self.record is not None:
                self._final = self.record(end)
            self._ended.set()
        if end is not BatchEnd.DONE:
            raise TaskCancelled

    async def _until_end(self, deadline: float) -> None:
        if self._progress is not None and self._progress.stopped:
            self.stop(BatchEnd.CANCELLED)
        while self._end is None:
            now = time.monotonic()
            leave = now + LEASE if self._going_on else self._used + LEASE
            if now >= deadline:
                self.stop(BatchEnd.TIMEOUT)
            elif now >= leave:
                self.stop(BatchEnd.LEFT)
            else:
                try:
                    async with asyncio.timeout(min(deadline, leave) - now):
                        await self._ending.wait()
                except TimeoutError:
                    continue

    def stop(self, end: BatchEnd) -> None:
        """End it; the first reason counts. Requests that go on are told so."""
        if self._end is None:
            self._end = end
            self._ending.set()

    async def stopped(self) -> None:
        """Wait until it is told to end."""
        await self._ending.wait()

    async def ended(self) -> RunInfo | None:
        """Wait for its end and return its final record."""
        await self._ended.wait()
        return self._final

    async def render(self, documents: Sequence[DocumentInput], total: int = 0) -> list[RenderedDocument]:
        """Expand documents of the tree, of which there will be ``total`` where that is known.

        Raises:
            ServiceError: It ended meanwhile: ``cancelled``, ``timeout``, ``stopping`` or ``no_batch``.
        """
        self.total = total or self.total
        self._going_on += 1
        try:
            if self._end is not None or self.caller is None:
                raise self._over()
            self._report()  # how much there is to do, before the first of it is done
            rendered = _fitting(await expand(documents, self.macros, self.caller))
        except ServiceError:
            if self._end is None:
                raise
            raise self._over() from None
        finally:
            self._going_on -= 1
            self._used = time.monotonic()
        self.counts.add(rendered)
        self._report()
        return rendered

    def _report(self) -> None:
        """Tell how far it is."""
        if self._progress is not None:
            with suppress(TaskCancelled):  # what is rendered is answered; the next request is told
                self._progress(RENDERING, self.counts.documents, max(self.total, self.counts.documents))

    def _over(self) -> ServiceError:
        """Say that it has ended, and why."""
        end = self._end or BatchEnd.STOPPED
        return ServiceError(end.code, end.sentence or "The render has ended.", hint=end.hint, status=409)

    def read_again(self, reads: Sequence[Read]) -> list[str]:
        """Return the hashes of what the reads would be answered now. Blocks."""
        self._used = time.monotonic()
        return [self.documents.answer_sha256(read) for read in reads]

    def heard(self, result: ChunkResult) -> None:
        """Take what a chunk tells beside its texts into the record."""
        self.isolation = result.isolation or self.isolation
        if result.output and self.run is not None:
            self.run.output(Stream.STDOUT, result.output)

    def error(self, end: BatchEnd) -> RunError | None:
        return RunError(type=end.outcome.value, message=end.sentence) if end.sentence else None


def _fitting(rendered: Sequence[RenderedDocument]) -> list[RenderedDocument]:
    """The documents from the first on that one answer has room for."""
    size, taken = 0, list[RenderedDocument]()
    for document in rendered:
        size += len(document.text) + sum(map(_characters, document.reads))
        if taken and size > MAX_ANSWER:
            break
        taken.append(document)
    return taken


def _characters(read: Read) -> int:
    """About how many a read takes in an answer."""
    return 150 + sum(len(value) for value in read.params.values() if isinstance(value, str))
