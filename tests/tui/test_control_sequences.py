"""The console on a hostile project in a real terminal: whatever is shown, the terminal obeys nobody but the console."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from console_support import engine_project
from hostile_project import ALL, ATTACKS, PAYLOAD, fill
from pty_session import PtySession
from terminal_grammar import foreign
from tmux_support import PROGRAM

LEAKING = Path(__file__).with_name("leaking_app.py")
PATIENCE = 20.0


class Visit:
    """A walk through the console: at each place hostile text must be seen, so that it is known to have been drawn."""

    def __init__(self, session: PtySession) -> None:
        self.session = session

    def sees(self, *texts: str) -> None:
        session = self.session

        def seen() -> bool:
            shown = session.text  # putting it together takes its time
            return all(text in shown for text in texts)

        assert session.wait_until(seen, PATIENCE), session.text

    def press(self, *keys: str) -> None:
        self.session.press(*keys)

    def leave(self, text: str) -> None:
        """Escape, until ``text`` is off the screen: what follows at once would make another key of it."""
        self.press("escape")
        session = self.session
        assert session.wait_until(lambda: text not in session.text, PATIENCE), session.text

    def type(self, text: str) -> None:
        self.session.send(text.encode())

    def open(self, path: str) -> None:
        self.press("ctrl+o")
        self.sees("open a script")
        session = self.session
        before = session.text.count(path)
        self.type(path)
        assert session.wait_until(lambda: session.text.count(path) != before, PATIENCE), session.text
        self.press("enter")
        assert session.wait_until(lambda: f"  {path} " in session.screen.display[0], PATIENCE), session.text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("hostile") / "plant"
    with engine_project(root, policy='modules = ["sys"]'):
        fill(root)
        yield root


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_each_is_told_from_what_the_console_writes(attack: str) -> None:
    own = b"\x1b[?1049h\x1b[?25l\x1b[1;1H\x1b[38;2;0;175;215mtext\x1b[0m\r\n"
    assert foreign(own) == []
    assert foreign(own + f"seen {attack}".encode() + own[8:]) != []


def test_one_that_is_written_past_the_guard_is_found() -> None:
    """Without this the next test would prove nothing."""
    with PtySession([sys.executable, str(LEAKING), "1"]) as session:
        assert session.wait_until(lambda: b"LEAKED" in session.raw, PATIENCE)
        assert foreign(bytes(session.raw)) == [f"\x1b]0;{PAYLOAD}\x07LEAKED"]


def test_no_text_of_a_project_drives_the_terminal(hostile: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    with PtySession([PROGRAM, str(hostile)], rows=30, columns=200, env=environment) as session:
        visit = Visit(session)
        visit.sees("pool [...]", "asks", "name\\x1b", "folder\\x1b")
        see_lists(visit)
        see_a_run(visit)
        see_dialogs(visit)
        see_problems(visit)
        see_git(visit)
        see_forms(visit)
        see_versions(visit)
        see_a_conflict(visit, hostile / "scripts" / "plain.py")
        see_differences(visit)
        raw = bytes(session.raw)
    assert foreign(raw) == []


def see_lists(visit: Visit) -> None:
    visit.press("ctrl+p")
    visit.sees("what to do")
    visit.type("open name")
    visit.sees("open name\\x1b]52;c;qZ7=")
    visit.press("enter")  # there is no such script to open: it is said
    visit.sees("cannot be a script's name")
    visit.press("f2")
    visit.type("/qZ7")  # by title and tag
    visit.sees(" qZ7  ", "asks", "form")
    visit.leave(" qZ7  ")


def see_a_run(visit: Visit) -> None:
    visit.open("plain.py")
    visit.sees("# changed \u241b]52;c;qZ7")
    visit.press("f5")
    visit.sees(
        "printed \u241b]52;c;qZ7", "warned \u241b]52;c;qZ7", "ValueError: raised \u241b]52;c;qZ7", "end of output"
    )
    visit.press("f4")
    visit.sees("3 slots", "queue: empty")
    visit.leave("queue: empty")


def see_dialogs(visit: Visit) -> None:
    visit.open("form.py")
    visit.press("f5")
    visit.sees("Run form.py: ", "hours", "\ufffd]52;c;qZ7")
    visit.type("x")
    visit.sees("24x")
    visit.press("enter")
    visit.sees("24x", "takes a whole number")
    visit.leave("Run form.py: ")
    visit.open("asks.py")
    visit.press("f9")
    visit.sees("approve", "/srv/")
    visit.leave("/srv/\\x1b")


def see_problems(visit: Visit) -> None:
    visit.open("block.py")
    visit.sees("Problems 2")
    visit.press("f3", "2")
    visit.sees("[Problems 2]", "error")
    visit.open("broken.py")
    visit.sees("never closed")


def see_git(visit: Visit) -> None:
    visit.press("f3", "4")
    visit.sees("[Git")
    visit.press("z")
    visit.sees("on main", "scripts/new\\x1b]52;c;qZ7", "Author \\x1b]52;c;qZ7", "message \\x1b]52;c;qZ7")
    visit.press("home", "enter")
    visit.sees("Enter goes back", "+# changed <U+001B>]52;c;qZ7")
    visit.press("enter", "home", "down")
    visit.type(" ")
    visit.sees("A  scripts/new\\x1b")
    visit.press("l", "end", "enter")
    visit.sees("diff --git")
    visit.press("end")
    visit.sees("+raise ValueError")


def see_forms(visit: Visit) -> None:
    visit.open("form.py")
    visit.press("ctrl+t")
    visit.sees("Header of form.py", "qZ7")
    visit.leave("Header of form.py")


def see_versions(visit: Visit) -> None:
    visit.press("ctrl+end")
    visit.type("# more")
    visit.press("ctrl+s")
    visit.sees("saved form.py")
    visit.press("ctrl+p")
    visit.sees("what to do")
    visit.type("history of the script")
    visit.sees("history of the script")
    visit.press("enter")
    visit.sees("History of form.py", "a save")
    visit.press("down")
    visit.type("t")
    visit.sees("]52;c;qZ7")
    visit.leave("]52;c;qZ7=<U+0007><U+001B>]0")
    visit.leave("History of form.py")


def see_a_conflict(visit: Visit, file: Path) -> None:
    visit.open("plain.py")
    visit.type("mine")
    visit.sees("plain.py *")
    file.write_text(f"# theirs {ALL}\n{file.read_text()}")
    visit.sees("changed on disk")
    visit.press("f7")
    visit.sees("keep mine; theirs goes into history", "theirs <U+001B>]52;c;qZ7")
    visit.type("t")
    visit.sees("took the version on disk", "# theirs \u241b]52;c;qZ7")


def see_differences(visit: Visit) -> None:
    visit.press("f12")
    visit.sees("rebuilds and metadata diff")
    visit.type("r")
    visit.sees("name\\x1b]52;c;qZ7", "folder\\x1b]52;c;qZ7")
    visit.type("d")
    visit.sees("metadata diff", "block.py")
    visit.leave("apply marked")
    visit.leave("rebuilds and metadata diff")
    visit.press("f10")
    visit.sees("ValueError: raised \\x1b]52;c;qZ7")
