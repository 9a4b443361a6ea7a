"""A git that runs: what it says is read within bounds, and it can be ended with everything that it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from store.errors import StoreError

TERMINATE_GRACE = 2.0
"""Seconds that git gets to remove its lock files after SIGTERM; SIGKILL would leave ``index.lock`` behind."""

POLL = 0.1
"""Seconds after which a wait looks whether it should stop."""

MAX_COMPLAINT = 64 << 10
"""Bytes of what git says on stderr that are kept."""


class GitStopped(StoreError):
    """Whoever waited for git does not want the answer any more."""


@dataclass(frozen=True, slots=True)
class GitResult:
    """How a command ended. ``cut``: it was stopped because it had said as much as was wanted."""

    code: int
    out: bytes
    error: str
    cut: bool = False


def collect(
    process: subprocess.Popen[bytes], name: str, timeout: float, limit: int, stop: threading.Event
) -> GitResult:
    """Read what git says until it ends, ``limit`` is reached, time is over or somebody sets ``stop``."""
    out, error = bytearray(), bytearray()
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for pipe, into in ((process.stdout, out), (process.stderr, error)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, into)
        while True:
            if stop.is_set():
                raise stopped(name)
            left = deadline - time.monotonic()
            if left <= 0:
                raise StoreError(f"git {name} took longer than {timeout:g} s and was stopped.")
            # What it started in the background may hold the pipes open for ever.
            ended = process.poll() is not None
            read = _read_ready(selector, 0 if ended else min(left, POLL))
            del error[MAX_COMPLAINT:]
            if len(out) > limit:
                end(process)
                return GitResult(0, bytes(out[:limit]), "", cut=True)
            if ended and not read:
                return GitResult(process.returncode, bytes(out), error.decode("utf-8", "backslashreplace"))


def _read_ready(selector: selectors.BaseSelector, wait: float) -> bool:
    """Read once from every pipe that has something; whether anything came."""
    came = False
    if not selector.get_map():
        time.sleep(min(wait, 0.005))  # the pipes are closed, the process is about to end
        return False
    for key, _ in selector.select(wait):
        if data := os.read(key.fd, 1 << 16):
            key.data.extend(data)
            came = True
        else:
            selector.unregister(key.fileobj)
    return came


def end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started: first so that it can clean up, then for good.

    git is reaped last: until then its process group cannot become somebody else's.
    """
    if process.returncode is not None:
        return
    _signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + TERMINATE_GRACE
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, process.pid, options) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def stopped(name: str) -> GitStopped:
    return GitStopped(f"git {name} was stopped.")
