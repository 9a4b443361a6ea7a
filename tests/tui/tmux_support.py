"""A terminal in tmux, for tests that look at the console as a person does: keys in, a picture out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "gatewright")
PATIENCE = 30.0


class Terminal:
    """One tmux server with one window, which runs a shell line."""

    def __init__(self, socket: Path, size: tuple[int, int]) -> None:
        self._socket = socket
        self._size = size

    def run(self, line: str, cwd: Path, environment: Mapping[str, str]) -> None:
        """Show a shell line in place of what the window showed before."""
        width, height = map(str, self._size)
        names = [f"-e{name}={value}" for name, value in environment.items()]
        self._tmux("new-session", "-d", "-s", "w", "-x", width, "-y", height, "-c", str(cwd), *names, "sh", "-c", line)

    def close(self) -> None:
        self._tmux("kill-server", check=False)

    def keys(self, *keys: str) -> None:
        """Press keys by tmux's names: ``F5``, ``C-s``, ``Escape``."""
        for key in keys:
            self._tmux("send-keys", "-t", "w", key)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", "w", "-l", text)

    def enter(self, text: str) -> None:
        """Type into a line and press Enter once it is there: what comes at once is a paste."""
        before = self.text.count(text)
        self.type(text)
        self.until(lambda: self.text.count(text) > before, f"{text!r} is typed")
        self.keys("Enter")

    def paste(self, text: str) -> None:
        """Paste as a terminal does that does not bracket pasted text."""
        self._tmux("set-buffer", "-b", "paste", text)
        self._tmux("paste-buffer", "-r", "-b", "paste", "-t", "w")

    @property
    def text(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "w")

    @property
    def history(self) -> str:
        """All lines, those too that scrolled out: what a program said that ended badly."""
        return self._tmux("capture-pane", "-p", "-S", "-", "-t", "w").rstrip()

    @property
    def styled(self) -> str:
        """The screen with its colours, as escape sequences."""
        return self._tmux("capture-pane", "-p", "-e", "-t", "w")

    def value(self, name: str) -> str:
        """What tmux knows: ``pane_pid``, ``alternate_on`` …"""
        return self._tmux("display-message", "-p", "-t", "w", f"#{{{name}}}").strip()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a state."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}\n{self.history}")
            time.sleep(0.02)

    def shows(self, *texts: str) -> None:
        """Wait until all of these are on the screen at once."""
        self.until(lambda: all(text in self.text for text in texts), f"the screen shows {texts}")

    def hides(self, text: str) -> None:
        self.until(lambda: text not in self.text, f"the screen is without {text!r}")

    def child(self, program: str) -> int:
        """The pid of the shell's child whose command line holds ``program``."""
        children = Path(f"/proc/{self.value('pane_pid')}/task/{self.value('pane_pid')}/children").read_text().split()
        for pid in children:
            if program in Path(f"/proc/{pid}/cmdline").read_text():
                return int(pid)
        raise AssertionError(f"{program} does not run in the terminal\n{self.text}")

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"} | {"LC_ALL": "C.UTF-8"}
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True, env=environment).stdout


@contextmanager
def terminal(folder: Path, size: tuple[int, int] = (80, 24)) -> Iterator[Terminal]:
    """A terminal whose socket is in ``folder``."""
    opened = Terminal(folder / "tmux", size)
    try:
        yield opened
    finally:
        opened.close()


def console_line(*arguments: str) -> str:
    """Runs the console, says how it ended and what state it left the terminal in, and stays."""
    return f"{shlex.join([PROGRAM, *arguments])}; echo EXIT $?; stty -a; exec sleep 600"


def gatewright(project: Path, *arguments: str) -> str:
    """What the command line prints."""
    command = [PROGRAM, *arguments, "--project", str(project)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
