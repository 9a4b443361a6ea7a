"""One run while the engine holds it: its latest record, its output so far, its followers, and the filter of lists."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from weakref import WeakSet

from msgspec.structs import replace

from engine.models.runs import OutputChunk, RunInfo, RunProgress, RunState, Stream
from engine.pool.outcome import Ending, ReturnedFile
from engine.services.masking import Masks
from engine.services.runs.condensed import HeldRecord, Repeated
from engine.services.runs.follower import Follower
from engine.services.runs.kept_output import KeptOutput
from engine.services.runs.outputs import RunOutputs
from engine.services.runs.uploads import Buffer
from store.state.run_filter import RunFilter

SEAL_AFTER = 0.02
"""Seconds that output is collected before it becomes a chunk that followers and the record get."""

SEAL_BYTES = 64 << 10

PROGRESS_EVERY = 0.1
"""Seconds between two changes of a run's progress that followers are told of; of those between the last one counts."""

RING_RECORDED_EVERY = 5.0
"""Seconds between two records of output that may go again. It is all that a killed engine loses of it."""


class RunListener(Protocol):
    """Who must hear of a run's changes: the service that records and publishes them."""

    def run_changed(self, run: ActiveRun) -> None: ...

    def run_queue_moved(self, run: ActiveRun) -> None: ...

    def run_progressed(self, run: ActiveRun) -> None: ...

    def run_output(self, run: ActiveRun, removed: list[int], added: list[OutputChunk]) -> None:
        """Of what is kept of its output some is not any more, by number, and then some is new."""


