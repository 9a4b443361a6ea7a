"""Start a run, show its output as it comes, stop it on Ctrl+C, show how it ended.

A second Ctrl+C leaves at once (``ClientSignals``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import groupby
from operator import attrgetter
from types import FrameType, MappingProxyType, TracebackType
from typing import Any, Self

import msgspec

from engine.client.answers import EngineError, EngineUnreachable, UnusableAnswer
from engine.client.client import EngineClient
from engine.client.launch import LaunchError
from engine.client.runs import RunEvent
from engine.models.runs import NOT_KEPT, Outcome, OutputChunk, RunInfo, RunRequest, RunState, Stream
from engine.registry.runs import RUNS_CANCEL, RunParams
from tui.commands import exit_codes
from tui.commands.errors import CommandError
from tui.commands.returned import write_buffers, write_files
from tui.commands.streams import Streams
from tui.text.formats import duration, progress_text, size
from tui.text.sanitise import sanitise_line

Handler = Callable[[int, FrameType | None], None]

RENEWALS = 3
"""How often another connection is tried for one run. The engine that comes after its own knows that it has ended."""

_NO_BUFFERS: Mapping[str, str] = MappingProxyType({})

Reconnect = Callable[[], Awaitable[EngineClient]]


async def run_to_end(
    client: EngineClient,
    request: RunRequest,
    streams: Streams,
    *,
    as_json: bool,
    out: str | None = None,
    save_buffers: Mapping[str, str] = _NO_BUFFERS,
    reconnect: Reconnect,
    exit_status: bool = False,
    cancel_on_exit: bool = False,
) -> int:
    """Run ``request`` and return the exit code that its outcome has.

    Ctrl+C, or a reader of stdout that goes away, cancels the run in the engine.

    Args:
        client: Connected.
        request: What to run.
        streams: Where the run's output and result go.
        as_json: Print one object at the end instead.
        out: A folder to write the files into that the run leaves.
        save_buffers: Files to write the buffers to that it leaves, by their names.
        reconnect: Reaches the engine again, or another one, when this one goes away.
        exit_status: The exit code is the script's own, if it came to an end of its own.
        cancel_on_exit: SIGTERM and SIGHUP cancel it too, and are the exit code.

    Raises:
        CommandError: The engine got lost, or a file could not be written.
    """
    events = client.run_and_follow(request, kept=as_json)
    return await follow_to_end(
        client,
        events,
        streams,
        as_json=as_json,
        out=out,
        save_buffers=save_buffers,
        reconnect=reconnect,
        exit_status=exit_status,
        cancel_on_exit=cancel_on_exit,
    )


async def follow_to_end(
    client: EngineClient,
    events: AsyncIterator[RunEvent],
    streams: Streams,
    *,
    as_json: bool,
    out: str | None = None,
    save_buffers: Mapping[str, str] = _NO_BUFFERS,
    reconnect: Reconnect,
    exit_status: bool = False,
    cancel_on_exit: bool = False,
) -> int:
    """As ``run_to_end``, of a run that ``events`` starts and tells of: for JSON only what is kept of its output."""
    async with _Connection(client, reconnect) as connection:
        with ClientSignals(cancel_on_exit=cancel_on_exit, told=streams.for_same_engine) as signals:
            follower = _Follower(connection, streams, signals, keep=as_json)
            info = await follower.follow(events)
        ended_by = signals.ended_by
        whole = follower.whole
        code = await _end(
            connection.client,
            info,
            follower.chunks,
            streams,
            ended_by,
            as_json=as_json,
            out=out,
            save_buffers=save_buffers,
            whole=whole,
            printed=follower.printed,
        )
        code = exit_codes.of_run(info) if exit_status and ended_by is None else code
        return code if whole or as_json else code or exit_codes.FAILED


async def _end(
    client: EngineClient,
    info: RunInfo,
    chunks: Sequence[OutputChunk],
    streams: Streams,
    ended_by: signal.Signals | None,
    *,
    as_json: bool,
    out: str | None,
    save_buffers: Mapping[str, str],
    whole: bool,
    printed: bool,
) -> int:
    """Show how the run ended, and take the files and buffers that it left."""
    if not as_json:
        show_end(info, streams, whole=whole, printed=printed)
    if info.files and out is not None:
        await write_files(client, info, out, streams)
    elif left := [file for file in info.files if file.name not in save_buffers]:
        count = "a file" if len(left) == 1 else f"{len(left)} files"
        streams.notify(f"it left {count}: gatewright runs files {info.id} --out DIR")
    if save_buffers and info.outcome is Outcome.OK:
        await write_buffers(client, info.id, save_buffers, streams)
    elif unsaved := [buffer for buffer in info.buffers if buffer.name not in {file.name for file in info.files}]:
        named = ", ".join(sanitise_line(f"{buffer.name} ({size(buffer.size)})") for buffer in unsaved)
        streams.notify(f"it left {named}, held for ten minutes: gatewright runs buffers {info.id} --save NAME=PATH")
    if as_json:  # the only object on stdout: this, or what went wrong with the files
        streams.out.line(run_json(info, chunks))
    if ended_by is not None:
        how = "was cancelled" if info.outcome is Outcome.CANCELLED else "had ended"
        streams.notify(f"ended by {ended_by.name}; run {info.id} {how}")
        return exit_codes.of_signal(ended_by)
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
    def __init__(self, connection: _Connection, streams: Streams, signals: ClientSignals, *, keep: bool) -> None:
        self._connection = connection
        self._streams = streams
        self._signals = signals
        self._keep = keep
        self._next_chunk = 0
        self._told_waiting = False
        self._told_building = False
        self._told_unrecorded = False
        self._shows_progress = False
        self.chunks: list[OutputChunk] = []
        self.printed = False
        """It wrote something to stdout."""
        self.whole = True
        """Nothing was missing of what was printed."""
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
            if self.info is None or isinstance(error, UnusableAnswer):
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
        return self._connection.client.follow_run(self.info.id, self._next_chunk, known=True, kept=self._keep)

    def _record(self, info: RunInfo) -> None:
        self.info = info
        if not self._run_id.done():
            self._run_id.set_result(info.id)
        self._signals.run_id = info.id
        if info.queue_reason and info.queue_position is None and not self._told_building:
            self._told_building = True  # it can take minutes, so that a log should say it, too
            self._streams.notify(f"run {info.id} waits: {info.queue_reason}")
        elif info.queue_reason and info.queue_position and self._streams.err.is_terminal and not self._told_waiting:
            self._told_waiting = True
            self._streams.notify(f"run {info.id} waits at position {info.queue_position}: {info.queue_reason}")
        if info.unrecorded and not self._told_unrecorded:
            self._told_unrecorded = True
            self._streams.notify(info.unrecorded)
        if info.progress is not None and info.state is RunState.RUNNING:
            self._show_progress(progress_text(info.progress))
        else:
            self._hide_progress()

    def _show_progress(self, text: str) -> None:
        """Show it on a terminal's current line, if the script has written nothing there."""
        streams = self._streams
        on_screen = [stream for stream in (streams.out, streams.err) if stream.is_terminal]
        if not self._keep and streams.err.is_terminal and not any(stream.mid_line for stream in on_screen):
            import shutil

            from tui.text.table import cut

            streams.err.overwrite(cut(text, shutil.get_terminal_size().columns - 1))
            self._shows_progress = True

    def _hide_progress(self) -> None:
        if self._shows_progress:
            self._shows_progress = False
            self._streams.err.overwrite("")

    def _output(self, chunks: Sequence[OutputChunk]) -> None:
        self._hide_progress()
        self._next_chunk = chunks[-1].seq + 1 if chunks else self._next_chunk
        if self._keep:
            self.chunks.extend(chunks)
            return
        self.printed |= any(chunk.stream is Stream.STDOUT for chunk in chunks)
        self.whole &= write_output(chunks, self._streams)
        if self._streams.out.closed:
            self._signals.requested.set()

    async def _stop_when_asked(self) -> None:
        await self._signals.requested.wait()
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


