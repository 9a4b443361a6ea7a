"""Macros as every surface sees them: their list, previews, and batches over trees of documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.models.macros import (
    BatchInfo,
    BatchRequest,
    DocumentInput,
    MacroList,
    PreviewRequest,
    ReadsAnswer,
    ReadsRequest,
    RenderAnswer,
    RenderedDocument,
    RenderRequest,
)
from engine.models.runs import RunInfo
from engine.registry.macros import (
    MACROS_LIST,
    MACROS_PREVIEW,
    RENDER_BEGIN,
    RENDER_DOCUMENTS,
    RENDER_END,
    RENDER_READS,
)
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.documents.collection import DocumentCollection
from engine.services.macros.batches import Batch, BatchEnd
from engine.services.macros.chunks import ChunkCaller, batch_over
from engine.services.macros.executor import Executor
from engine.services.macros.expansion import CallOutcome, MacroCall, Room, check, expand
from engine.services.macros.library import Macro, MacroLibrary, Macros, macro_info
from engine.services.macros.previews import PreviewAudit
from engine.services.macros.tree import DocumentTree, TreeCalls
from engine.services.operations import implements
from engine.services.runs.service import RunService
from engine.services.tasks import TaskService

if TYPE_CHECKING:
    from engine.pool.job import HostCalls
    from engine.services.documents.service import DocumentService

KIND = "render"

MAX_BATCHES = 8
"""Batches that go on at once."""

MAX_WORKERS = 32

MAX_DOCUMENTS = 100_000
"""Documents of one tree."""

DEFAULT_TIMEOUT = 3600.0
LONGEST_TIMEOUT = 24 * 3600.0

MakeExecutor = Callable[[int, Actor, int, "HostCalls", bool], Executor]
"""Makes what carries out a batch: by the number of its record, its actor, its workers, who answers its macros, and
whether it is a preview, which a person waits for."""

MakeCalls = Callable[[RunInfo, Actor], "HostCalls | None"]
"""Makes what answers calls of macros that are about something else than documents."""

log = logging.getLogger(__name__)


class RenderService:
    def __init__(
        self,
        library: MacroLibrary,
        documents: DocumentService,
        runs: RunService,
        tasks: TaskService,
        executors: MakeExecutor,
        calls: MakeCalls,
        audit: AuditService,
    ) -> None:
        self._library = library
        self._documents = documents
        self._runs = runs
        self._tasks = tasks
        self._executors = executors
        self._calls = calls
        self.previews = PreviewAudit(audit)
        self._batches: dict[str, Batch] = {}
        self._beginning = 0

    async def close(self) -> None:
        """End every batch. The pool still runs."""
        for batch in list(self._batches.values()):
            batch.stop(BatchEnd.STOPPED)
            await batch.ended()
        self.previews.close()

    @implements(MACROS_LIST)
    async def macros(self) -> MacroList:
        """List the project's macros by name, also those that cannot be called."""
        return MacroList(macros=[macro_info(macro) for macro in await self._library.macros()])

    @implements(MACROS_PREVIEW)
    async def preview(self, request: PreviewRequest, actor: Actor, source: str = "library") -> RenderedDocument:
        """Expand a text as a batch would, with what is wrong shown in place.

        If it calls anything, it is a batch of its own: with a run to be cancelled, which leaves no record if it went
        well, and counted for the audit.
        """
        unsaved = None if request.macro_text is None else (request.macro, request.macro_text)
        macros = await self._library.macros(unsaved, actor)
        document = DocumentInput(path=request.path, text=request.text)
        if request.check:
            return await check(document, macros)
        tree = DocumentTree(await DocumentCollection.of_project(self._documents))
        name = f"preview {request.path}".strip()
        caller = _PreviewCaller(self, _Opening(actor, source, macros, tree, name, 1, path=request.path))
        end = BatchEnd.CANCELLED
        try:
            [rendered] = await expand([document], macros, caller, errors_shown=True)
            caller.batch.counts.add([rendered])
            end = BatchEnd.DONE
        except asyncio.CancelledError:
            end = BatchEnd.GIVEN_UP
            raise
        finally:
            await caller.close(end)
        return rendered

    @implements(RENDER_BEGIN)
    async def begin(self, request: BatchRequest, actor: Actor, source: str = "library") -> BatchInfo:
        """Begin a batch over a tree of documents.

        Raises:
            ServiceError: ``bad_request``; ``busy`` when too many go on.
        """
        timeout = DEFAULT_TIMEOUT if request.timeout is None else request.timeout
        if not 0 < timeout <= LONGEST_TIMEOUT:
            raise ServiceError("bad_timeout", f"The timeout must be above 0 and at most {LONGEST_TIMEOUT:g} seconds.")
        if not 1 <= request.workers <= MAX_WORKERS:
            raise ServiceError("bad_request", f"A render has 1 to {MAX_WORKERS} processes for each macro.")
        if len(request.documents or ()) > MAX_DOCUMENTS:
            sentence = f"A tree may have {MAX_DOCUMENTS:,} documents; render its folders one by one."
            raise ServiceError("too_large", sentence, status=413)
        if len(self._batches) + self._beginning >= MAX_BATCHES:
            hint = "Wait for the end of one, or cancel its task."
            raise ServiceError("busy", f"{MAX_BATCHES} renders go on already.", hint=hint, status=429, retry_after=5.0)
        self._beginning += 1
        try:
            return await self._begun(request, actor, source, timeout)
        finally:
            self._beginning -= 1

    async def _begun(self, request: BatchRequest, actor: Actor, source: str, timeout: float) -> BatchInfo:  # noqa: ASYNC109
        macros = await self._library.macros(actor=actor, wait=True)
        if request.documents is None:
            collection = await DocumentCollection.of_project(self._documents)
        else:
            collection = await asyncio.to_thread(DocumentCollection.of_sources, request.documents, request.images)
        tree = DocumentTree(collection)
        batch = Batch(actor, macros, tree, request.total or len(request.documents or ()), timeout)
        opening = _Opening(actor, source, macros, tree, KIND, request.workers, timeout, request.language)
        await self._open(batch, opening, preview=False)
        self._batches[batch.id] = batch
        run_id = None if batch.run is None else batch.run.info.id
        number, task = self._tasks.begin(KIND, actor, batch.work, run_id)
        task.add_done_callback(lambda done: self._ended(batch, done))
        return BatchInfo(id=batch.id, run_id=run_id or 0, task_id=number, macros=[macro.use for macro in macros])

    @implements(RENDER_DOCUMENTS)
    async def documents(self, batch_id: str, request: RenderRequest, actor: Actor) -> RenderAnswer:
        """Expand documents of a batch's tree, in the order in which they are given.

        The answer may have fewer than that: those from the first on that it has room for.

        Raises:
            ServiceError: ``no_batch``; ``cancelled`` when the batch ended meanwhile.
        """
        return RenderAnswer(documents=await self._batch(batch_id, actor).render(request.documents, request.total))

    @implements(RENDER_READS)
    async def reads(self, batch_id: str, request: ReadsRequest, actor: Actor) -> ReadsAnswer:
        """Hash what the macros would be answered now to what they asked before."""
        batch = self._batch(batch_id, actor)
        return ReadsAnswer(sha256=await asyncio.to_thread(batch.read_again, request.reads))

    @implements(RENDER_END)
    async def end(self, batch_id: str, actor: Actor, cancelled: bool = False) -> RunInfo:
        """End a batch and return its final record."""
        batch = self._batch(batch_id, actor)
        batch.stop(BatchEnd.CANCELLED if cancelled else BatchEnd.DONE)
        info = await batch.ended()
        if info is None:
            raise _no_batch()
        return info

    def _batch(self, batch_id: str, actor: Actor) -> Batch:
        batch = self._batches.get(batch_id)
        if batch is None or batch.actor.identity != actor.identity:
            raise _no_batch()
        return batch

    def _ended(self, batch: Batch, task: asyncio.Task[None]) -> None:
        self._batches.pop(batch.id, None)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ServiceError):
            log.error("a batch ended by a mistake of the engine's", exc_info=error)

    async def _open(self, batch: Batch, opening: _Opening, *, preview: bool) -> None:
        """Give a batch its record and what carries it out."""
        run = batch.run = await self._runs.begin_batch(
            opening.name,
            opening.actor,
            opening.source,
            code_sha256=opening.macros.sha256,
            shared=opening.macros.shared,
            timeout=opening.timeout,
            stop=lambda: batch.stop(BatchEnd.CANCELLED),
            preview=preview,
        )
        if preview:
            self.previews.note(opening.actor, opening.source, opening.path, opening.macros.sha256)

        def record(end: BatchEnd) -> RunInfo:
            note = batch.counts.sentence()
            noted = end not in (BatchEnd.DONE, BatchEnd.GIVEN_UP)
            return self._runs.end_batch(run, end.outcome, note, batch.error(end), batch.isolation, noted=noted)

        batch.record = record
        calls = TreeCalls(opening.tree, self._calls(run.info, opening.actor))
        try:
            executor = self._executors(run.info.id, opening.actor, opening.workers, calls, preview)
        except BaseException:
            record(BatchEnd.STOPPED)
            raise
        context = {"preview": preview, "language": opening.language}
        batch.caller = ChunkCaller(
            executor, context, opening.tree.meta, batch.heard, lambda: batch.stop(BatchEnd.STOPPED)
        )
        batch.caller.start()


