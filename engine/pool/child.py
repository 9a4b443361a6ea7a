"""The host's side of one child: its descriptors, its frames, and the output of the run it is given."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from engine.models.runs import Stream
from engine.pool import pace
from engine.pool.calls import OutstandingCalls
from engine.pool.frames import FrameParser, ProtocolError, frame_name
from engine.pool.job import BatchCalls, FileInput, HostCalls, Limits
from engine.pool.open_line import LOOKS_APART, OpenLine
from engine.pool.outcome import Waiting, waiting
from engine.pool.output import Output
from engine.pool.returned import ReturnedFiles
from engine.pool.zygote import NewChild
from engine.worker.wire import BEGUN, BEGUN_AT, ForkRequest, Frame

STRAY_DELAY = 0.005
"""Seconds until a run's stray pipes are listened to. Most runs end sooner: reading them once at the end is enough."""

LAST_READS = 8
LAST_FRAMES = 1024
"""What is still read of a run that the engine ends: more than the socket of an honest child can hold. Each write takes
most of a KiB of its room (socket(7), ``wmem_default``)."""

OVER_LIMIT = 128
"""Bytes over a run's limit that cost it a token: no limit ends what it writes, so its bytes count as frames do."""

COUNT = struct.Struct("i")
"""Of the bytes in a pipe or a socket (ioctl_tty(2), FIONREAD; pipe(7), unix(7))."""

STREAMS: dict[int, Stream] = {Frame.OUT: Stream.STDOUT, Frame.ERR: Stream.STDERR}


class _Outgoing(NamedTuple):
    """What is to be sent: a frame, the descriptors that follow it, and who is told when the kernel has taken both."""

    data: memoryview
    fds: Sequence[int]
    sent: Callable[[], None] | None


class ChildOwner(Protocol):
    """Who hears what a child does: its slot."""

    def child_hello(self, child: Child, payload: bytes) -> None: ...

    def child_result(self, child: Child, payload: bytes) -> None: ...

    def child_closed(self, child: Child) -> None:
        """Its end of the socket is closed, and no RESULT came before."""

    def child_violation(self, problem: str) -> None: ...

    def child_output_full(self) -> None: ...

    def child_overdue(self, reason: str) -> None:
        """What its run was asked for takes too long."""