def write_output(chunks: Sequence[OutputChunk], streams: Streams) -> bool:
    """The script's stdout to ours and its stderr to ours, in the order in which it wrote them.

    What the engine says of output that is missing is not the script's: it goes to stderr.

    Returns:
        Whether nothing is missing.
    """
    whole = True
    for gap, together in groupby(chunks, key=attrgetter("gap")):
        for stream, text in _joined(together):
            if gap:
                if streams.out.is_terminal:
                    streams.out.fresh_line()
                streams.notify(f"what was printed is not whole: {text.strip().strip('[]')}", failed=True)
                whole = False
            else:
                (streams.out if stream is Stream.STDOUT else streams.err).write(text)
    return whole


def show_end(info: RunInfo, streams: Streams, *, whole: bool, printed: bool) -> None:
    """The result of a run to stdout; what went wrong to stderr.

    Args:
        info: The run, finished.
        streams: Where to.
        whole: All of its output was printed.
        printed: It wrote to stdout: on a terminal a long result does not push that out of sight.
    """
    show_result(info, streams, on_demand=printed and not info.unrecorded)
    if info.note:
        streams.notify(NOT_KEPT.sub(_printed, info.note) if whole else info.note)
    if info.outcome is Outcome.OK:
        return
    if info.traceback:
        streams.err.write(info.traceback if info.traceback.endswith("\n") else info.traceback + "\n")
    streams.notify(ending(info), ending_hint(info), failed=True)


