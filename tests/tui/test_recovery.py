"""The recovery journal: what was typed is there again, whole, private, and never that of a living console."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from tui.editing.recovery import RecoveryError, RecoveryJournal, Session, UnsavedText

DIE_WITH_TEXT = """
import sys
from pathlib import Path
from tui.editing.recovery import RecoveryJournal, UnsavedText
journal = RecoveryJournal("engine", Path(sys.argv[1]))
journal.keep(UnsavedText("a.py", sys.argv[2], "base", 3, 7))
"""


def leave_behind(root, text="left\n"):
    """A console that journaled and is gone."""
    subprocess.run([sys.executable, "-c", DIE_WITH_TEXT, str(root), text], check=True)


def test_text_of_a_dead_console_is_offered_with_its_place(tmp_path):
    leave_behind(tmp_path)
    [entry] = RecoveryJournal("engine", tmp_path).left_behind()
    assert (entry.path, entry.text, entry.base_sha256, entry.row, entry.column) == ("a.py", "left\n", "base", 3, 7)


def test_text_of_a_living_console_is_not_offered(tmp_path):
    journal = RecoveryJournal("engine", tmp_path)
    journal.keep(UnsavedText("a.py", "mine"))
    assert RecoveryJournal("engine", tmp_path).left_behind() == []


def test_two_consoles_keep_their_texts_of_one_script_apart(tmp_path):
    leave_behind(tmp_path, "theirs")
    journal = RecoveryJournal("engine", tmp_path)
    journal.keep(UnsavedText("a.py", "mine"))
    journal.forget("a.py")
    assert [entry.text for entry in journal.left_behind()] == ["theirs"]


def test_two_editors_of_one_console_keep_their_texts_of_one_script_apart(tmp_path):
    """As of two tokens for one engine."""
    first = RecoveryJournal("engine", tmp_path)
    second = first.of("engine", 1)
    first.keep(UnsavedText("a.py", "as a viewer"))
    second.keep(UnsavedText("a.py", "as an author"))
    assert len(list(first.folder.iterdir())) == 2
    assert first.left_behind() == []
    second.forget("a.py")
    (left,) = first.folder.iterdir()
    assert "as a viewer" in left.read_text()


def test_another_engines_texts_are_not_offered(tmp_path):
    leave_behind(tmp_path)
    assert RecoveryJournal("another engine", tmp_path).left_behind() == []


def test_the_newest_text_of_a_script_replaces_the_one_before(tmp_path):
    journal = RecoveryJournal("engine", tmp_path)
    for text in ("first", "second"):
        journal.keep(UnsavedText("a.py", text))
    assert len(list(journal.folder.iterdir())) == 1


def test_a_text_set_aside_is_offered_by_the_console_that_did_it(tmp_path):
    journal = RecoveryJournal("engine", tmp_path)
    journal.set_aside(UnsavedText("a.py", "mine"))
    [entry] = journal.left_behind()
    assert entry.text == "mine"
    journal.discard(entry)
    assert journal.left_behind() == []


@pytest.mark.parametrize("text", ["", "a\r\nb", "\ud800 alone", "\x00\x1b[2J", "\u2028 äöü \U0001f600"])
def test_any_text_comes_back_as_it_was(tmp_path, text):
    journal = RecoveryJournal("engine", tmp_path)
    journal.set_aside(UnsavedText("a.py", text))
    assert [entry.text for entry in journal.left_behind()] == [text]


def test_only_the_user_may_read_it(tmp_path):
    journal = RecoveryJournal("engine", tmp_path / "new")
    old = os.umask(0)
    try:
        journal.keep(UnsavedText("a.py", "secret"))
    finally:
        os.umask(old)
    [file] = journal.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"path": 1, "text": "x"}', b'{"path": "a"}', b"\xff\xfe"])
def test_a_damaged_file_is_passed_over_and_stays(tmp_path, content):
    journal = RecoveryJournal("engine", tmp_path)
    journal.set_aside(UnsavedText("a.py", "good"))
    damaged = journal.folder / "0.aside-1.json"
    damaged.write_bytes(content)
    assert [entry.text for entry in journal.left_behind()] == ["good"]
    assert damaged.exists()


def test_no_half_written_file_is_left_when_the_disk_refuses(tmp_path):
    journal = RecoveryJournal("engine", tmp_path)
    journal.folder.parent.mkdir(exist_ok=True)
    journal.folder.write_text("a file where the folder should be")
    with pytest.raises(RecoveryError, match="cannot be written"):
        journal.keep(UnsavedText("a.py", "x"))


def test_session_comes_back(tmp_path):
    journal = RecoveryJournal("engine", tmp_path)
    assert journal.last_session() == Session()
    journal.remember(Session("a.py", 4, 2, 41))
    assert RecoveryJournal("engine", tmp_path).last_session() == Session("a.py", 4, 2, 41)


@pytest.mark.parametrize("content", [b"", b'{"row": "x"}', b'{"run_id": []}', b"null"])
def test_a_damaged_session_is_an_empty_one(tmp_path, content):
    journal = RecoveryJournal("engine", tmp_path)
    journal.remember(Session("a.py"))
    (journal.folder / "session.json").write_bytes(content)
    assert journal.last_session() == Session()


def test_a_text_is_the_same_scripts_however_its_name_is_spelled(tmp_path):
    journal = RecoveryJournal("engine", tmp_path)
    for name in ("night/U\u0308bersicht", "night/\u00dcbersicht.py"):
        journal.keep(UnsavedText(name, name))
    assert len(list(journal.folder.iterdir())) == 1
    journal.forget("night/\u00dcbersicht")
    assert list(journal.folder.iterdir()) == []
    journal.set_aside(UnsavedText("night/U\u0308bersicht", "kept"))
    assert [entry.path for entry in journal.left_behind()] == ["night/\u00dcbersicht.py"]