@dataclass(frozen=True, slots=True)
class _Opening:
    """What a batch is begun with."""

    actor: Actor
    source: str
    macros: Macros
    tree: DocumentTree
    name: str
    workers: int
    timeout: float = DEFAULT_TIMEOUT
    language: str = ""
    path: str = ""
    """Of a preview's text."""


class _PreviewCaller:
    """A batch of one document, begun with its first call: most texts that are looked at while typing have none."""

    def __init__(self, service: RenderService, opening: _Opening) -> None:
        self._service = service
        self._opening = opening
        self._opened = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self.batch = Batch(opening.actor, opening.macros, opening.tree, 1, opening.timeout)

    async def call(
        self, macro: Macro, calls: Sequence[MacroCall], documents: Sequence[DocumentInput], room: Room
    ) -> Sequence[CallOutcome]:
        async with self._opened:
            if self.batch.caller is None:
                await self._service._open(self.batch, self._opening, preview=True)
                self._watching = asyncio.create_task(self._until_stopped(), name="a preview may be cancelled")
        if self.batch.caller is None:
            raise batch_over()
        return await self.batch.caller.call(macro, calls, documents, room)

    async def _until_stopped(self) -> None:
        """Have its calls end when its run is cancelled."""
        await self.batch.stopped()
        if self.batch.caller is not None:
            await self.batch.caller.close()

    async def close(self, end: BatchEnd) -> None:
        """End it, if it was begun; not to be cancelled on the way."""
        if self._watching is not None:
            self._watching.cancel()
        if self.batch.caller is not None and self.batch.record is not None:
            await asyncio.shield(self._closed(self.batch.caller, self.batch.record, end))

    async def _closed(self, caller: ChunkCaller, record: Callable[[BatchEnd], RunInfo], end: BatchEnd) -> None:
        try:
            await caller.close()
        finally:
            record(end)


def _no_batch() -> ServiceError:
    return ServiceError(
        "no_batch", "There is no such render: it has ended.", hint="Begin it again: gatewright render.", status=404
    )
