"""One run while the engine holds it: its latest record, its output so far, its followers, and the filter of lists."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec.structs import replace

from engine.models.runs import OutputChunk, RunInfo, RunState, Stream
from engine.pool.outcome import ReturnedFile
from engine.services.runs.uploads import Buffer
from store.state.run_filter import RunFilter

SEAL_AFTER = 0.02
"""Seconds that output is collected before it becomes a chunk that followers and the record get."""

SEAL_BYTES = 64 << 10


class RunListener(Protocol):
    """Who must hear of a run's changes: the service that records and publishes them."""

    def run_changed(self, run: ActiveRun) -> None: ...

    def run_queue_moved(self, run: ActiveRun) -> None: ...

    def run_output(self, run: ActiveRun, chunks: list[OutputChunk]) -> None: ...


class ActiveRun:
    """Implements the pool's ``RunSink``: the pool reports here, followers and the recorder read from here."""

    __slots__ = (
        "_changed",
        "_loop",
        "_parts",
        "_pending",
        "_seal_timer",
        "_version",
        "_waiters",
        "buffers",
        "chunks",
        "files",
        "info",
        "listener",
        "owner",
        "stdin",
    )

    def __init__(
        self,
        info: RunInfo,
        owner: int,
        buffers: Sequence[Buffer],
        listener: RunListener,
        stdin: int | None = None,
    ) -> None:
        """``stdin`` is the descriptor of its standard input, closed with the run's end."""
        self.info = info
        self.owner = owner
        self.buffers = buffers
        self.listener = listener
        self.stdin = stdin
        self.chunks: list[OutputChunk] = []
        self.files: Sequence[ReturnedFile] = ()
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[RunInfo]] = []
        self._parts: list[tuple[Stream, list[str]]] = []
        """What was collected, in order; as many as the pace of a run lets its streams alternate."""
        self._pending = 0
        self._seal_timer: asyncio.TimerHandle | None = None
        self._version = 0
        self._changed: asyncio.Event | None = None

    def close_stdin(self) -> None:
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    @property
    def finished(self) -> bool:
        return self.info.state is RunState.FINISHED

    def queued(self, position: int, reason: str) -> None:
        self.info = replace(self.info, queue_position=position, queue_reason=reason)
        self._bump()
        self.listener.run_queue_moved(self)

    def started(self, slot: int, pid: int, isolation: str) -> None:  # noqa: ARG002 - the slot's own record has the pid
        self.info = replace(
            self.info,
            state=RunState.RUNNING,
            started_at=time.time(),
            slot=slot,
            isolation=isolation,
            queue_position=None,
            queue_reason=None,
        )
        self._bump()
        self.listener.run_changed(self)

    def output(self, stream: Stream, text: str) -> None:
        if self._parts and self._parts[-1][0] is stream:
            self._parts[-1][1].append(text)
        else:
            self._parts.append((stream, [text]))
        self._pending += len(text)
        if self._pending >= SEAL_BYTES:
            self.seal()
        elif self._seal_timer is None:
            self._seal_timer = self._loop.call_later(SEAL_AFTER, self.seal)

    def unrecorded(self, sentence: str) -> None:
        """From here on nothing that it writes or leaves goes on record."""
        self.info = replace(self.info, unrecorded=sentence)
        self._bump()
        self.listener.run_changed(self)

    def finish(self, info: RunInfo) -> None:
        """Take the final record: nothing changes after this."""
        self.seal()
        self.info = info
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(info)
        self._bump()
        self.listener.run_changed(self)

    async def ended(self) -> RunInfo:
        """The final record. A future for each waiter: one that is cancelled takes nothing from the others."""
        if self.finished:
            return self.info
        waiter: asyncio.Future[RunInfo] = self._loop.create_future()
        self._waiters.append(waiter)
        return await waiter

    def seal(self) -> None:
        """Turn what was collected into chunks."""
        if self._seal_timer is not None:
            self._seal_timer.cancel()
            self._seal_timer = None
        if not self._pending:
            return
        at, first = time.time(), len(self.chunks)
        for stream, texts in self._parts:
            self.chunks.append(OutputChunk(seq=len(self.chunks), stream=stream, text="".join(texts), at=at))
        self._parts, self._pending = [], 0
        self._bump()
        self.listener.run_output(self, self.chunks[first:])

    async def follow(self, after: int) -> AsyncIterator[list[OutputChunk] | RunInfo]:
        """Everything from chunk ``after`` on, the record at once and whenever it changes, the final record last."""
        seen: RunInfo | None = None
        while True:
            # Before the chunks: while a slow follower takes those, the run may write more and end.
            version, info = self._version, self.info
            if after < len(self.chunks):
                fresh = self.chunks[after:]
                after = len(self.chunks)
                yield fresh
            if info is not seen:
                seen = info
                yield info
            if info.state is RunState.FINISHED:
                return
            if version == self._version:
                await self._next_change()

    def _bump(self) -> None:
        self._version += 1
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _next_change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()


def is_wanted(info: RunInfo, wanted: RunFilter) -> bool:
    """As ``RunFilter.where`` chooses among the recorded runs."""
    return (
        wanted.name in (None, info.name)
        and (wanted.part is None or wanted.part.lower() in info.name.lower())
        and wanted.outcome in (None, info.outcome)
        and wanted.actor in (None, info.actor)
        and (wanted.since is None or info.queued_at >= wanted.since)
        and (wanted.until is None or info.queued_at < wanted.until)
    )
