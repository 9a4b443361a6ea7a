"""The host's side of one child: its descriptors, its frames, and the output of the run it is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Collection
from typing import Protocol

from engine.models.runs import Stream
from engine.pool.frames import FrameParser, ProtocolError, frame_name
from engine.pool.job import FileInput, Limits
from engine.pool.output import Output
from engine.pool.returned import ReturnedFiles
from engine.pool.zygote import NewChild
from engine.worker.wire import ForkRequest, Frame

STRAY_DELAY = 0.005
"""Seconds until a run's stray pipes are listened to. Most runs end sooner: reading them once at the end is enough."""

STREAMS: dict[int, Stream] = {Frame.OUT: Stream.STDOUT, Frame.ERR: Stream.STDERR}


class ChildOwner(Protocol):
    """Who hears what a child does: its slot."""

    def child_hello(self, child: Child, payload: bytes) -> None: ...

    def child_result(self, child: Child, payload: bytes) -> None: ...

    def child_closed(self, child: Child) -> None:
        """Its end of the socket is closed, and no RESULT came before."""

    def child_violation(self, problem: str) -> None: ...

    def child_output_full(self) -> None: ...


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
        self._owner = owner
        self._buffer = buffer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, new.run_socket)
        self._socket.setblocking(False)
        self._pidfd = new.pidfd
        self._stray = {Stream.STDOUT: new.stdout, Stream.STDERR: new.stderr}
        for fd in self._stray.values():
            os.set_blocking(fd, False)
        self._parser = FrameParser(result_limit)
        self._loop = asyncio.get_running_loop()
        self._output: Output | None = None
        self._greeted = False
        self._sealed = False
        self._closed = False
        self._stray_timer: asyncio.TimerHandle | None = None
        self._stray_heard = False
        self._unsent: memoryview | None = None
        self._files: list[int] = []
        self.returned = ReturnedFiles(0)
        self._exit_timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def run(self, frame: bytes, files: Collection[FileInput], limits: Limits, output: Output) -> None:
        """Send the RUN, and the descriptors of its files in a message of their own."""
        self._output = output
        self._files = [file.fd for file in files]
        self._parser.expect_run(limits.result)
        self.returned = ReturnedFiles(limits.files)
        self._send(memoryview(frame))
        self._stray_timer = self._loop.call_later(STRAY_DELAY, self._hear_stray)

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
        self._drain_stray()
        output, self._output = self._output, None
        if output is not None:
            output.finish()
        self._sealed = True

    def stop_reading(self) -> None:
        """Listen no more."""
        self._stop_awaiting_exit()
        self.end_output()
        self._loop.remove_reader(self._socket.fileno())
        if self._unsent is not None:
            self._loop.remove_writer(self._socket.fileno())
            self._unsent = None
        if self._stray_timer is not None:
            self._stray_timer.cancel()
        if self._stray_heard:
            for fd in self._stray.values():
                self._loop.remove_reader(fd)
            self._stray_heard = False

    def close(self) -> None:
        """Stop reading and give back every descriptor."""
        if self._closed:
            return
        self.stop_reading()
        self._closed = True
        self._socket.close()
        for fd in (self._pidfd, *self._stray.values()):
            os.close(fd)

    def _send(self, data: memoryview) -> None:
        try:
            data = data[self._socket.send(data) :]
            if not data and self._files:
                socket.send_fds(self._socket, [b"\0"], self._files)
                self._files = []
        except BlockingIOError:
            pass
        except OSError:
            return  # it has gone: the end of its socket says so
        if data or self._files:
            if self._unsent is None:
                self._loop.add_writer(self._socket.fileno(), self._writable)
            self._unsent = data
        elif self._unsent is not None:
            self._loop.remove_writer(self._socket.fileno())
            self._unsent = None

    def _writable(self) -> None:
        if self._unsent is not None:
            self._send(self._unsent)

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
            self._loop.remove_reader(self._socket.fileno())
            self._owner.child_closed(self)
            return
        try:
            frames = self._parser.feed(bytes(memoryview(self._buffer)[:size]))
        except ProtocolError as error:
            self._owner.child_violation(str(error))
            return
        self._take(frames)

    def _take(self, frames: list[tuple[int, bytes]]) -> None:
        """Act on frames, neighbours of one stream together."""
        index = 0
        while index < len(frames):
            kind, payload = frames[index]
            index += 1
            if kind in STREAMS and self._output is not None:
                parts = [payload]
                while index < len(frames) and frames[index][0] == kind:
                    parts.append(frames[index][1])
                    index += 1
                self._take_output(kind, STREAMS[kind], b"".join(parts))
            elif kind == Frame.RESULT and self._output is not None:
                if any(later == Frame.CHUNK for later, _ in frames[index:]):
                    self._owner.child_violation("a CHUNK frame after its RESULT")
                else:
                    self._owner.child_result(self, payload)
                return
            elif kind == Frame.CHUNK and self._output is not None:
                try:
                    self.returned.take(payload)
                except ProtocolError as error:
                    self._owner.child_violation(str(error))
                    return
            elif kind == Frame.HELLO and not self._greeted:
                self._greeted = True
                self._owner.child_hello(self, payload)
            else:
                self._owner.child_violation(f"a {frame_name(kind)} frame out of turn")
                return

    def _take_output(self, source: object, stream: Stream, data: bytes) -> None:
        output = self._output
        if output is None or output.full:
            return
        output.take(source, stream, data)
        if output.full:
            self._owner.child_output_full()

    def _hear_stray(self) -> None:
        self._stray_timer = None
        self._stray_heard = True
        for stream, fd in self._stray.items():
            self._loop.add_reader(fd, self._read_stray, stream, fd)

    def _read_stray(self, stream: Stream, fd: int) -> bool:
        """Pass on what was written to a descriptor 1 or 2 itself; False when there is nothing now."""
        try:
            size = os.readv(fd, [self._buffer])
        except BlockingIOError:
            return False
        if not size:
            if self._stray_heard:
                self._loop.remove_reader(fd)
            return False
        self._take_output(fd, stream, bytes(memoryview(self._buffer)[:size]))
        return True

    def _drain_stray(self) -> None:
        if self._output is None:
            return
        for stream, fd in self._stray.items():
            while self._output is not None and not self._output.full and self._read_stray(stream, fd):
                pass
