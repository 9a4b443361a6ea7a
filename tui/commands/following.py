"""Start a run, show its output as it comes, stop it on Ctrl+C, show how it ended.

A second Ctrl+C leaves at once (``Interrupts``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from types import FrameType, TracebackType
from typing import Self

import msgspec

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.launch import LaunchError
from engine.client.runs import RunEvent
from engine.models.runs import Outcome, OutputChunk, RunInfo, RunRequest, RunState, Stream
from engine.registry.runs import RUNS_CANCEL, RunParams
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.returned import write_files
from tui.commands.streams import Streams
from tui.text.formats import duration

RENEWALS = 3
"""How often another connection is tried for one run. The engine that comes after its own knows that it has ended."""

Reconnect = Callable[[], Awaitable[EngineClient]]


async def run_to_end(
    client: EngineClient,
    request: RunRequest,
    streams: Streams,
    *,
    as_json: bool,
    out: str | None = None,
    reconnect: Reconnect,
) -> int:
    """Run ``request`` and return the exit code that its outcome has.

    Ctrl+C, or a reader of stdout that goes away, cancels the run in the engine.

    Args:
        client: Connected.
        request: What to run.
        streams: Where the run's output and result go.
        as_json: Print one object at the end instead.
        out: A folder to write the files into that the run leaves.
        reconnect: Reaches the engine again, or another one, when this one goes away.

    Raises:
        CommandError: The engine got lost, or a file could not be written.
    """
    events = client.run_and_follow(request)
    return await follow_to_end(client, events, streams, as_json=as_json, out=out, reconnect=reconnect)


async def follow_to_end(
    client: EngineClient,
    events: AsyncIterator[RunEvent],
    streams: Streams,
    *,
    as_json: bool,
    out: str | None = None,
    reconnect: Reconnect,
) -> int:
    """As ``run_to_end``, of a run that ``events`` starts and tells of."""
    async with _Connection(client, reconnect) as connection:
        with Interrupts() as interrupts:
            follower = _Follower(connection, streams, interrupts, keep=as_json)
            info = await follower.follow(events)
        return await _end(connection.client, info, follower.chunks, streams, as_json=as_json, out=out)


async def _end(
    client: EngineClient,
    info: RunInfo,
    chunks: Sequence[OutputChunk],
    streams: Streams,
    *,
    as_json: bool,
    out: str | None,
) -> int:
    """Show how the run ended, and take the files that it left."""
    if not as_json:
        show_end(info, streams)
    if info.files and out is not None:
        await write_files(client, info, out, streams)
    elif info.files:
        count = "a file" if len(info.files) == 1 else f"{len(info.files)} files"
        streams.notify(f"it left {count}: gatewright runs files {info.id} --out DIR")
    if as_json:  # the only object on stdout: this, or what went wrong with the files
        streams.out.line(run_json(info, chunks))
    return exit_codes.of_outcome(info.outcome)


class _Connection:
    """The client of the engine that knows the run: another one when that engine has gone and a new one came."""

    def __init__(self, client: EngineClient, reconnect: Reconnect) -> None:
        self.client = client
        self._reconnect = reconnect
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def renew(self) -> None:
        self.client = await self._reconnect()
        self._stack.push_async_callback(self.client.close)


class _Follower:
    def __init__(self, connection: _Connection, streams: Streams, interrupts: Interrupts, *, keep: bool) -> None:
        self._connection = connection
        self._streams = streams
        self._interrupts = interrupts
        self._keep = keep
        self._next_chunk = 0
        self._told_waiting = False
        self._told_unrecorded = False
        self.chunks: list[OutputChunk] = []
        self.info: RunInfo | None = None
        self._run_id: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def follow(self, events: AsyncIterator[RunEvent]) -> RunInfo:
        """Handle ``events`` to the last one, the run's final record. Of an engine that is gone the next one has it."""
        stopper = asyncio.create_task(self._stop_when_asked())
        try:
            await self._take(events)
            for _ in range(RENEWALS):
                if self.info is not None and self.info.state is RunState.FINISHED:
                    return self.info
                await self._take(await self._resumed())
        finally:
            stopper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stopper
        raise self._lost()

    async def _take(self, events: AsyncIterator[RunEvent]) -> None:
        """Handle what comes until the end or the loss of the engine."""
        try:
            async for event in events:
                if isinstance(event, RunInfo):
                    self._record(event)
                else:
                    self._output(event)
        except EngineUnreachable as error:
            if self.info is None:
                raise CommandError(
                    error.message, hint=error.hint, exit_code=exit_codes.UNREACHABLE, code="unreachable"
                ) from None

    async def _resumed(self) -> AsyncIterator[RunEvent]:
        """What is still to hear of the run, from whichever engine answers now."""
        if self.info is None:
            raise self._lost()
        try:
            await self._connection.renew()
        except (LaunchError, EngineError, EngineUnreachable):
            raise self._lost() from None
        return self._connection.client.follow_run(self.info.id, self._next_chunk, known=True)

    def _record(self, info: RunInfo) -> None:
        self.info = info
        if not self._run_id.done():
            self._run_id.set_result(info.id)
        self._interrupts.run_id = info.id
        if info.queue_reason and self._streams.err.is_terminal and not self._told_waiting:
            self._told_waiting = True
            self._streams.notify(f"run {info.id} waits at position {info.queue_position}: {info.queue_reason}")
        if info.unrecorded and not self._told_unrecorded:
            self._told_unrecorded = True
            self._streams.notify(info.unrecorded)

    def _output(self, chunks: Sequence[OutputChunk]) -> None:
        self._next_chunk = chunks[-1].seq + 1 if chunks else self._next_chunk
        if self._keep:
            self.chunks.extend(chunks)
            return
        write_output(chunks, self._streams)
        if self._streams.out.closed:
            self._interrupts.requested.set()

    async def _stop_when_asked(self) -> None:
        await self._interrupts.requested.wait()
        run_id = await self._run_id
        with contextlib.suppress(EngineError, EngineUnreachable):  # it ended meanwhile; the follower hears how
            await self._connection.client.call(RUNS_CANCEL, RunParams(run_id=run_id))

    def _lost(self) -> CommandError:
        named = f"run {self.info.id}" if self.info else "the run"
        return CommandError(
            f"the engine stopped answering while {named} went on",
            hint="gatewright runs list tells how it ended.",
            exit_code=exit_codes.UNREACHABLE,
            code="unreachable",
        )


