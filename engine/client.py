"""The one client of an engine: console and command line speak to it through this, whatever carries the connection.

Cheap to import on purpose (asyncio, h11, msgspec): ``gatewright exec`` pays for it on every call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from engine import registry
from engine.models import (
    ApproveRequest,
    BufferInfo,
    CheckReport,
    CheckRequest,
    DeleteRequest,
    DuplicateRequest,
    EngineInfo,
    ErrorBody,
    Event,
    GitAuthor,
    GitCommit,
    GitCommitRequest,
    GitDiff,
    GitLog,
    GitPaths,
    GitStatus,
    GitText,
    GitTrust,
    GitTrustRequest,
    Model,
    OutputChunk,
    OutputPage,
    PermissionReview,
    PoolInfo,
    RebuildReport,
    RenameRequest,
    ResizeRequest,
    RestoreRequest,
    RunInfo,
    RunList,
    RunRequest,
    SaveRequest,
    ScriptHistory,
    ScriptInfo,
    ScriptList,
    ScriptText,
    ScriptVersion,
    SearchResult,
    SetKeysRequest,
    StopRequest,
    TaskInfo,
    TaskList,
    VersionText,
)
from engine.registry import Operation
from engine.sse_parser import EventTooLargeError, ServerEvent, SseParser
from engine.transport import Connect, Headers, Response, Transport, TransportError

RunEvent = list[OutputChunk] | RunInfo
T = TypeVar("T")

MAX_ANSWER = 64 << 20
MAX_FILE = 256 << 20
"""Bytes of a file that a run left: the most that an engine can be told to keep of one run."""

ANSWER_TIMEOUT = 60.0
"""Seconds for a whole answer. A durable save on a slow disk takes long; a stopped engine never answers."""

TRANSFER_TIMEOUT = 600.0
"""Seconds for a file, up or down, and for a task."""

SILENCE_TIMEOUT = 45.0
"""Seconds without a byte after which a stream counts as dead: the engine sends a comment every 15."""

RECONNECT_DELAYS = (0.0, 0.1, 0.3, 0.6, 1.0)
"""Seconds to wait before each attempt to resume a broken stream."""


class EngineError(Exception):
    """The engine said no."""

    def __init__(self, code: str, message: str, hint: str | None, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status


class EngineUnreachable(Exception):
    """Nothing answers, or the answer broke off."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class EngineClient:
    """Typed calls to one engine. Usable from several tasks at once; a cancelled call closes its connection.

    Every method raises ``EngineError`` when the engine refuses and ``EngineUnreachable`` when it cannot be reached.

    Args:
        connect: Opens a connection to the engine; raises OSError where nothing listens.
        client: ``console`` or ``cli``: runs started here are recorded with it.
    """

    def __init__(self, connect: Connect, client: str) -> None:
        self._transport = Transport(connect, [(registry.CLIENT_HEADER, client)])

    async def engine_info(self) -> EngineInfo:
        return await self._call(registry.ENGINE_INFO, EngineInfo)

    async def stop_engine(self, force: bool = False) -> EngineInfo:
        """Ask the engine to leave; it refuses with ``busy`` while runs go on, unless ``force``."""
        return await self._call(registry.ENGINE_STOP, EngineInfo, body=StopRequest(force=force))

    async def pool(self) -> PoolInfo:
        return await self._call(registry.POOL_INFO, PoolInfo)

    async def resize_pool(self, size: int) -> PoolInfo:
        return await self._call(registry.POOL_RESIZE, PoolInfo, body=ResizeRequest(size=size))

    async def restart_slot(self, slot: int) -> PoolInfo:
        return await self._call(registry.POOL_RESTART, PoolInfo, registry.SlotParams(slot=slot))

    async def start_run(self, request: RunRequest) -> RunInfo:
        return await self._call(registry.RUNS_START, RunInfo, body=request)

    async def get_run(self, run_id: int) -> RunInfo:
        return await self._call(registry.RUNS_GET, RunInfo, registry.RunParams(run_id=run_id))

    async def list_runs(self, limit: int = 50, before: int | None = None, name: str | None = None) -> RunList:
        return await self._call(
            registry.RUNS_LIST, RunList, registry.RunListParams(limit=limit, before=before, name=name)
        )

    async def cancel_run(self, run_id: int) -> RunInfo:
        """Stop a run; its final record, also if it had ended before."""
        return await self._call(registry.RUNS_CANCEL, RunInfo, registry.RunParams(run_id=run_id))

    async def run_output(self, run_id: int, after: int = 0, limit: int = 500) -> OutputPage:
        """Up to ``limit`` chunks from chunk ``after`` on."""
        return await self._call(
            registry.RUNS_OUTPUT, OutputPage, registry.OutputParams(run_id=run_id, after=after, limit=limit)
        )

    async def run_file(self, run_id: int, name: str) -> bytes:
        """The content of a file that a run left; ``RunInfo.files`` has their names."""
        operation = registry.RUNS_FILE
        target = operation.target(registry.RunFileParams(run_id=run_id, name=name))
        with _unreachable():
            async with (
                asyncio.timeout(TRANSFER_TIMEOUT),
                self._transport.exchange(operation.method, target) as response,
            ):
                return await _content(response, MAX_FILE)

    async def follow_run(self, run_id: int, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """Output from chunk ``after`` on as it comes and the run's record when it changes; ends after the final one.

        A broken connection is resumed where it broke.
        """
        place = _Place(run_id, after)
        retry = _Retry(self._transport)
        while True:
            target = registry.RUNS_EVENTS.target(registry.RunEventsParams(run_id=run_id, after=place.after))
            try:
                async with aclosing(_until_finished(self._stream(registry.RUNS_EVENTS, target), place)) as items:
                    async for item in items:
                        retry.reset()
                        yield item
            except EngineUnreachable as error:
                await retry.pause(error)
            else:
                return

    async def run_and_follow(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Start a run and follow it, in one round trip. The first item is its record."""
        target = registry.RUNS_START.target(registry.StartParams(follow=True))
        place = _Place()
        stream = self._stream(registry.RUNS_START, target, _encode(request))
        try:
            async with aclosing(_until_finished(stream, place)) as items:
                async for item in items:
                    yield item
        except EngineUnreachable:
            if place.run_id is None:
                raise
        else:
            return
        async with aclosing(self.follow_run(place.run_id, place.after)) as items:
            async for item in items:
                yield item

    async def list_scripts(self) -> ScriptList:
        return await self._call(registry.SCRIPTS_LIST, ScriptList)

    async def load_script(self, path: str) -> ScriptText:
        return await self._call(registry.SCRIPTS_LOAD, ScriptText, registry.ScriptParams(path=path))

    async def save_script(self, path: str, request: SaveRequest) -> ScriptInfo:
        """Save durably; raises ``EngineError`` with code ``conflict`` when the file is not what the author loaded."""
        return await self._call(registry.SCRIPTS_SAVE, ScriptInfo, registry.ScriptParams(path=path), request)

    async def set_script_keys(self, path: str, request: SetKeysRequest) -> ScriptInfo:
        """Set or remove keys of a script's frontmatter durably, all of them or none."""
        return await self._call(registry.SCRIPTS_SET, ScriptInfo, registry.ScriptParams(path=path), request)

    async def check_script(self, request: CheckRequest) -> CheckReport:
        """What is wrong with a script's text, and what is in it. It is parsed in the sandbox, never run."""
        return await self._call(registry.SCRIPTS_CHECK, CheckReport, body=request)

    async def search_scripts(self, text: str, limit: int = 50) -> SearchResult:
        """Scripts that have every word of ``text``, the last one perhaps only begun."""
        return await self._call(registry.SCRIPTS_SEARCH, SearchResult, registry.SearchParams(q=text, limit=limit))

    async def rename_script(self, path: str, request: RenameRequest) -> ScriptInfo:
        """Give a script another path; raises ``EngineError`` with code ``conflict`` when that is taken."""
        return await self._call(registry.SCRIPTS_RENAME, ScriptInfo, registry.ScriptParams(path=path), request)

    async def duplicate_script(self, path: str, request: DuplicateRequest) -> ScriptInfo:
        """Make a new script of what another one holds."""
        return await self._call(registry.SCRIPTS_DUPLICATE, ScriptInfo, registry.ScriptParams(path=path), request)

    async def delete_script(self, path: str, request: DeleteRequest) -> ScriptVersion:
        """Delete a script; ``conflict`` when it is not what ``request`` says. The answer names what brings it back."""
        return await self._call(registry.SCRIPTS_DELETE, ScriptVersion, registry.ScriptParams(path=path), request)

    async def script_history(self, path: str) -> ScriptHistory:
        """What a script was before, whether it is there or deleted."""
        return await self._call(registry.SCRIPTS_HISTORY, ScriptHistory, registry.ScriptParams(path=path))

    async def script_version(self, path: str, sha256: str) -> VersionText:
        """The text of an old version."""
        return await self._call(registry.SCRIPTS_VERSION, VersionText, registry.VersionParams(path=path, sha256=sha256))

    async def restore_script(self, path: str, request: RestoreRequest) -> ScriptInfo:
        """Bring an old version or a deleted script back."""
        return await self._call(registry.SCRIPTS_RESTORE, ScriptInfo, registry.ScriptParams(path=path), request)

    async def review_permissions(self, path: str) -> PermissionReview:
        """What a script asks for, judged now, and what changed since its last approval."""
        return await self._call(registry.PERMISSIONS_REVIEW, PermissionReview, registry.ScriptParams(path=path))

    async def approve_permissions(self, path: str, request: ApproveRequest) -> PermissionReview:
        """Approve what was reviewed; raises ``EngineError`` with code ``changed`` when it is not that any more."""
        params = registry.ScriptParams(path=path)
        return await self._call(registry.PERMISSIONS_APPROVE, PermissionReview, params, request)

    async def refuse_permissions(self, path: str) -> PermissionReview:
        """Refuse a script's permissions, or withdraw the approval that it has."""
        return await self._call(registry.PERMISSIONS_REFUSE, PermissionReview, registry.ScriptParams(path=path))

    async def upload(
        self, name: str, chunks: Iterable[bytes] | AsyncIterable[bytes], size: int | None = None
    ) -> BufferInfo:
        """Hand a file's content to the engine. ``size``, if known, must be right to the byte."""
        operation = registry.BUFFERS_CREATE
        target = operation.target(registry.BufferParams(name=name))
        with _unreachable():
            async with (
                asyncio.timeout(TRANSFER_TIMEOUT),
                self._transport.upload(operation.method, target, chunks, size) as response,
            ):
                return await _answer(response, BufferInfo)

    async def git_status(self) -> GitStatus:
        return await self._call(registry.GIT_STATUS, GitStatus)

    async def git_log(self, path: str | None = None, limit: int = 50, skip: int = 0) -> GitLog:
        return await self._call(registry.GIT_LOG, GitLog, registry.GitLogParams(path=path, limit=limit, skip=skip))

    async def rebuild(self) -> RebuildReport:
        """Make the index of scripts anew; events of type ``task`` tell how far it is.

        Raises ``EngineError`` with code ``cancelled`` when it was, and ``busy`` when another one goes on.
        """
        return await self._call(registry.SYNC_REBUILD, RebuildReport, patience=TRANSFER_TIMEOUT)

    async def list_tasks(self) -> TaskList:
        return await self._call(registry.TASKS_LIST, TaskList)

    async def cancel_task(self, task_id: int) -> TaskInfo:
        """Stop a task; what it was about to do is not done."""
        return await self._call(registry.TASKS_CANCEL, TaskInfo, registry.TaskParams(task_id=task_id))

    async def git_diff(
        self, path: str | None = None, *, staged: bool = False, commit: str | None = None
    ) -> GitDiff:
        """What changed in a file, as the status lists it, or what a commit changed."""
        params = registry.GitDiffParams(path=path, staged=staged, commit=commit)
        return await self._call(registry.GIT_DIFF, GitDiff, params)

    async def git_show(self, commit: str, path: str) -> GitText:
        """A script's text as a commit has it."""
        return await self._call(registry.GIT_SHOW, GitText, registry.GitShowParams(commit=commit, path=path))

    async def git_stage(self, paths: list[str]) -> GitStatus:
        """Raises ``EngineError`` with code ``untrusted`` when the repository names programs that nobody trusted yet."""
        return await self._call(registry.GIT_STAGE, GitStatus, body=GitPaths(paths=paths))

    async def git_unstage(self, paths: list[str]) -> GitStatus:
        return await self._call(registry.GIT_UNSTAGE, GitStatus, body=GitPaths(paths=paths))

    async def git_commit(self, message: str) -> GitCommit:
        """Raises ``EngineError`` with code ``no_author`` when the caller has not said who their commits are by."""
        return await self._call(registry.GIT_COMMIT, GitCommit, body=GitCommitRequest(message=message))

    async def git_author(self) -> GitAuthor:
        return await self._call(registry.GIT_AUTHOR, GitAuthor)

    async def set_git_author(self, author: GitAuthor) -> GitAuthor:
        return await self._call(registry.GIT_AUTHOR_SET, GitAuthor, body=author)

    async def git_programs(self) -> GitTrust:
        """What the repository could make git run, and whether that is trusted."""
        return await self._call(registry.GIT_PROGRAMS, GitTrust)

    async def trust_git(self, fingerprint: str | None) -> GitTrust:
        """Trust what was seen, or take the trust back; refused with code ``changed`` when it is not that any more."""
        return await self._call(registry.GIT_TRUST, GitTrust, body=GitTrustRequest(fingerprint=fingerprint))

    async def events(self, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Everything that happens in the engine, from event ``after`` on or from now.

        A broken connection is resumed where it broke. An event of type ``lagged`` tells that some are missing: this
        reader was too slow, or another engine answers now. Read again what you show.
        """
        target = registry.EVENTS.target(registry.EventsParams(after=after))
        resume: Headers = ()
        retry = _Retry(self._transport)
        while True:
            try:
                async with aclosing(self._stream(registry.EVENTS, target, headers=resume)) as stream:
                    async for event in stream:
                        retry.reset()
                        resume = [("Last-Event-ID", event.id)]
                        yield _decode(event.data, Event)
            except EngineUnreachable as error:
                await retry.pause(error)

    async def close(self) -> None:
        """Close every connection; calls and streams that still go on end with ``EngineUnreachable``."""
        await self._transport.close()

    async def _call(
        self,
        operation: Operation,
        answer: type[T],
        params: Model | None = None,
        body: Model | None = None,
        patience: float = ANSWER_TIMEOUT,
    ) -> T:
        data = None if body is None else _encode(body)
        with _unreachable():
            async with (
                asyncio.timeout(patience),
                self._transport.exchange(operation.method, operation.target(params), data) as response,
            ):
                return await _answer(response, answer)

    async def _stream(
        self, operation: Operation, target: str, body: bytes | None = None, headers: Headers = ()
    ) -> AsyncGenerator[ServerEvent, None]:
        """Events until the consumer has enough; the end of the stream is always ``EngineUnreachable``."""
        with _unreachable():
            async with self._transport.exchange(operation.method, target, body, headers) as response:
                if response.status >= 400:
                    await _answer(response, ErrorBody)
                parser = SseParser()
                chunks = response.chunks()
                while True:
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        raise TransportError("it ended the stream")
                    for event in parser.feed(chunk):
                        yield event


@dataclass(slots=True)
class _Place:
    """How far a run was followed."""

    run_id: int | None = None
    after: int = 0

    def reach(self, item: RunEvent) -> None:
        if isinstance(item, RunInfo):
            self.run_id = item.id
        elif item:
            self.after = item[-1].seq + 1


class _Retry:
    """How often a broken stream is opened again before the engine counts as gone."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._delays = iter(RECONNECT_DELAYS)

    def reset(self) -> None:
        self._delays = iter(RECONNECT_DELAYS)

    async def pause(self, error: EngineUnreachable) -> None:
        delay = next(self._delays, None)
        if delay is None or self._transport.closed:
            raise error
        await asyncio.sleep(delay)


async def _until_finished(stream: AsyncGenerator[ServerEvent, None], place: _Place) -> AsyncGenerator[RunEvent]:
    async with aclosing(stream):
        async for event in stream:
            item: RunEvent = (
                _decode(event.data, list[OutputChunk]) if event.type == "output" else _decode(event.data, RunInfo)
            )
            place.reach(item)
            yield item
            if event.type == "finished":
                return


def _encode(body: Model) -> bytes:
    """The body as JSON. What JSON in UTF-8 cannot carry is refused as the engine would refuse it."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        sentence = "The text holds a lone surrogate, which UTF-8 cannot carry."
        raise EngineError("bad_request", sentence, "Remove the broken character.", 400) from None
    except (TypeError, RecursionError) as error:
        raise EngineError("bad_request", f"The request cannot be sent as JSON: {error}.", None, 400) from None


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(answer: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - any type that msgspec can build
    decoder = _decoders.get(answer)
    if decoder is None:
        decoder = _decoders[answer] = msgspec.json.Decoder(answer)
    return decoder


def _decode(data: bytes, answer: type[T]) -> T:
    try:
        decoded: T = _decoder(answer).decode(data)
    except msgspec.DecodeError as error:
        raise EngineUnreachable(
            "The engine's answer makes no sense to this version.",
            f"Restart the engine: gatewright engine stop ({error}).",
        ) from error
    return decoded


async def _answer(response: Response, answer: type[T]) -> T:
    """The typed answer.

    Raises:
        EngineError: The engine refused.
    """
    return _decode(await _content(response, MAX_ANSWER), answer)


async def _content(response: Response, limit: int) -> bytes:
    """The answer as it is.

    Raises:
        EngineError: The engine refused.
    """
    data = await response.read(limit)
    if response.status < 400:
        return data
    try:
        body: ErrorBody = _decoder(ErrorBody).decode(data)
    except msgspec.DecodeError:
        message = f"The engine answered with HTTP status {response.status}."
        raise EngineError("http", message, None, response.status) from None
    raise EngineError(body.code, body.error, body.hint, response.status)


@contextmanager
def _unreachable() -> Iterator[None]:
    """Everything that can break between here and the engine, as one sentence."""
    try:
        yield
    except TimeoutError:
        raise EngineUnreachable(
            "The engine does not answer.", "See its log; gatewright engine stop and start again if it hangs."
        ) from None
    except (TransportError, EventTooLargeError) as error:
        raise EngineUnreachable(f"The engine cannot be reached: {error}.") from error
