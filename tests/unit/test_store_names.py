"""What a script may be called."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import BadName
from store.files.names import MAX_DEPTH, MAX_PART, module_note, path_problem, script_path, shown


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("tour.py", "tour.py"),
        ("defaults/log_digest", "defaults/log_digest.py"),
        ("a/b/c.d.py", "a/b/c.d.py"),
        ("Übersicht täglich.py", "Übersicht täglich.py"),
        (unicodedata.normalize("NFD", "Über.py"), "Über.py"),
        ("報告", "報告.py"),
    ],
)
def test_a_good_name_is_kept(text: str, path: str) -> None:
    assert script_path(text) == path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("/etc/passwd.py", "relative"),
        ("../x.py", "'..'"),
        ("a/../../x.py", "'..'"),
        ("./x.py", "'.'"),
        ("a//x.py", "empty component"),
        ("a/", "empty component"),
        (".hidden.py", "begin with '.'"),
        (".git/hooks/x.py", "begin with '.'"),
        ("-rf.py", "begin with '-'"),
        ("x.txt", "end in .py"),
        ("x.PY", "end in .py"),
        (".py", "begin with"),
        (" .py", "begin or end with a blank"),
        ("a /b.py", "begin or end with a blank"),
        ("a.py/b.py", "folder"),
        ("a\nb.py", "control character (U+000A)"),
        ("a\x00b.py", "control character (U+0000)"),
        ("a\x1b]52;c.py", "control character (U+001B)"),
        ("a\u202eb.py", "invisible formatting character"),
        ("a\u2028b.py", "line separator"),
        ("a\ud800b.py", "not valid Unicode"),
        ("a:b.py", "some systems refuse"),
        ("a\\b.py", "some systems refuse"),
        ("x" * (MAX_PART + 1) + ".py", "longer than"),
        ("/".join(["d"] * MAX_DEPTH) + "/x.py", "levels"),
        ("/".join(["d" * 100] * 6) + "/x.py", "longer than 500"),
    ],
)
def test_a_bad_name_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BadName) as refusal:
        script_path(text)
    assert reason in refusal.value.sentence
    assert refusal.value.sentence.isprintable()


@given(st.text(max_size=60) | st.text(alphabet="ab./-\\ é\u0301\n", max_size=20))
def test_what_is_accepted_is_stable_and_stays_inside(text: str) -> None:
    try:
        path = script_path(text)
    except BadName:
        return
    assert path_problem(path) is None
    assert script_path(path) == path
    assert unicodedata.is_normalized("NFC", path)
    assert os.path.normpath(path) == path
    assert not path.startswith(("/", "."))
    assert Path("/s") in (Path("/s") / path).parents


@given(st.text(max_size=30), st.binary(max_size=30))
def test_shown_names_can_be_printed_and_sent(text: str, raw: bytes) -> None:
    for name in (text, os.fsdecode(raw)):
        assert shown(name).isprintable()
        shown(name).encode("utf-8")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("lib/csv.py", None),  # it is lib.csv to everybody
        ("lib/area/__init__.py", None),
        ("lib/my-tags.py", "No import statement can say lib.my-tags"),
        ("lib/class.py", "No import statement can say lib.class"),
        ("lib/2024/tags.py", "No import statement can say lib.2024.tags"),
        ("lib.py", "in place of the folder lib"),
        ("library/tags.py", None),
    ],
)
def test_names_of_shared_code_are_those_of_modules(path: str, said: str | None) -> None:
    note = module_note(path)
    assert note is None if said is None else said in (note or "")
