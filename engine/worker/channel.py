"""The run's socket as the child uses it, and the ``sys.stdout`` and ``sys.stderr`` that write to it."""

from __future__ import annotations

import _thread
import io
from builtins import len, map, memoryview, sum  # noqa: A004, UP029 - not those that a script may have put in their place
from os import _exit
from os import read as _read
from os import write as _write
from os import writev as _writev  # by names of our own: scripts may patch those of os

from .wire import BEGUN_AT, HEADER, LINE_LIMIT, LINE_PAGE, LINE_SHOWN, LINE_SHOWN_AT, MAX_OUTPUT_FRAME, OPEN_LINE, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap
    from typing import NoReturn

NULL_FD = 0
"""Standard input is /dev/null, which may be written to: frames of a warm-up go there."""

_EMPTY = bytes(LINE_PAGE)
_note_head = OPEN_LINE.pack
_NOTED_SIZE = BEGUN_AT - OPEN_LINE.size

RUN_FD = 3
"""Where a child's run socket always is."""

_READ_SIZE = 256 << 10


class Channel:
    """Writes whole frames from any thread; keeps lines whole, and the order in which both streams were written.

    Attributes:
        fd: Where frames go.
        page: What the slot shares with the engine (``wire.OPEN_LINE``).
        streams: The script's ``sys.stdout`` and ``sys.stderr``, as it finds them.
    """

    def __init__(self) -> None:
        self.fd = NULL_FD
        self.streams = ScriptStream(self, Frame.OUT, 1), ScriptStream(self, Frame.ERR, 2)
        self._lock = _thread.RLock()
        self._pending: dict[int, tuple[int, bytes]] = {}
        """For each thread the stream it wrote to last and the line it has begun there: ``print`` writes in pieces."""
        self._only: int | None = None
        self.is_forked = False
        """Whether this is a process that a script has forked: the run's socket is its parent's."""
        self.page: mmap | None = None
        self._line: mmap | None = None
        """The page, where this process may write to it."""
        self._line_number = 0
        self._noted = False
        """Whether a line stands in the page."""
        self.inbox: list[bytes] = []
        """What was read of the engine's next frame."""
        self.came: list[tuple[int, bytes]] = []
        """Frames of the engine that were read while another type was waited for: type and payload."""
        self.take_reply: Callable[[], None] | None = None
        """Reads the REPLY of which ``inbox`` has the beginning."""
        self.current_call: Callable[[], int] | None = None
        """Of a batch: tells which call of its chunk goes on. Only the thread that makes these calls asks the engine."""
        self.main_thread = 0
        self.read_again: Callable[[int], None] | None = None
        """Of a batch: notes that the call that goes on was given a kept answer, by its number."""

    @property
    def noting(self) -> mmap | None:
        """The page, where this process may write to it."""
        return self._line

    def open(self, fd: int) -> None:
        """Be a run's: frames go to ``fd``, and the engine sees in the page what is kept back."""
        self.fd = fd
        self.is_forked = False
        self._line = self.page

    def forked(self) -> None:
        """Be another process: what that keeps back is not what the run does."""
        self._line = None
        self.is_forked = True

    def wipe(self) -> None:
        """Leave nothing of a run in the page."""
        if self.page is not None:
            self.page[:] = _EMPTY

    def put(self, frame: int, data: bytes) -> None:
        """Take output: whole lines go out at once, the rest when it is long or flushed, or the other stream writes."""
        thread = _thread.get_ident()
        with self._lock:
            if self._only is not None and self._only != thread:
                return
            pending = self._pending.pop(thread, None)
            if self._pending and self._noted:
                self._send_shown()
            if pending is not None:
                if pending[0] == frame:
                    data = pending[1] + data
                else:
                    self._send_output(pending[0], pending[1])
            cut = len(data) if len(data) >= LINE_LIMIT else data.rfind(b"\n") + 1
            if cut == len(data):
                self._send_output(frame, data)
                return
            if pending is None or cut or pending[0] != frame:
                self._line_number = self._line_number + 1 & 0xFFFF_FFFF
            kept, data = data[cut:], data[:cut]
            if data:
                self._send_output(frame, data)
            self._pending[thread] = frame, kept
            if self._line is not None and len(self._pending) == 1 and len(kept) <= _NOTED_SIZE:
                # After what comes before it has been sent: the engine may show it when it has read all that.
                note = _note_head(frame, len(kept), self._line_number) + kept
                self._line[: len(note)] = note
                self._noted = True

    def _send_shown(self) -> None:
        """Send what another thread has begun if the engine shows it: its line cannot come as a whole any more."""
        self._noted = False
        if self._line is None:
            return
        self._line[0] = 0
        if LINE_SHOWN.unpack_from(self._line, LINE_SHOWN_AT)[0] == self._line_number:
            self.flush_all()

    def flush(self) -> None:
        """Send what the calling thread has pending."""
        with self._lock:
            pending = self._pending.pop(_thread.get_ident(), None)
            if pending is not None:
                self._send_output(pending[0], pending[1])

    def send(self, frame: int, payload: bytes, sent: list[int] | None = None) -> None:
        """Write one frame whole, or nothing of it.

        ``sent`` gets how many bytes were written at a time, also when the exception of a signal handler ends this.
        """
        sent = [] if sent is None else sent
        with self._lock:
            data = HEADER.pack(len(payload), frame) + payload
            try:
                # Written and noted by one call of C: a signal handler may raise between two of Python.
                sent.extend(map(_write, (self.fd,), (data,)))
            finally:
                if sent and sent[0] < len(data):
                    self._send_rest(data, sent)

    def send_parts(self, frame: int, parts: tuple[bytes, ...]) -> None:
        """Write one frame whole, of several parts, which are large and not copied for it."""
        size = sum(map(len, parts))
        sent: list[int] = []
        with self._lock:
            try:
                sent.extend(map(_writev, (self.fd,), ((HEADER.pack(size, frame), *parts),)))
            finally:
                if sent and sent[0] < HEADER.size + size:
                    self._send_rest(b"".join((HEADER.pack(size, frame), *parts)), sent)

    def _send_rest(self, data: bytes, sent: list[int]) -> None:
        """Go on with a frame, whatever signal handlers raise: the next one behind half of it would be taken for it."""
        raised = None
        while (written := sum(sent)) < len(data):
            try:
                sent.extend(map(_write, (self.fd,), (memoryview(data)[written:],)))
            except (OSError, MemoryError):
                raise
            except BaseException as error:  # noqa: BLE001 - of a handler
                raised = error
        if raised is not None:
            raise raised

    def receive(self, wanted: int) -> bytes:
        """Wait for the engine's next frame of a type and return its payload; others stay until they are waited for.

        Raises:
            EOFError: The engine has closed the run's connection.
        """
        while True:
            for index, (kind, payload) in enumerate(self.came):
                if kind == wanted:
                    del self.came[index]
                    return payload
            self.take_frame()

    def take_frame(self) -> None:
        """Read the engine's next frame. A REPLY goes to what calls the engine; the others wait in ``came``.

        Raises:
            EOFError: As ``receive``.
        """
        size, kind = HEADER.unpack_from(self.have(HEADER.size))
        if kind == Frame.REPLY and self.take_reply is not None:
            self.take_reply()
            return
        data = self.have(HEADER.size + size)
        self.inbox = []
        self.came.append((kind, data[HEADER.size :]))

    def take_unread(self, data: bytes) -> None:
        """Take what has come behind the RUN: frames, of which the last one may not be whole yet."""
        while len(data) >= HEADER.size:
            size, kind = HEADER.unpack_from(data)
            end = HEADER.size + size
            if end > len(data):
                break
            self.came.append((kind, data[HEADER.size : end]))
            data = data[end:]
        self.inbox = [data] if data else []

    def have(self, size: int) -> bytes:
        """Read until ``size`` bytes of a frame are there, not one more: descriptors may come behind.

        They stay in ``inbox`` until the frame is taken.

        Raises:
            EOFError: As ``receive``.
        """
        inbox = self.inbox
        while (missing := size - sum(map(len, inbox))) > 0:
            # Read and kept by one call of C: between two of Python a signal handler may raise, and what was read would
            # be lost.
            inbox.extend(map(_read, (self.fd,), (min(missing, _READ_SIZE),)))
            if not inbox[-1]:
                raise EOFError
        if len(inbox) > 1:
            inbox[:] = (b"".join(inbox),)
        return inbox[0]

    def mute_other_threads(self) -> None:
        """From here on only the calling thread is heard: the script has ended, its threads die with the process."""
        self._only = _thread.get_ident()

    def finish(self, result: bytes) -> NoReturn:
        """Send what is pending and the RESULT; nothing can follow it.

        Then wait for the engine's SIGKILL: taking a process apart keeps a processor busy for longer than most runs
        last, and it may be the one on which the engine waits to read the RESULT.
        """
        try:
            with self._lock:
                self.flush_all()
                self.send(Frame.RESULT, result)
                _read(self.fd, 1)
        finally:
            _exit(0)

    def flush_all(self) -> None:
        """Send what any thread has pending."""
        with self._lock:
            while self._pending:
                frame, data = self._pending.pop(next(iter(self._pending)))
                self._send_output(frame, data)

    def forget(self) -> None:
        """Drop what a warm-up left pending."""
        self._pending.clear()
        self._only = None

    def _send_output(self, frame: int, data: bytes) -> None:
        if self._noted and self._line is not None:  # taken back before it is sent: the engine shows nothing twice
            self._line[0] = 0
            self._noted = False
        for start in range(0, len(data), MAX_OUTPUT_FRAME):
            self.send(frame, data[start : start + MAX_OUTPUT_FRAME])


