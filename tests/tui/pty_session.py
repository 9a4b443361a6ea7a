"""A program in a terminal of its own: what it writes, when, and what a person would see of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

KEYS = {
    "enter": b"\r",
    "tab": b"\t",
    "escape": b"\x1b",
    "backspace": b"\x7f",
    "delete": b"\x1b[3~",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "ctrl+home": b"\x1b[1;5H",
    "ctrl+end": b"\x1b[1;5F",
    **dict(zip(("f1", "f2", "f3", "f4"), (b"\x1bOP", b"\x1bOQ", b"\x1bOR", b"\x1bOS"), strict=True)),
    **{f"f{5 + index}": b"\x1b[%d~" % code for index, code in enumerate((15, 17, 18, 19, 20, 21, 23, 24))},
}

_QUIET = b"\x1b]2;quiet "
_SYNC_ON, _SYNC_OFF = b"\x1b[?2026h", b"\x1b[?2026l"
# pyte prints parts of what it does not know: strings (DCS, APC, PM, SOS), private CSI and CSI with intermediates.
_UNKNOWN_TO_PYTE = re.compile(
    rb"\x1b[P_^X].*?(?:\x1b\\|\x07)|\x1b\][^\x07\x1b]*(?:\x1b\\|\x07)"
    rb"|\x1b\[[<>=][0-9;:]*[ -/]*[@-~]|\x1b\[\??[0-9;:]*[ -/]+[@-~]",
    re.DOTALL,
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[P_^X][^\x07\x1b]*\x1b?)?$", re.DOTALL)


def clean_for_pyte(data: bytes) -> bytes:
    """Output without what pyte would print instead of obeying."""
    return _UNKNOWN_TO_PYTE.sub(b"", data)


def key(name: str) -> bytes:
    """What a plain terminal sends for a key."""
    if name in KEYS:
        return KEYS[name]
    if name.startswith("ctrl+") and len(name) == 6:
        return bytes([ord(name[5].upper()) & 0x1F])
    if name.startswith("alt+"):
        return b"\x1b" + key(name[4:])
    return name.encode()


class PtySession:
    """Starts a program in a pty and takes the time of each piece it writes.

    A thread only reads and notes the time; the screen is brought up to date by the caller, who decides when. It
    answers the questions of Textual as a terminal with synchronized output does.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        rows: int = 24,
        columns: int = 80,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.rows, self.columns = rows, columns
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._arrived = threading.Condition()
        self._rest = b""
        self._in_sync = False
        self.raw = bytearray()
        """Everything written so far, as far as it was looked at."""
        self.ended = False
        self.started_ns = time.monotonic_ns()
        self.first_byte_ns: int | None = None
        self.last_byte_ns = self.started_ns
        self.pid, self._fd = self._spawn(command, {**_inherited(), **_TERMINAL, **(env or {})}, cwd)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> PtySession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _spawn(self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> tuple[int, int]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        pid = os.fork()
        if pid == 0:
            try:
                os.login_tty(slave)
                if cwd is not None:
                    os.chdir(cwd)
                os.execvpe(command[0], list(command), dict(env))
            finally:
                os._exit(127)
        os.close(slave)
        return pid, master

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""
            now = time.monotonic_ns()
            with self._arrived:
                self._pieces.append((now, data))
                self._arrived.notify_all()
            if not data:
                return

    def send(self, data: bytes) -> int:
        """Type; returns when (``monotonic_ns``)."""
        now = time.monotonic_ns()
        while data:
            select.select([], [self._fd], [], 5)
            data = data[os.write(self._fd, data[:1024]) :]
        return now

    def press(self, *names: str) -> None:
        for name in names:
            self.send(key(name))

    def resize(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def collect(self, quiet: float, limit: float) -> list[tuple[int, bytes]]:
        """What is written from now on, until nothing came for ``quiet`` seconds after the first piece, or ``limit``
        passed."""
        got: list[tuple[int, bytes]] = []
        end = time.monotonic() + limit
        while not self.ended:
            wait = min(end - time.monotonic(), quiet if got else limit)
            with self._arrived:
                if not self._pieces and wait > 0:
                    self._arrived.wait(wait)
                fresh = list(self._pieces)
                self._pieces.clear()
            if not fresh:
                break
            for when, data in fresh:
                self.ended = not data
                if data:
                    self.first_byte_ns = self.first_byte_ns or when
                    self.last_byte_ns = when
                    self._answer(data)
                    got.append((when, data))
        return got

    def show(self, data: bytes) -> bool:
        """Bring the screen up to date; True if a person sees it so, False within a synchronized update."""
        self.raw += data
        on, off = data.rfind(_SYNC_ON), data.rfind(_SYNC_OFF)
        if on != off:
            self._in_sync = on > off
        data = self._rest + data
        unfinished = _UNFINISHED.search(data)
        cut = unfinished.start() if unfinished else len(data)
        self._rest = data[cut:]
        self._stream.feed(clean_for_pyte(data[:cut]))
        return not self._in_sync

    def settle(self, quiet: float = 0.1, limit: float = 5.0) -> None:
        for _when, data in self.collect(quiet, limit):
            self.show(data)

    def wait_until(self, condition: Callable[[], bool], limit: float = 10.0) -> bool:
        """Show what comes until the condition holds; False if it does not in time."""
        end = time.monotonic() + limit
        while not condition():
            if self.ended or time.monotonic() > end:
                return False
            self.settle(0.02, 0.1)
        return True

    def until_quiet(self) -> None:
        """Wait until a program with the key for it says that it has dealt with everything, and show that."""
        said = self.raw.count(_QUIET)
        self.press("ctrl+r")
        assert self.wait_until(lambda: self.raw.count(_QUIET) > said, 30), f"never quiet\n{self.text}"

    def wait_for(self, text: str, limit: float = 10.0) -> bool:
        return self.wait_until(lambda: text in self.text, limit)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def _answer(self, data: bytes) -> None:
        if b"\x1b[?2026$p" in data:
            self.send(b"\x1b[?2026;2$y")

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._fd)
        self._reader.join(5)


def _inherited() -> dict[str, str]:
    """The environment without another terminal's size: programs believe it more than the terminal they have."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


_TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
