"""A project with a real engine, and ``gatewright`` called on it as a user calls it: as a process of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon_support import line_of, write_settings

PROGRAM = str(Path(sys.executable).parent / "gatewright")
PATIENCE = 30.0


class CliProject:
    """Calls the command line on the project in ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, *arguments: str) -> list[str]:
        return [PROGRAM, "--project", str(self.root), *arguments]

    def call(self, *arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run to the end. Output is decoded as it is: no newline is translated."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(self.command(*arguments), input=data, capture_output=True, timeout=PATIENCE, check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def json(self, *arguments: str) -> Any:
        """What the command prints with ``--json``; it must succeed."""
        done = self.call("--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start and let it run."""
        return subprocess.Popen(
            self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def newest_run(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json("runs", "list", "-n", "1")["runs"][0]
        return found

    def script(self, path: str, text: str) -> None:
        """Put a script where the engine finds it."""
        file = self.root / "scripts" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@contextmanager
def cli_project(root: Path, settings: str = "") -> Iterator[CliProject]:
    """A new project in ``root`` with its engine started; both are gone from /proc afterwards."""
    root.mkdir()
    if settings:
        write_settings(root, settings)
    project = CliProject(root)
    started = project.call("engine", "start")
    assert started.returncode == 0, started.stderr
    try:
        yield project
    finally:
        project.call("engine", "stop", "--force")


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for the end; the exit code, and what was not yet read."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=PATIENCE)
        raise
    return process.returncode, (out or b"").decode(), err.decode()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: waited until {what}"
        time.sleep(0.02)


def read_line(process: subprocess.Popen[bytes]) -> str:
    """The next line of a running command's stdout."""
    return line_of(process).decode()


def in_terminal(command: list[str], answer: str = "", columns: int = 80) -> tuple[int, str]:
    """Run ``command`` on a terminal of its own, 24 lines high; its exit code and everything that the terminal got.

    ``answer`` is typed when it asks yes or no.
    """
    import fcntl
    import pty
    import struct
    import termios

    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ)
    os.close(terminal)
    pieces, deadline = [], time.monotonic() + PATIENCE
    while select.select([controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            piece = os.read(controller, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            break
        pieces.append(piece)
        if answer and b"[y/N]" in b"".join(pieces):
            os.write(controller, answer.encode())
            answer = ""
    os.close(controller)
    if time.monotonic() > deadline:
        process.kill()  # and its exit code fails the test
    return process.wait(PATIENCE), b"".join(pieces).decode()