class Child:
    """One child from its fork to its reaping. Owns its descriptors until ``close``.

    ``buffer`` is its slot's, for reading into: a new one of that size for every read would cost more than the read.
    """

    def __init__(
        self, new: NewChild, request: ForkRequest, result_limit: int, buffer: bytearray, owner: ChildOwner
    ) -> None:
        self.pid = new.pid
        self.inner_pid = new.inner_pid
        self.tree = new.tree
        self.scratch_device = new.scratch_device
        self.request = request
        self.killed = False
        self.had_run = False
        """Probes are no runs."""
        self._owner = owner
        self._buffer = buffer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, new.run_socket)
        self._socket.setblocking(False)
        self._run_fd = new.run_socket
        self._pidfd = new.pidfd
        self._stray = {Stream.STDOUT: new.stdout, Stream.STDERR: new.stderr}
        for fd in self._stray.values():
            os.set_blocking(fd, False)
        self._parser = FrameParser(result_limit)
        self._pace = pace.Pace()
        self._paused: dict[int, asyncio.Handle] = {}
        """What is not read from now, and when it will be."""
        self._last_stream: Stream | None = None
        self._loop = asyncio.get_running_loop()
        self._output: Output | None = None
        self._greeted = False
        self._honest = True
        self._sealed = False
        self._closed = False
        self._stray_timer: asyncio.TimerHandle | None = None
        self._line = OpenLine(new.line)
        self._line_timer: asyncio.TimerHandle | None = None
        self._unsent: deque[_Outgoing] = deque()
        self._calls: OutstandingCalls | None = None
        self._takers: dict[int, Callable[[bytes], None]] = {}
        """What takes frames of each of these types; each raises ``ProtocolError`` for what no honest child sends."""
        self._batch: BatchCalls | None = None
        self._page = new.line
        self.returned = ReturnedFiles(0)
        self.waiting: Waiting | None = None
        """What a run told that waits for its threads."""
        self._result_limit = result_limit
        self._exit_timer: asyncio.TimerHandle | None = None
        self._heard: dict[int, Callable[[], object]] = {self._run_fd: self._readable}
        """What is read from, by descriptor."""
        self._loop.add_reader(self._run_fd, self._readable)

    def run(
        self,
        frame: bytes,
        files: Collection[FileInput],
        limits: Limits,
        output: Output,
        calls: HostCalls | None = None,
        batch: BatchCalls | None = None,
    ) -> None:
        """Send the RUN, the descriptors of its files in a message of their own, and the calls of a batch.

        What the run asks by ``import gatewright`` is answered by ``calls``.
        """
        self._output = output
        self._calls = OutstandingCalls(calls, self._send)
        self._parser.expect_run(limits.result)
        self._result_limit = limits.result
        self.returned = ReturnedFiles(limits.files)
        self._takers = {Frame.CALL: self._take_call, Frame.CHUNK: self.returned.take}
        self._send(frame, [file.fd for file in files])
        if batch is not None:
            self._batch = batch
            self._parser.expect_texts()
            self._takers[Frame.TEXTS] = batch.take
            batch.attach(self)
        self._stray_timer = self._loop.call_later(STRAY_DELAY, self._hear_stray)

    def send(self, frame: bytes) -> None:
        """Send a frame behind those that wait already."""
        self._send(frame)

    def stop(self, reason: str) -> None:
        """End the run, since it takes too long. The reason is a sentence."""
        self._owner.child_overdue(reason)

    def hand_to(self, owner: ChildOwner) -> None:
        """Let ``owner`` hear of it from now on."""
        self._owner = owner

    def kill(self) -> None:
        """SIGKILL: with the first process of its pid namespace everything below goes too."""
        if not self._closed:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def await_exit(self, patience: float, then: Callable[[bool], None]) -> None:
        """Tell ``then`` whether the process ended within ``patience`` seconds, unless reading is stopped before."""

        def over(ended: bool) -> None:
            self._stop_awaiting_exit()
            then(ended)

        self._exit_timer = self._loop.call_later(patience, over, False)
        self._loop.add_reader(self._pidfd, over, True)

    def _stop_awaiting_exit(self) -> None:
        if self._exit_timer is not None:
            self._exit_timer.cancel()
            self._exit_timer = None
            self._loop.remove_reader(self._pidfd)

    def end_output(self) -> None:
        """Take what is there now; nothing it writes from here on counts."""
        if self._sealed:
            return
        self._drain_stray()
        output, self._output = self._output, None
        if output is not None:
            output.finish()
        self._sealed = True
        if self._calls is not None:
            self._calls.end()

    def stop_reading(self) -> None:
        """Listen no more."""
        self._stop_awaiting_exit()
        if self._honest and not self._sealed:
            self._take_last_frames()
            kind, text = self._line.due(last=True)
            if text:
                self._take_output(kind, STREAMS[kind], text)
        self.end_output()
        for fd in list(self._heard):
            self._forget(fd)
        if self._unsent:
            self._loop.remove_writer(self._run_fd)
            self._unsent.clear()
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.detach(*self._begun())
        for timer in (self._stray_timer, self._line_timer):
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Stop reading and give back every descriptor."""
        if self._closed:
            return
        self.stop_reading()
        self._closed = True
        self._socket.close()
        for fd in (self._pidfd, *self._stray.values()):
            os.close(fd)

    def _send(self, frame: bytes, fds: Sequence[int] = (), sent: Callable[[], None] | None = None) -> None:
        """Send a frame now, or as soon as the child has read what is before it."""
        self._unsent.append(_Outgoing(memoryview(frame), fds, sent))
        if len(self._unsent) == 1 and not self._send_more():
            self._loop.add_writer(self._run_fd, self._writable)

    def _begun(self) -> tuple[int, int]:
        """What the page says: the number of a chunk of calls, and how many of them have begun."""
        page = os.pread(self._page, BEGUN.size, BEGUN_AT) if self._page >= 0 else b""
        number, begun = BEGUN.unpack(page) if len(page) == BEGUN.size else (0, 0)
        return number, begun

    def _writable(self) -> None:
        if self._unsent and self._send_more():
            self._loop.remove_writer(self._run_fd)

    def _send_more(self) -> bool:
        """Send what the kernel takes now; whether that is all there is, or the child has gone."""
        while self._unsent:
            data, fds, sent = self._unsent[0]
            try:
                if data:
                    rest = data[self._socket.send(data) :]
                    self._unsent[0] = _Outgoing(rest, fds, sent)
                    if rest:
                        continue
                if fds:
                    socket.send_fds(self._socket, [b"\0"], list(fds))
            except BlockingIOError:
                return False
            except OSError:
                self._unsent.clear()  # the end of its socket says so
                return True
            self._unsent.popleft()
            if sent is not None:
                sent()
        return True

    def _readable(self) -> None:
        if self._sealed:
            return
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._forget(self._run_fd)
            self._owner.child_closed(self)
            return
        self._advance(bytes(memoryview(self._buffer)[:size]))

    def _advance(self, data: bytes = b"") -> None:
        """Act on one turn's frames; the rest of them, or the next read, comes when it is the run's turn again."""
        try:
            frames = self._parser.feed(data, pace.FRAMES_PER_TURN)
        except ProtocolError as error:
            self._violated(str(error))
            return
        # TEXTS come as often as the engine asks for them, and are no reason to read a run later.
        if self._batch is None or not frames or frames[-1][0] != Frame.TEXTS:
            small = pace.SMALL_READ if self._batch is None else pace.SMALL_READ_OF_BATCH
            self._pace.spend(self._parser.taken * pace.FRAME + (small if 0 < len(data) < pace.SMALL else 0))
        self._take(frames)
        self._keep_pace(self._run_fd)

    def _keep_pace(self, fd: int) -> None:
        """Stop reading from ``fd`` while the run is ahead of its pace or of who follows it.

        If frames are left, that is for a turn of the loop at least.
        """
        wait = self._pace.pause()
        if self._is_held():
            wait = max(wait, pace.HELD)
        if self._sealed or fd in self._paused or not (wait or self._has_frames(fd)):
            return
        self._loop.remove_reader(fd)
        resume = partial(self._resume, fd)
        self._paused[fd] = self._loop.call_later(wait, resume) if wait else self._loop.call_soon(resume)

    def _resume(self, fd: int) -> None:
        """Act on what there is now; only when that is nothing, the loop has to look for more."""
        if self._is_held():
            self._paused[fd] = self._loop.call_later(pace.HELD, partial(self._resume, fd))
            return
        del self._paused[fd]
        if self._has_frames(fd):
            self._advance()
        else:
            self._heard[fd]()
        if fd in self._heard and fd not in self._paused and not self._sealed:
            self._loop.add_reader(fd, self._heard[fd])

    def _is_held(self) -> bool:
        return self._output is not None and self._output.held()

    def _has_frames(self, fd: int) -> bool:
        return fd == self._run_fd and self._parser.more

    def _forget(self, fd: int) -> None:
        """Read no more from a descriptor."""
        if self._heard.pop(fd, None) is not None:
            self._loop.remove_reader(fd)
        if (paused := self._paused.pop(fd, None)) is not None:
            paused.cancel()

    def _take(self, frames: list[tuple[int, bytes]]) -> None:
        for index, (kind, payload) in enumerate(frames):
            if kind in STREAMS and self._output is not None:
                self._take_output(kind, STREAMS[kind], self._line.unseen(kind, payload))
            elif kind == Frame.RESULT and self._output is not None:
                if any(later == Frame.CHUNK for later, _ in frames[index + 1 :]):
                    self._violated("a CHUNK frame after its RESULT")
                else:
                    self._owner.child_result(self, payload)
                return
            elif self._output is not None and (take := self._takers.get(kind)) is not None:
                try:
                    take(payload)
                except ProtocolError as error:
                    self._violated(str(error))
                    return
            elif kind == Frame.WAIT and self._output is not None and self.waiting is None:
                try:
                    self.waiting = waiting(payload, self._result_limit)
                except ProtocolError as error:
                    self._violated(str(error))
                    return
            elif kind == Frame.HELLO and not self._greeted:
                self._greeted = True
                self._owner.child_hello(self, payload)
            else:
                self._violated(f"a {frame_name(kind)} frame out of turn")
                return

    def _take_call(self, payload: bytes) -> None:
        if self._calls is not None:
            self._pace.spend(pace.of_call(payload))
            self._calls.take(payload)

    def _violated(self, problem: str) -> None:
        self._honest = False
        self._owner.child_violation(problem)

    def _take_output(self, source: object, stream: Stream, data: bytes) -> None:
        output = self._output
        if output is None or output.full:
            return
        if stream is not self._last_stream:
            self._last_stream = stream
            self._pace.spend(pace.SWITCH)
        over = output.take(source, stream, data)
        if over:
            self._pace.spend(over / OVER_LIMIT)
        if output.full:
            self._owner.child_output_full()

    def _take_last_frames(self) -> None:
        """Take what waits in the socket of a run that is being ended: its output, and what it waited for."""
        data, left, reads = b"", LAST_FRAMES, LAST_READS
        while True:
            try:
                frames = self._parser.feed(data, left)
                left -= self._parser.taken
                for kind, payload in frames:
                    if kind == Frame.WAIT and self.waiting is None:
                        self.waiting = waiting(payload, self._result_limit)
                        continue
                    if kind == Frame.CALL:
                        continue  # nothing answers it any longer
                    if kind == Frame.TEXTS and self._batch is not None:
                        self._batch.take(payload)
                        continue
                    if kind not in STREAMS or self._output is None or self._output.full:
                        return
                    self._output.take(kind, STREAMS[kind], self._line.unseen(kind, payload))
                size = self._socket.recv_into(self._buffer) if left and reads else 0
            except (OSError, ProtocolError):
                return
            if not size:
                return
            reads -= 1
            data = bytes(memoryview(self._buffer)[:size])

    def _look_at_line(self) -> None:
        """Show a line that was begun a while ago, if all that comes before it has been taken."""
        self._line_timer = self._loop.call_later(LOOKS_APART, self._look_at_line)
        if self._sealed or self._paused or self._parser.more or _waiting_bytes(self._run_fd):
            return
        kind, text = self._line.due()
        if text:
            self._take_output(kind, STREAMS[kind], text)

    def _hear_stray(self) -> None:
        self._stray_timer = None
        self._line_timer = self._loop.call_later(LOOKS_APART - STRAY_DELAY, self._look_at_line)
        for stream, fd in self._stray.items():
            self._heard[fd] = read = partial(self._read_stray, stream, fd)
            self._loop.add_reader(fd, read)

    def _read_stray(self, stream: Stream, fd: int) -> None:
        """Pass on output that bypassed Python and came through the pipe of descriptor 1 or 2."""
        size = self._take_stray(stream, fd, len(self._buffer))
        if size == 0:
            self._forget(fd)
        elif size is not None:
            self._pace.spend(pace.SMALL_READ if size < pace.SMALL else 0)
            self._keep_pace(fd)

    def _take_stray(self, stream: Stream, fd: int, most: int) -> int | None:
        """Take up to ``most`` bytes and return how many there were, None when it is still open and has nothing now."""
        try:
            size = os.readv(fd, [memoryview(self._buffer)[:most]])
        except BlockingIOError:
            return None
        if size:
            self._take_output(fd, stream, bytes(memoryview(self._buffer)[:size]))
        return size

    def _drain_stray(self) -> None:
        """Take what is there now: what threads or children of the script go on to write has no end."""
        for stream, fd in self._stray.items():
            left = _waiting_bytes(fd)
            while left > 0 and self._output is not None and not self._output.full:
                left -= self._take_stray(stream, fd, left) or left


def _waiting_bytes(fd: int) -> int:
    """How many bytes can be read from a pipe or a socket."""
    (count,) = COUNT.unpack(fcntl.ioctl(fd, termios.FIONREAD, bytes(COUNT.size)))
    return int(count)
