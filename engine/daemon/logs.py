"""The engine's log. One that cannot be written (a full disk) costs lines, never the engine; lost ones are counted."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from engine.services.recent_log import RecentLog

MINUTE = 60.0
A_MINUTE = 60
"""Lines of one kind that are logged within a minute."""

MAX_KINDS = 1000

MAX_BYTES = 5 << 20
FILES = 5
STDERR_LINES = 1000
"""Lines that may wait for whatever reads stderr; what comes when there are so many is counted and dropped."""

FAREWELL = 1.0
"""Seconds for the last lines on stderr when the process ends."""

ADDRESSES = ("httpx2", "httpcore2")
"""Loggers that tell every address they ask, and what stands in a redirection can be a password."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
"""Of syslog(3), from the level on that they are for."""


class FloodGate(logging.Filter):
    """Lets through so many lines of one kind a minute, and says how many it kept back.

    Any program that reaches the engine over the network can have it log a refusal for each of its requests: without
    this, five files would soon hold nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._one = threading.Lock()
        self._since: dict[tuple[str, str], float] = {}
        self._count: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        with self._one:
            return self._passes(record)

    def _passes(self, record: logging.LogRecord) -> bool:
        key = record.name, str(record.msg)
        if len(self._since) > MAX_KINDS and key not in self._since:
            self._since.clear()
            self._count.clear()
        if record.created - self._since.get(key, -MINUTE) >= MINUTE:
            kept_back = self._count.get(key, 0) - A_MINUTE
            self._since[key], self._count[key] = record.created, 0
            if kept_back > 0:
                record.msg = f"{record.msg} ({kept_back} more like this one in the minute before were not logged)"
        self._count[key] += 1
        return self._count[key] <= A_MINUTE


class JournalFormatter(logging.Formatter):
    """Writes lines for the journal, which has the time and the process by itself (sd-daemon(3)).

    Each line of a message begins with its priority: the journal takes every line for an entry.
    """

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines() or [""])


class StderrLog(logging.Handler):
    """Lines for whatever reads stderr, written by a thread of their own.

    A pipe whose reader has stopped takes no more once it is full, and write(2) waits for as long as that lasts: the
    engine must not wait with it, neither while it serves nor when it ends.

    Args:
        descriptor: Where to write.
        journal: The journal reads it.
    """

    def __init__(self, descriptor: int = 2, *, journal: bool = False) -> None:
        super().__init__()
        self.setFormatter(JournalFormatter() if journal else logging.Formatter(FORMAT))
        self._descriptor = descriptor
        self._waiting: queue.Queue[bytes] = queue.Queue(STDERR_LINES)
        self._dropped = 0
        # No reason to stay: the interpreter does not wait for it.
        threading.Thread(target=self._write, name="stderr", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line to the thread, or count it as dropped. Called with the handler's lock held."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a message that does not fit its arguments is one line the less, as in logging
            self.handleError(record)
            return
        if self._dropped:
            line = f"({self._dropped} lines were not written: stderr was not read)\n{line}"
        try:
            self._waiting.put_nowait(f"{line}\n".encode(errors="replace"))
        except queue.Full:
            self._dropped += 1
        else:
            self._dropped = 0

    def flush(self) -> None:
        """Wait until all is written, for a second at most. ``logging.shutdown`` calls it when the process ends."""
        until = time.monotonic() + FAREWELL
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks and (left := until - time.monotonic()) > 0:
                self._waiting.all_tasks_done.wait(left)

    def _write(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                # Not by sys.stderr, whose lock a write that waits would keep from the end of the process.
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                pass  # A terminal that went away is no reason to fail, and the file has the line, too.
            finally:
                self._waiting.task_done()


class EngineLog(RotatingFileHandler):
    """Five files of 5 MiB. ``problem`` counts the lines that are lost, ``recent`` has the latest ones.

    Args:
        path: Of the file that is written.
        also: What gets every line that the flood gate lets through, as the file does.

    Attributes:
        in_file: Whether lines go into the file.
    """

    def __init__(self, path: Path, also: Sequence[logging.Handler] = ()) -> None:
        # Opened with the first line: also that may fail only as a lost line.
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=FILES - 1, encoding="utf-8", errors="replace", delay=True
        )
        self.setFormatter(logging.Formatter(FORMAT))
        self.addFilter(FloodGate())
        self.recent = RecentLog()
        self._also = (self.recent, *also)
        self.in_file = True
        self._lost = 0
        self._reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        if self.in_file:
            super().emit(record)
        for handler in self._also:
            handler.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's signature
        error = sys.exc_info()[1]
        self._lost += 1
        self._reason = error.strerror or str(error) if isinstance(error, OSError) else repr(error)
        self._forget_stream()

    @property
    def problem(self) -> str | None:
        if not self._lost:
            return None
        lines = "A line of the log was" if self._lost == 1 else f"{self._lost} lines of the log were"
        return f"{lines} lost ({self.baseFilename}): {self._reason}."

    def _forget_stream(self) -> None:
        """Open the file anew for the next line: what could not be written must not pile up in the old stream."""
        stream, self.stream = self.stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError:
                return  # closing tries to write the lost line once more; the descriptor is closed all the same


def reads_stderr(environ: Mapping[str, str] = os.environ) -> bool:
    """Return True if the journal reads this process's stderr (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        info = os.fstat(2)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}"


def configure(path: Path, *, foreground: bool, journal: bool = False) -> EngineLog:
    """Log to ``path``, and to stderr in the foreground, in the journal's form where that reads it."""
    log = EngineLog(path, [StderrLog(journal=journal)] if foreground else ())
    if foreground:
        # Else logging tells of its own failures on stderr, and waits there.
        logging.raiseExceptions = False
    logging.basicConfig(level=logging.INFO, handlers=[log], force=True)
    for name in ADDRESSES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return log
