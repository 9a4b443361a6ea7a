"""Start a run, show its output as it comes, stop it on Ctrl+C, show how it ended.

A second Ctrl+C leaves at once (``Interrupts``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Self

import msgspec

from engine.client.answers import EngineError, EngineUnreachable
from engine.client.client import EngineClient
from engine.client.runs import RunEvent
from engine.models.runs import Outcome, OutputChunk, RunInfo, RunRequest, RunState, Stream
from engine.registry.runs import RUNS_CANCEL, RunParams
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.returned import write_files
from tui.commands.streams import Streams
from tui.text.formats import duration
from tui.text.table import terminal_width


async def run_to_end(
    client: EngineClient, request: RunRequest, streams: Streams, *, as_json: bool, out: str | None = None
) -> int:
    """Run ``request`` and return the exit code that its outcome has.

    Ctrl+C, or a reader of stdout that goes away, cancels the run in the engine.

    Args:
        client: Connected.
        request: What to run.
        streams: Where the run's output and result go.
        as_json: Print one object at the end instead.
        out: A folder to write the files into that the run leaves.

    Raises:
        CommandError: The engine got lost, or a file could not be written.
    """
    return await follow_to_end(client, client.run_and_follow(request), streams, as_json=as_json, out=out)


async def follow_to_end(
    client: EngineClient,
    events: AsyncIterator[RunEvent],
    streams: Streams,
    *,
    as_json: bool,
    out: str | None = None,
) -> int:
    """As ``run_to_end``, of a run that ``events`` starts and tells of."""
    with Interrupts() as interrupts:
        follower = _Follower(client, streams, interrupts, keep=as_json)
        info = await follower.follow(events)
    if not as_json:
        show_end(info, streams)
    if info.files and out is not None:
        await write_files(client, info, out, streams)
    elif info.files:
        count = "a file" if len(info.files) == 1 else f"{len(info.files)} files"
        streams.notify(f"it left {count}: gatewright runs files {info.id} --out DIR")
    if as_json:  # the only object on stdout: this, or what went wrong with the files
        streams.out.line(run_json(info, follower.chunks))
    return exit_codes.of_outcome(info.outcome)


class _Follower:
    def __init__(self, client: EngineClient, streams: Streams, interrupts: Interrupts, *, keep: bool) -> None:
        self._client = client
        self._streams = streams
        self._interrupts = interrupts
        self._keep = keep
        self._told_waiting = False
        self._told_unrecorded = False
        self.chunks: list[OutputChunk] = []
        self.info: RunInfo | None = None
        self._run_id: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def follow(self, events: AsyncIterator[RunEvent]) -> RunInfo:
        """Handle ``events`` to the last one, the run's final record."""
        stopper = asyncio.create_task(self._stop_when_asked())
        try:
            async for event in events:
                if isinstance(event, RunInfo):
                    self._record(event)
                else:
                    self._output(event)
        except EngineUnreachable as error:
            raise self._lost(error) from None
        finally:
            stopper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stopper
        if self.info is None or self.info.state is not RunState.FINISHED:
            raise self._lost(None)
        return self.info

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
            await self._client.call(RUNS_CANCEL, RunParams(run_id=run_id))

    def _lost(self, error: EngineUnreachable | None) -> CommandError:
        if error is not None and self.info is None:
            return CommandError(error.message, hint=error.hint, exit_code=exit_codes.UNREACHABLE, code="unreachable")
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
    show_result(info, streams)
    if info.note:
        streams.notify(info.note)
    if info.outcome is Outcome.OK:
        return
    if info.traceback:
        streams.err.write(info.traceback if info.traceback.endswith("\n") else info.traceback + "\n")
    streams.notify(ending(info), failed=True)


def show_result(info: RunInfo, streams: Streams) -> None:
    """What a run left as its result, to stdout: laid out on a terminal, as it was recorded everywhere else."""
    if info.result is None or (info.has_value and info.value is None):
        return
    streams.out.fresh_line()
    width = terminal_width(streams.out.is_terminal)
    if width is None:
        streams.out.line(info.result)
        return
    from tui.text.results import result_lines

    lines = result_lines(info, width, width)
    streams.out.line("\n".join(lines))
    if lines != result_lines(info, width):
        streams.notify("the result is wider than this terminal; --json, or a pipe, has all of it")


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
