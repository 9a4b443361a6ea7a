"""The engine's log. One that cannot be written (a full disk) costs lines, never the engine; lost ones are counted."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from engine.services.recent_log import RecentLog

MINUTE = 60.0
A_MINUTE = 60
"""Lines of one kind that are logged within a minute."""

MAX_KINDS = 1000

MAX_BYTES = 5 << 20
FILES = 5
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class FloodGate(logging.Filter):
    """Lets through so many lines of one kind a minute, and says how many it kept back.

    Any program that reaches the engine over the network can have it log a refusal for each of its requests: without
    this, five files would soon hold nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[tuple[str, str], float] = {}
        self._count: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
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


class EngineLog(RotatingFileHandler):
    """Five files of 5 MiB. ``problem`` says what was lost, ``recent`` has the latest lines."""

    def __init__(self, path: Path) -> None:
        # Opened with the first line: also that may fail only as a lost line.
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=FILES - 1, encoding="utf-8", errors="replace", delay=True
        )
        self.setFormatter(logging.Formatter(FORMAT))
        self.addFilter(FloodGate())
        self.recent = RecentLog()
        self._lost = 0
        self._reason = ""

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


def configure(path: Path, *, foreground: bool) -> EngineLog:
    """Log to ``path``, and to stderr when somebody may be watching."""
    log = EngineLog(path)
    handlers: list[logging.Handler] = [log, log.recent]
    if foreground:
        handlers.append(logging.StreamHandler())
        handlers[-1].setFormatter(logging.Formatter(FORMAT))
        # A terminal that went away is no reason to fail, and there is nobody left to tell.
        logging.raiseExceptions = False
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    return log