class ActiveRun:
    """Implements the pool's ``RunSink``: the pool reports here, followers and the recorder read from here."""

    __slots__ = (
        "_changed",
        "_followers",
        "_kept",
        "_limit",
        "_loop",
        "_masks",
        "_parts",
        "_pending",
        "_progress",
        "_progress_timer",
        "_record_timer",
        "_seal_timer",
        "_version",
        "_waiters",
        "buffers",
        "files",
        "info",
        "kept_back",
        "listener",
        "outputs",
        "owner",
        "repeated",
        "stdin",
    )

    def __init__(
        self,
        info: RunInfo,
        owner: int,
        buffers: Sequence[Buffer],
        listener: RunListener,
        output_limit: int,
        stdin: int | None = None,
    ) -> None:
        """Make a run that nothing was written by yet.

        Args:
            info: Its first record.
            owner: The account that started it.
            buffers: The files that it was given.
            listener: Who is told of it.
            output_limit: How many bytes of its output are kept.
            stdin: The descriptor of its standard input, closed with the run's end.
        """
        self.info = info
        self.owner = owner
        self.buffers = buffers
        self.listener = listener
        self.stdin = stdin
        self.files: Sequence[ReturnedFile] = ()
        self.outputs: RunOutputs | None = None
        self.repeated: Repeated | None = None
        """What it may be a repetition of."""
        self.kept_back: HeldRecord | None = None
        """What is kept back of its record, if that is."""
        self._limit = output_limit
        self._kept: KeptOutput | None = None
        """None until it writes something."""
        self._loop = asyncio.get_running_loop()
        self._masks: Masks | None = None
        """None until it is given a secret."""
        self._waiters: list[asyncio.Future[RunInfo]] = []
        self._parts: list[tuple[Stream, list[str]]] = []
        """What was collected, in order; as many as the pace of a run lets its streams alternate."""
        self._pending = 0
        self._seal_timer: asyncio.TimerHandle | None = None
        self._record_timer: asyncio.TimerHandle | None = None
        self._progress: RunProgress | None = None
        """What has not been told yet."""
        self._progress_timer: asyncio.TimerHandle | None = None
        self._version = 0
        self._changed: asyncio.Event | None = None
        self._followers: WeakSet[Follower] | None = None
        """Who is given what it writes as it comes. An iteration that nobody began is no follower."""

    def close_stdin(self) -> None:
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    @property
    def finished(self) -> bool:
        return self.info.state is RunState.FINISHED

    @property
    def output_size(self) -> int:
        """Bytes of its output that are kept."""
        return 0 if self._kept is None else self._kept.size

    @property
    def missing_output(self) -> str | None:
        """What of its output is not kept, in a sentence."""
        return None if self._kept is None else self._kept.sentence()

    def chunks(self, after: int = 0) -> list[OutputChunk]:
        """What is kept of its output, from chunk ``after`` on."""
        return [] if self._kept is None else self._kept.since(after)

    def recorded_again(self) -> list[OutputChunk]:
        """Return what is kept of its output so far, all of it; what is recorded from here on are changes of that."""
        if self._kept is None:
            return []
        self._kept.take_changes()
        return self._kept.since(0)

    def queued(self, position: int | None, reason: str | None) -> None:
        """Take why it waits, and at which position of the pool's queue; None: it is not in that."""
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

    def hide(self, name: str, value: str) -> bool:
        """Keep the value of a secret out of all that comes from here on; return whether that is new."""
        if self._masks is None:
            self._masks = Masks()
        return self._masks.add(name, value)

    def masked(self, ending: Ending) -> Ending:
        """Return its end without the secrets that it was given."""
        return ending if self._masks is None else self._masks.ending(ending)

    def tells_secret(self, text: str) -> bool:
        """Whether a text has a secret that the run was given."""
        return self._masks is not None and self._masks.found_in(text)

    def progressed(self, progress: RunProgress) -> None:
        """Tell how far it is, at once or as soon as that is told again."""
        if self._masks is not None:
            progress = replace(progress, text=self._masks.text(progress.text))
        self._progress = progress
        if self._progress_timer is None:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._progress_timer = None
        if self._progress is None or self.finished:
            return
        self.info = replace(self.info, progress=self._progress)
        self._progress = None
        self._bump()
        self.listener.run_progressed(self)
        self._progress_timer = self._loop.call_later(PROGRESS_EVERY, self._tell_progress)

    @property
    def masks(self) -> Masks | None:
        """What hides the secrets that it was given; None if it was given none."""
        return self._masks

    def output(self, stream: Stream, text: str) -> None:
        if self._masks is not None:
            text = self._masks.output(stream, text)
        if text:
            self._collect(stream, text)

    def _collect(self, stream: Stream, text: str) -> None:
        if self._parts and self._parts[-1][0] is stream:
            self._parts[-1][1].append(text)
        else:
            self._parts.append((stream, [text]))
        self._pending += len(text)
        if self._pending >= SEAL_BYTES:
            self.seal()
        elif self._seal_timer is None:
            self._seal_timer = self._loop.call_later(SEAL_AFTER, self.seal)

    def held(self) -> bool:
        """Whether a follower has as much to read as may wait. One that reads nothing any more is not waited for."""
        if not self._followers:
            return False
        now = self._loop.time()
        return True in {follower.holds(now) for follower in self._followers}  # each of them has to be asked

    def unrecorded(self, sentence: str) -> None:
        """From here on nothing that it writes or leaves goes on record."""
        self.info = replace(self.info, unrecorded=sentence)
        self._bump()
        self.listener.run_changed(self)

    def finish(self, info: RunInfo) -> None:
        """Take the final record: nothing changes after this."""
        self.end_output()
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        self.info = info
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(info)
        self._bump()
        self.listener.run_changed(self)

    def end_output(self) -> None:
        """It writes nothing more: what is kept is as it stays, and goes on record."""
        if self._masks is not None:
            for stream, text in self._masks.rest():
                self._collect(stream, text)
        self.seal()
        if self._kept is not None:
            self._kept.finish()
            self._record(self._kept)

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
        if self._kept is None:
            self._kept = KeptOutput(self._limit)
        at = time.time()
        for stream, texts in self._parts:
            chunks = self._kept.add(stream, "".join(texts), at)
            for follower in self._followers or ():
                follower.put(chunks)
        self._parts, self._pending = [], 0
        self._bump()
        if self._kept.settled:
            self._record(self._kept)
        elif self._record_timer is None:
            self._record_timer = self._loop.call_later(RING_RECORDED_EVERY, self._record, self._kept)

    def _record(self, kept: KeptOutput) -> None:
        """Have what has changed recorded."""
        if self._record_timer is not None:
            self._record_timer.cancel()
            self._record_timer = None
        removed, added = kept.take_changes()
        if removed or added:
            self.listener.run_output(self, removed, added)

    def follow(self, after: int, *, kept: bool = False) -> AsyncIterator[list[OutputChunk] | RunInfo]:
        """Everything from chunk ``after`` on, the record at once and whenever it changes, the final record last.

        From this call on the run waits for the follower, so that nothing is missing even of what it writes first.
        ``kept``: not as it comes, but what is kept of it at the end.
        """
        follower = Follower(after, self.chunks, live=not kept and not self.finished)
        if follower.live:
            if self._followers is None:
                self._followers = WeakSet()
            self._followers.add(follower)
        return self._told(follower, kept=kept)

    async def _told(self, follower: Follower, *, kept: bool) -> AsyncIterator[list[OutputChunk] | RunInfo]:
        seen: RunInfo | None = None
        try:
            while True:
                # Before the chunks: while a slow follower takes those, the run may write more and end.
                version, info = self._version, self.info
                ended, batch = info.state is RunState.FINISHED, None
                while (ended or not kept) and (batch := follower.take()):
                    yield batch
                    if not ended:
                        break
                if info is not seen:
                    seen = info
                    yield info
                if ended:
                    return
                if not batch and version == self._version:
                    await self._next_change()
        finally:
            if self._followers is not None:
                self._followers.discard(follower)

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