def write_output(chunks: Sequence[OutputChunk], streams: Streams) -> None:
    """The script's stdout to ours and its stderr to ours, in the order in which it wrote them."""
    for stream, text in _joined(chunks):
        (streams.out if stream is Stream.STDOUT else streams.err).write(text)


def show_end(info: RunInfo, streams: Streams) -> None:
    """The result of a run to stdout; what went wrong to stderr."""
    if info.result is not None and not (info.has_value and info.value is None):
        streams.out.fresh_line()
        streams.out.line(info.result)
    if info.note:
        streams.notify(info.note)
    if info.outcome is Outcome.OK:
        return
    if info.traceback:
        streams.err.write(info.traceback if info.traceback.endswith("\n") else info.traceback + "\n")
    streams.notify(ending(info))


def ending(info: RunInfo) -> str:
    """How a run ended, in a line."""
    text = f"run {info.id} ({info.name}) ended with {info.outcome}"
    if info.signal is not None:
        text += f", signal {info.signal}"
    if info.duration is not None:
        text += f" after {duration(info.duration)}"
    if info.error is not None and not info.traceback:
        text += f": {info.error.message}"
    return text


def run_json(info: RunInfo, chunks: Sequence[OutputChunk]) -> str:
    """The run's record with every field, and its output."""
    record = msgspec.structs.asdict(info)
    for stream in Stream:
        record[stream.value] = "".join(chunk.text for chunk in chunks if chunk.stream is stream)
    return msgspec.json.encode(record).decode()


def _joined(chunks: Sequence[OutputChunk]) -> Iterator[tuple[Stream, str]]:
    """Neighbours of the same stream as one text: one write instead of hundreds."""
    texts: list[str] = []
    current: Stream | None = None
    for chunk in chunks:
        if chunk.stream is not current and current is not None:
            yield current, "".join(texts)
            texts = []
        current = chunk.stream
        texts.append(chunk.text)
    if current is not None:
        yield current, "".join(texts)


class Interrupts:
    """SIGINT for as long as the block lasts.

    It is a plain signal handler, not the loop's: while the loop waits for a slow reader of our output, a second Ctrl+C
    must still get the user out.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        """Set by the first Ctrl+C."""
        self.run_id: int | None = None
        """Named to the user who leaves while the run may go on."""
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._leave)
        self._loop.call_soon_threadsafe(self.requested.set)  # the only call that also wakes a waiting loop

    def _leave(self, _signal: int, _frame: FrameType | None) -> None:
        if self.run_id is None:
            text = "\ngatewright: left before the engine named the run; see gatewright runs list\n"
        else:
            text = f"\ngatewright: left; run {self.run_id} may go on: gatewright runs show {self.run_id}\n"
        os.write(2, text.encode())
        os._exit(exit_codes.CANCELLED)
