"""A newcomer's first hour by README: the console in tmux, then a shell, with an empty home.

Every screen on the way is read: none names what only the program's authors know, and nothing appears in the home that
nobody asked for.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tmux_support import Terminal, gatewright, terminal

import engine.models

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the hour needs it"),
]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

WORDS = re.compile(
    r"\b(zygotes?|frontmatter|seccomp|landlock\w*|userns|namespaces?|rlimits?|msgspec|structs?|repr|asyncio|uvicorn"
    r"|h11|textual|sqlite\w*|openapi|http|dataclass|NoneType|isinstance|kwargs?|(?<!--)stdin_?|traceback object"
    r"|coroutine|integer range|python name)\b"
    r"|/api/|object at 0x|\bof length\b|\bField\(|\[Errno|SO_PEERCRED",
    re.IGNORECASE,
)
"""What no newcomer should have to know. That a file is not there, a script's own traceback says in Python's words."""

OURS = re.compile(r'File "[^"]*/(engine|tui|store|site-packages)/')
"""A line of a traceback through code of ours."""

PUBLIC = {"open_files", "output_stop", "leave_processes", "import_denied", "script_error", "output_limit"}
"""Names with an underscore that README explains."""


def fields() -> set[str]:
    """Names of the fields that cross the API, such as no sentence has."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(engine.models.__path__):
        for value in vars(importlib.import_module(f"engine.models.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                found.update(name for name in value.__struct_fields__ if "_" in name)
    return found - PUBLIC


FIELDS = re.compile(rf"\b({'|'.join(sorted(fields()))})\b")


def read(screen: str) -> None:
    """Fail at a word that does not belong before a user."""
    for pattern in (WORDS, OURS, FIELDS):
        for line in screen.splitlines():
            found = pattern.search(line)
            if found and not ("FileNotFoundError: [Errno 2]" in line and found[0] == "[Errno"):
                raise AssertionError(f"{found[0]!r} in {line!r}\n{screen}")


class Reader:
    """A terminal whose every state that a step waits for is read."""

    def __init__(self, shown: Terminal) -> None:
        self._terminal = shown
        self._lines = 0

    def press(self, *keys: str, until: str | Callable[[str], object]) -> str:
        """Press keys and return the screen when it is as it should be, having read it."""
        self._terminal.keys(*keys)
        return self._read(until)

    def type(self, text: str, until: str | Callable[[str], object]) -> str:
        self._terminal.type(text)
        return self._read(until)

    def enter(self, line: str, *, code: int = 0) -> str:
        """Type a shell line, wait for its end and return what it showed, as far as the screen has it."""
        self._lines += 1
        self._terminal.keys("C-l")
        self._terminal.type(f"{line}; echo line {self._lines} ended with $?.")
        self._terminal.keys("Enter")
        screen = self._read(lambda text: re.search(rf"^line {self._lines} ended", text, re.MULTILINE))
        assert f"\nline {self._lines} ended with {code}." in screen, f"{line}\n{screen}"
        return screen

    def _read(self, until: str | Callable[[str], object]) -> str:
        meets = (lambda text: until in text) if isinstance(until, str) else until
        self._terminal.until(lambda: meets(self._terminal.text), f"the screen meets {until}")
        screen = self._terminal.text
        read(screen)
        return screen


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home beside a clone with its environment; whatever engine the hour leaves is stopped."""
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/.venv").symlink_to(sys.prefix)
    yield folder
    for private in folder.rglob(".gatewright"):
        gatewright(private.parent, "engine", "stop", "--force")


def test_a_first_hour(home: Path, tmp_path: Path) -> None:
    folders = [name for name in os.environ["PATH"].split(":") if not (Path(name) / "gatewright").exists()]
    environment = {"HOME": str(home), "PATH": ":".join(folders), "PS1": "$ ", "LANG": "C.UTF-8", "HISTFILE": ""}
    environment["GATEWRIGHT_YIELD_ENABLED"] = "false"  # what it sees is the same on a busy machine
    environment["XDG_STATE_HOME"] = ""
    with terminal(tmp_path, (120, 40)) as t:
        t.run("exec bash --norc --noprofile", tmp_path / "clone", environment)
        reader = Reader(t)
        in_the_console(reader)
        in_the_shell(reader)
        by_mistake(reader)
    assert {*os.listdir(home)} == {"gatewright-demo", ".local"}
    assert os.listdir(home / ".local") == ["state"]
    assert os.listdir(home / ".local/state/gatewright") == ["recovery"]
    project = home / "gatewright-demo"
    assert {*os.listdir(project)} == {".git", ".gitignore", ".gatewright", "documents", "scripts"}
    assert {*os.listdir(project / "scripts")} == {"defaults", "macros", "night"}
    assert os.listdir(tmp_path / "clone") == [".venv"]


def in_the_console(reader: Reader) -> None:
    """README's steps, each far enough to see its screen."""
    command = re.search(r"<!-- command: open -->\n```sh\n.*&& (\S+gatewright \S+)\n", README)
    assert command is not None
    reader.type(f"{command[1]}\n", "tour")
    reader.press(until=lambda screen: "pool [...] 0/3" in screen and "Run F5" in screen)
    reader.press("F5", until="Enter run")
    reader.press("Enter", until="minute 2")
    reader.press("F6", until="cancelled")
    reader.press("C-End", until="Run F5")
    reader.type("# mine", "defaults/tour.py *")
    reader.press("C-s", until="saved defaults/tour.py")
    reader.press("F3", until="c copy")
    for tab in ("[Problems", "[Tasks", "[Git"):
        reader.press("F3", until=tab)
    reader.press("Escape", until="F5 run")
    for key, shown in (
        ("F4", "3 slots"),
        ("C-t", "Header of defaults/tour.py"),
        ("F10", "Esc back"),
        ("F12", "Esc back"),
        ("C-p", "what to do"),
    ):
        reader.press(key, until=shown)
        reader.press("Escape", until=without(shown))
    reader.press("F8", until="ADMIN")
    reader.press("F9", until="asks for no permissions")
    reader.press("F2", until="Enter open")
    reader.press("h", until="History of defaults/tour.py")
    reader.press("Escape", until=without("History of"))
    reader.press("F1", until="Everywhere")
    for _ in range(3):
        reader.press("PageDown", until="Esc back")
    reader.press("Escape", until=without("Esc back"))
    reader.press("C-q", until=lambda text: text.rstrip().endswith("$"))


def without(text: str) -> Callable[[str], bool]:
    """A key right behind Escape would be taken for one with Alt."""
    return lambda screen: text not in screen


def in_the_shell(reader: Reader) -> None:
    """README's lines, in the order in which they stand there."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if ".venv/bin/pip" not in line]
    assert len(lines) > 12
    for line in lines:
        reader.enter(line)
    reader.enter("gatewright --help")
    for command in ("run", "runs", "scripts"):
        reader.enter(f"gatewright {command} --help")


def by_mistake(reader: Reader) -> None:
    """What people try, or get wrong, in their first hour."""
    for line, code, said in (
        ("gatewright exec '1/0'", 1, "ZeroDivisionError"),
        ("gatewright exec 'import os'", 1, "RESTRICTED"),
        ("""gatewright exec 'open("/etc/hosts")'""", 1, "FileNotFoundError"),
        ("""gatewright exec 'input("name? ")'""", 1, "no standard input"),
        ("gatewright exec 'result = len'", 0, "shown as text"),
        ("gatewright exec 1 --timeout abc", 2, "no number of seconds"),
        ("gatewright run defaults/log_digest --file log", 2, "Write log=PATH"),
        ("gatewright run defaults/tour -p nme=Anna", 2, "no parameter 'nme'"),
        ("gatewright run defaults/log_digest", 2, "--file log=PATH"),
        ("gatewright run nosuch", 2, "no script 'nosuch'"),
        ("gatewright runs list", 0, "! script_error"),
        ("gatewright runs show 1", 0, "defaults/tour"),
        ("gatewright runs show x", 2, "no number of a run"),
        ("gatewright rn", 2, "Did you mean"),
        ("gatewright /etc/hosts", 2, "is a file"),
        ("gatewright audit", 0, "save"),
        ("gatewright retention", 0, "kept for"),
    ):
        assert said in reader.enter(line, code=code), line
    reader.enter("cd; gatewright runs list", code=2)
