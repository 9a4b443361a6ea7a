"""Macros that are plain functions, an executor that calls them here, and an engine of these for the client's half."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.rendering import RenderOptions, RenderSummary, render
from engine.models.macros import (
    BatchInfo,
    BatchRequest,
    DocumentInput,
    MacroList,
    Read,
    ReadsAnswer,
    RenderAnswer,
    RenderedDocument,
)
from engine.models.runs import RunError
from engine.models.scripts import ParamInfo, ScriptInfo
from engine.services.documents.collection import DocumentCollection
from engine.services.macros.chunks import ChunkCaller
from engine.services.macros.executor import Chunk, ChunkResult, MacroSource
from engine.services.macros.expansion import expand
from engine.services.macros.library import Macro, Macros, macro_info
from engine.services.macros.tree import DocumentTree

Render = Callable[..., Any]


class TimeIsOver(Exception):
    """A macro that goes on for longer than its chunk may."""


@dataclass
class MacroHere:
    """A macro of this process. ``text`` stands for its source: another one is another macro."""

    name: str
    render: Render
    params: Sequence[ParamInfo] = ()
    text: str = "1"
    problem: str | None = None

    def made(self) -> Macro:
        path = f"macros/{self.name}.py"
        info = ScriptInfo(path=path, title=self.name, kind="macro", params=list(self.params))
        if self.problem is not None:
            return Macro(self.name, info, problem=self.problem)
        data = f"{self.name} {self.text}".encode()
        source = MacroSource(name=self.name, path=path, text=data, sha256=hashlib.sha256(data).hexdigest())
        return Macro(self.name, info, source)


@dataclass
class ExecutorHere:
    """``Executor`` that calls functions of this process, one chunk after the other."""

    macros: Mapping[str, MacroHere]
    tree: DocumentTree | None = None
    chunks: list[Chunk] = field(default_factory=list)
    duration: float = 0.001
    in_flight: int = 4
    hold: asyncio.Event | None = None
    """Nothing is answered before it is set."""
    _results: asyncio.Queue[ChunkResult | None] = field(default_factory=asyncio.Queue)
    _slots: asyncio.Semaphore | None = None

    async def submit(self, chunk: Chunk) -> None:
        if self._slots is None:
            self._slots = asyncio.Semaphore(self.in_flight)
        await self._slots.acquire()
        self.chunks.append(chunk)
        if self.hold is not None:
            await self.hold.wait()
        self._results.put_nowait(self._made(chunk))

    async def as_completed(self) -> AsyncIterator[ChunkResult]:
        while (result := await self._results.get()) is not None:
            assert self._slots is not None
            self._slots.release()
            yield result

    def finish(self) -> None:
        self._results.put_nowait(None)

    async def cancel(self) -> None:
        self._results.put_nowait(None)

    async def close(self) -> None:
        pass

    def _made(self, chunk: Chunk) -> ChunkResult:
        texts: list[str | None] = []
        errors: dict[int, RunError] = {}
        reads: dict[int, list[Read]] = {}
        warnings: dict[int, list[str]] = {}
        for number, params in enumerate(chunk.params):
            document = chunk.documents[chunk.of[number]]
            read = reads.setdefault(number, [])
            if errors and next(iter(errors.values())).type == "timeout":
                texts.append(None)
                errors[number] = RunError(type="timeout", message="It was not begun.")
                continue
            try:
                text = self._called(chunk, params, document, read)
            except TimeIsOver:
                texts.append(None)
                errors[number] = RunError(type="timeout", message="It took too long.")
            except Exception as error:  # noqa: BLE001 - whatever a macro raises
                texts.append(None)
                errors[number] = RunError(type=type(error).__name__, message=str(error), filename="m.py", line=3)
            else:
                if isinstance(text, dict):
                    warnings[number] = text["warnings"]
                    text = text["html"]
                texts.append(text)
        return ChunkResult(
            chunk.number,
            texts,
            errors,
            warnings=warnings,
            reads=reads,
            duration=self.duration,
            isolation="here",
        )

    def _called(self, chunk: Chunk, params: Mapping[str, Any], document: Any, reads: list[Read]) -> Any:
        function = self.macros[chunk.macro.name].render
        if "ask" not in inspect.signature(function).parameters:
            return function(params, {**chunk.context, "document": document})

        def ask(operation: str, **asked: Any) -> Any:
            assert self.tree is not None
            read = Read(operation=operation, params=asked)
            reads.append(msgspec.structs.replace(read, sha256=self.tree.answer_sha256(read)))
            return self.tree.collection.answer(operation, asked)

        return function(params, {**chunk.context, "document": document}, ask=ask)


def caller_of(executor: ExecutorHere, *, preview: bool = False) -> ChunkCaller:
    tree = executor.tree or DocumentTree(DocumentCollection([], []))
    return ChunkCaller(executor, {"preview": preview, "language": ""}, tree.meta, lambda _: None)


async def expanded(
    text: str, *macros: MacroHere, errors_shown: bool = False, path: str = "a.md", executor: ExecutorHere | None = None
) -> RenderedDocument:
    """Expand one text."""
    executor = executor or ExecutorHere({one.name: one for one in macros})
    caller = caller_of(executor)
    caller.start()
    try:
        documents = [DocumentInput(path=path, text=text)]
        [rendered] = await expand(documents, Macros(one.made() for one in macros), caller, errors_shown=errors_shown)
    finally:
        await caller.close()
    return rendered


@dataclass
class EngineHere:
    """The engine as the client's half sees it: the operations of rendering, with macros of this process."""

    macros: dict[str, MacroHere]
    rendered: list[str] = field(default_factory=list)
    """Paths of documents, in the order in which they came."""
    dies_after: int | None = None
    """Documents after which it answers nothing more."""
    on_documents: Callable[[], None] | None = None
    trees: dict[str, DocumentTree] = field(default_factory=dict)
    ended: list[tuple[str, bool]] = field(default_factory=list)
    fits: int = 1000

    async def close(self) -> None:
        pass

    async def call(self, operation: Any, params: Any = None, body: Any = None) -> Any:
        return await getattr(self, "_" + operation.name.replace(".", "_"))(params, body)

    def known(self) -> Macros:
        return Macros(one.made() for one in self.macros.values())

    async def _macros_list(self, _: Any, __: Any) -> MacroList:
        self._alive()
        return MacroList(macros=[macro_info(one) for one in self.known()])

    async def _render_begin(self, _: Any, body: BatchRequest) -> BatchInfo:
        self._alive()
        number = f"batch{len(self.trees)}"
        self.trees[number] = DocumentTree(DocumentCollection.of_sources(body.documents or [], body.images))
        return BatchInfo(id=number, run_id=1, task_id=1, macros=[one.use for one in self.known()])

    async def _render_documents(self, params: Any, body: Any) -> RenderAnswer:
        self._alive()
        if self.on_documents is not None:
            self.on_documents()
        tree = self.trees[params.batch_id]
        caller = caller_of(ExecutorHere(self.macros, tree))
        caller.start()
        try:
            made = await expand(body.documents[: self.fits], self.known(), caller)
        finally:
            await caller.close()
        self.rendered += [one.path for one in made]
        return RenderAnswer(documents=made)

    async def _render_reads(self, params: Any, body: Any) -> ReadsAnswer:
        self._alive()
        return ReadsAnswer(sha256=[self.trees[params.batch_id].answer_sha256(read) for read in body.reads])

    async def _render_end(self, params: Any, _: Any) -> None:
        self.ended.append((params.batch_id, params.cancelled))

    def _alive(self) -> None:
        if self.dies_after is not None and len(self.rendered) >= self.dies_after:
            raise EngineUnreachable("The engine does not answer.")


async def no_other_engine() -> Any:
    raise EngineError("unreachable", "There is no other engine.", None, 503)


async def rendered_here(
    engine: EngineHere, source: Path, out: Path, *, reconnect: Any = no_other_engine, **options: Any
) -> RenderSummary:
    """Render a folder; what the engine renders this time is in ``engine.rendered``."""
    engine.rendered.clear()
    return await render(engine, str(source), str(out), RenderOptions(**options), reconnect)  # type: ignore[arg-type]