def _printed(sentence: re.Match[str]) -> str:
    return (
        f"All of the output was printed; the record keeps its beginning and its end, without {sentence['amount']} from "
        "the middle: raise limits.output to keep more."
    )


def show_result(info: RunInfo, streams: Streams, *, on_demand: bool = False) -> None:
    """What a run left as its result, to stdout: laid out on a terminal, as it was recorded everywhere else.

    ``on_demand``: of one that takes many lines of a terminal, only how to see it.
    """
    if info.result is None or (info.has_value and info.value is None):
        return
    streams.out.fresh_line()
    if not streams.out.is_terminal:
        streams.out.line(info.result)
        return
    import shutil

    from tui.text.results import SHORT, result_lines

    width = shutil.get_terminal_size().columns
    lines = result_lines(info, width, width)
    if on_demand and sum(1 + len(line) // width for line in lines) > SHORT:
        streams.notify(f"the result has {len(lines):,} lines: gatewright runs show {info.id}")
        return
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


def ending_hint(info: RunInfo) -> str | None:
    """What to do about it, where no traceback has said it already."""
    return info.error.hint if info.error is not None and not info.traceback else None


def run_json(info: RunInfo, chunks: Sequence[OutputChunk]) -> str:
    """The run's record with every field, and its output."""
    record = msgspec.structs.asdict(info)
    for stream in Stream:
        record[stream.value] = "".join(chunk.text for chunk in chunks if chunk.stream is stream)
    return msgspec.json.encode(record).decode()


def _joined(chunks: Iterable[OutputChunk]) -> Iterator[tuple[Stream, str]]:
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


class ClientSignals:
    """SIGINT, SIGTERM and SIGHUP for as long as the block lasts.

    They have plain signal handlers, not the loop's: while the loop waits for a slow reader of our output, a second
    Ctrl+C must still get the user out.
    """

    def __init__(self, *, cancel_on_exit: bool, told: Callable[[str], str] = str) -> None:
        self._told = told
        self.requested = asyncio.Event()
        """Set by the first Ctrl+C: the run is to be cancelled."""
        self.ended_by: signal.Signals | None = None
        """The signal other than Ctrl+C that cancelled the run."""
        self.run_id: int | None = None
        """Named to the user who leaves while the run may go on."""
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[signal.Signals, Handler] = {signal.SIGINT: self._cancel}
        if cancel_on_exit:
            self._handlers |= dict.fromkeys((signal.SIGTERM, signal.SIGHUP), self._cancel_and_end)
        else:
            self._handlers[signal.SIGTERM] = self._say_and_end
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number, handler in self._handlers.items():
            if number is signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup(1) has it
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _cancel(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, self._leave)
        self._loop.call_soon_threadsafe(self.requested.set)  # the only call that also wakes a waiting loop

    def _cancel_and_end(self, number: int, frame: FrameType | None) -> None:
        self.ended_by = signal.Signals(number)
        self._cancel(number, frame)

    def _say_and_end(self, number: int, _frame: FrameType | None) -> None:
        """End as without a handler, so that whoever waits sees which signal it was."""
        self._say_that_it_goes_on("ended")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        self._say_that_it_goes_on("left")
        os._exit(exit_codes.of_signal(signal.Signals(number)))

    def _say_that_it_goes_on(self, how: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"\ngatewright: {self._told(self._going_on(how))}\n".encode())

    def _going_on(self, how: str) -> str:
        """Say what may go on when the user has left or was ended, as ``how`` says."""
        if self.run_id is None:
            return f"{how} before the engine named the run; see gatewright runs list"
        return f"{how}; run {self.run_id} may go on: gatewright runs show {self.run_id}"