class ScriptStream(io.TextIOWrapper):
    """``sys.stdout`` or ``sys.stderr`` of a script. Lone surrogates come out as backslash escapes.

    It keeps nothing back: the channel makes lines of what is written.
    """

    def __init__(self, channel: Channel, frame: int, fd: int) -> None:
        super().__init__(ByteStream(channel, frame, fd), "utf-8", "backslashreplace", "\n", write_through=True)
        self.mode = "w"  # type: ignore[misc]

    def close(self) -> None:
        """Close it for good: who calls this means the stream and not a wrapper."""
        io.BufferedIOBase.close(self.buffer)  # type: ignore[arg-type]


class ByteStream(io.BufferedIOBase):
    """``sys.stdout.buffer``: bytes for the same stream.

    Closing a wrapper of it does not close it. That happens when one is collected, and scripts put one wrapper in the
    place of another: what is written after that should not be lost.
    """

    def __init__(self, channel: Channel, frame: int, fd: int) -> None:
        self._channel = channel
        self._frame = frame
        self._fd = fd
        self.mode = "wb"
        self.name = "<stdout>" if frame == Frame.OUT else "<stderr>"

    @property
    def raw(self) -> _RawStream:
        return _RawStream(self._channel, self._frame, self._fd)

    def detach(self) -> _RawStream:
        return self.raw

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        raw = bytes(data)
        self._channel.put(self._frame, raw)
        return len(raw)

    def flush(self) -> None:
        self._channel.flush()

    def close(self) -> None:
        self._channel.flush()

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True


class _RawStream(io.RawIOBase):
    """``sys.stdout.buffer.raw``: nothing is kept back."""

    def __init__(self, channel: Channel, frame: int, fd: int) -> None:
        self._channel = channel
        self._frame = frame
        self._fd = fd
        self.mode = "wb"
        self.name = fd

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        raw = bytes(data)
        self._channel.put(self._frame, raw)
        self._channel.flush()
        return len(raw)

    def close(self) -> None:
        """Stay open, as the stream above it does."""

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True
