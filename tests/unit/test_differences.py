"""Which scripts are alike, which keys differ, what many is, and what is marked in the console."""

from __future__ import annotations

import pytest

from engine.models.sync import DiffChoice, DiffItem, DiffState, KeyDifference
from store.frontmatter.read import Frontmatter, title_from_path
from store.index.database import Changes
from store.index.differences import Alike, changed_keys, duplicates
from store.index.missing import Known, is_mass, judged, paired
from store.index.rows import ScriptRow
from tui.screens.diff_marks import DiffMarks


def row(path: str, content: str = "", title: str | None = None) -> ScriptRow:
    front = Frontmatter(title=title or title_from_path(path))
    return ScriptRow(path, front, content or path, 1, None, 0)


def test_alike_scripts_are_told_once_with_the_weightiest_reason() -> None:
    rows = [row("a.py", "x", "Same"), row("b.py", "x", "Same"), row("B.py", "y"), row("c.py", title="Same")]
    found = duplicates(rows)
    assert [(group.alike, group.paths) for group in found] == [
        (Alike.CONTENT, ("a.py", "b.py")),
        (Alike.PATH, ("B.py", "b.py")),
        (Alike.TITLE, ("a.py", "b.py", "c.py")),
    ]
    assert len({group.fingerprint for group in found}) == 3


def test_empty_files_and_names_in_other_folders_are_not_alike() -> None:
    empty = ScriptRow("e.py", Frontmatter(title="E"), "0", 0, None, 0)
    assert duplicates([empty, ScriptRow("f.py", Frontmatter(title="F"), "0", 0, None, 0)]) == []
    assert duplicates([row("a/report.py"), row("b/report.py")]) == []


def block(*lines: str) -> bytes:
    return "\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///", ""]).encode()


def test_keys_are_compared_as_they_are_written() -> None:
    limits = "[tool.gatewright.limits]", "timeout = 5"
    old = block('dependencies = ["a"]', "[tool.gatewright]", "enabled = true", *limits)
    new = block("[tool.gatewright]", 'enabled = "true"', "odd = 1", *limits)
    changes = changed_keys(new, old)
    assert changes is not None
    assert [(one.key, one.file, one.database, one.settable) for one in changes] == [
        ("dependencies", None, '["a"]', True),
        ("enabled", '"true"', "true", True),
        ("odd", "1", None, False),
    ]
    assert changed_keys(b"# /// script\n# [[\n# ///\n", old) is None
    assert changed_keys(old, old) == []


@pytest.mark.parametrize(("lost", "of", "mass"), [(10, 10, False), (11, 11, True), (11, 55, False), (12, 59, True)])
def test_many_is_more_than_ten_and_more_than_a_fifth(lost: int, of: int, mass: bool) -> None:
    assert is_mass(range(lost), [str(number) for number in range(of)]) is mass  # type: ignore[arg-type]


def test_what_moved_together_has_not_vanished() -> None:
    rows = {f"a/{number}.py": row(f"a/{number}.py", str(number)) for number in range(30)}
    moved = [row(f"b/{number}.py", str(number)) for number in range(30)]
    assert len(paired(rows.values(), moved)) == 30
    assert judged(Changes(gone=list(rows)), Known(rows, {})).held == frozenset(rows)
    assert judged(Changes(gone=list(rows)), Known(rows, {}, leaving=frozenset(rows))).held == frozenset()
    assert judged(Changes(gone=list(rows)), Known(rows, {}, accepted=frozenset(rows))).held == frozenset()


def items() -> list[DiffItem]:
    both = [DiffChoice.KEEP_FILE, DiffChoice.RESTORE]
    enabled = KeyDifference(key="enabled", file="3", database="true", restorable=True)
    keys = [enabled, KeyDifference(key="odd", file="1")]
    invalid = DiffItem(
        path="a.py", state=DiffState.INVALID_FILE, sentence="", seen="1", choices=both, keys=keys,
        file_choice=DiffChoice.KEEP_FILE, database_choice=DiffChoice.RESTORE,
    )  # fmt: skip
    many = DiffItem(
        path="", state=DiffState.VANISHED, sentence="", seen="2", choices=[DiffChoice.ACCEPT],
        file_choice=DiffChoice.ACCEPT,
    )  # fmt: skip
    return [invalid, many, DiffItem(path="b.py", state=DiffState.INVALID_FILE, sentence="", seen="3")]


def test_marks_become_decisions() -> None:
    marks = DiffMarks(items())
    assert marks.choose_database((0, 0))
    assert not marks.choose_database((0, 1))
    assert [(one.choice, one.keys, one.seen) for one in marks.decisions()] == [(DiffChoice.RESTORE, ["enabled"], "1")]
    assert marks.choose_file((0, 0))
    assert marks.count == 0
    marks.toggle_all()
    assert [(one.path, one.choice) for one in marks.decisions()] == [("a.py", DiffChoice.KEEP_FILE)]
    assert marks.toggle((1, -1))
    assert not marks.toggle((2, -1))
    assert not marks.choose_database((1, -1))
    assert [one.choice for one in marks.decisions((1, -1))] == [DiffChoice.ACCEPT]
    marks.toggle_all()
    assert marks.decisions() == []
    assert [cells.cells[:2] for cells in marks.rows()] == [
        ("", "a.py"),
        ("", ""),
        ("", ""),
        ("", "scripts"),
        ("", "b.py"),
    ]
