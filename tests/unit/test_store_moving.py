"""Scripts renamed, copied and deleted as files: what is refused, and that nothing is lost at any failing call."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_os import FAULTS, KINDS, one_fault

from store import disk
from store.errors import BadName, Conflict, NotFound, NoVersion, StoreError
from store.files.names import clashing, module_note, path_problem
from store.files.save import MAX_SIZE
from store.files.scripts import ScriptFiles


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_files(root: Path) -> ScriptFiles:
    (root / "scripts").mkdir()
    (root / "history").mkdir()
    return ScriptFiles(root / "scripts", root / "history")


@pytest.fixture
def files(tmp_path: Path) -> ScriptFiles:
    return make_files(tmp_path)


def temps(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if disk.TEMP_NAME.fullmatch(path.name)]


def everything(root: Path) -> set[bytes]:
    return {path.read_bytes() for path in root.rglob("*") if path.is_file()}


def paths(files: ScriptFiles) -> list[str]:
    return [file.path for file in files.list()]


def test_a_script_is_moved_copied_and_deleted_and_stays_in_the_history(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("a/x.py", b"1", None)
    (tmp_path / "scripts/a/x.py").chmod(0o750)
    files.rename("a/x", "b/c/y", base)
    assert paths(files) == ["b/c/y.py"]
    assert files.kept(base) == b"1"
    files.duplicate("b/c/y.py", "z")
    assert files.read("z.py") == b"1"
    assert (tmp_path / "scripts/z.py").stat().st_mode & 0o777 == 0o750
    files.delete("b/c/y.py", base)
    assert paths(files) == ["z.py"]
    assert files.version("b/c/y.py") is None
    assert files.kept(base) == b"1"
    assert temps(tmp_path) == []


def test_what_its_author_has_not_seen_is_neither_moved_nor_deleted(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    (tmp_path / "scripts/x.py").write_bytes(b"theirs")
    for action in (lambda: files.rename("x", "y", base), lambda: files.delete("x", base)):
        with pytest.raises(Conflict) as conflict:
            action()
        assert conflict.value.current == b"theirs"
    assert files.read("x.py") == b"theirs"
    assert paths(files) == ["x.py"]


def test_nothing_is_ever_renamed_or_copied_over_another_one(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    files.save("y.py", b"2", None)
    (tmp_path / "scripts/dir.py").mkdir()
    (tmp_path / "scripts/link.py").symlink_to("nowhere")
    for target in ("y", "dir", "link"):
        for action in (files.duplicate, lambda old, new: files.rename(old, new, base)):
            with pytest.raises(StoreError, match=r"exists already|ordinary files|only in case"):
                action("x", target)
    assert (files.read("x.py"), files.read("y.py")) == (b"1", b"2")
    assert os.readlink(tmp_path / "scripts/link.py") == "nowhere"


def test_links_and_files_on_the_way_are_refused(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    (tmp_path / "outside").mkdir()
    (tmp_path / "scripts/folder").symlink_to(tmp_path / "outside")
    (tmp_path / "scripts/alias.py").symlink_to("x.py")
    with pytest.raises(StoreError, match="part of its path is a file or a link"):
        files.rename("x", "folder/x", base)
    with pytest.raises(BadName, match=r"a folder's name must not end in \.py"):
        files.rename("x", "x.py/y", base)
    for action in (lambda: files.delete("alias", base), lambda: files.rename("alias", "b", base)):
        with pytest.raises(StoreError, match="symbolic link"):
            action()
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_is_not_there_is_not_found(files: ScriptFiles) -> None:
    for action in (
        lambda: files.delete("x", sha(b"")),
        lambda: files.rename("x", "y", sha(b"")),
        lambda: files.duplicate("no/x", "y"),
    ):
        with pytest.raises(NotFound, match=r"There is no script"):
            action()
    for digest in (sha(b"none"), "../state.db", "", "x" * 64):
        with pytest.raises(NoVersion):
            files.kept(digest)


@pytest.mark.parametrize(
    ("there", "new"),
    [("Report.py", "report"), ("reports/x.py", "Reports/y"), ("stra\u00dfe.py", "STRASSE"), ("a\u00e9.py", "A\u00c9")],
)
def test_paths_that_other_systems_cannot_tell_apart_are_refused(files: ScriptFiles, there: str, new: str) -> None:
    base = files.save("x.py", b"1", None)
    files.save(there, b"2", None)
    for action in (
        lambda: files.rename("x", new, base),
        lambda: files.duplicate("x", new),
        lambda: files.save(new, b"3", None),
    ):
        with pytest.raises(BadName, match="only in case or accents"):
            action()
    assert paths(files) == sorted(["x.py", there])


def test_case_alone_can_be_renamed(files: ScriptFiles) -> None:
    base = files.save("Report.py", b"1", None)
    files.rename("Report", "report", base)
    assert paths(files) == ["report.py"]


def test_what_clashes_on_disk_is_noted_and_works(files: ScriptFiles, tmp_path: Path) -> None:
    for name in ("a.py", "A.py", "json.py", "fine.py"):
        (tmp_path / "scripts" / name).write_bytes(b"")
    notes = {file.path: file.note for file in files.list()}
    assert notes["fine.py"] is None
    assert "differs from A.py" in (notes["a.py"] or "")
    assert "module json" in (notes["json.py"] or "")
    assert all(file.problem is None for file in files.list())


def test_names() -> None:
    assert clashing("a", ["a", "b"]) is None
    assert clashing("e\u0301", ["\u00e9"]) == "\u00e9"
    assert module_note("deep/random.py") is not None
    assert module_note("random_walk.py") is None
    for name in ("con.py", "sub/NUL.py", "Com1.x.py", "aux/x.py"):
        assert "device on Windows" in (path_problem(name) or "")
    assert path_problem("console.py") is None


def test_a_version_that_was_written_into_is_not_given_out_as_what_it_was(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"old", None)
    with open(tmp_path / "scripts/x.py", "r+b", buffering=0) as editor:
        files.save("x.py", b"new", base)
        editor.write(b"late words")
    with pytest.raises(StoreError, match="written into by a program"):
        files.kept(base)
    files.save("y.py", b"old", None)
    files.delete("y.py", base)
    assert files.kept(base) == b"old"
    assert files.kept(sha(b"late words")) == b"late words"


def test_an_editor_that_replaces_the_file_as_it_is_deleted_keeps_it(
    files: ScriptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scripts/x.py"
    base = files.save("x.py", b"base", None)
    real = disk.temp_name

    def late(name: str) -> str:
        path.write_bytes(b"theirs")
        return real(name)

    monkeypatch.setattr(disk, "temp_name", late)
    with pytest.raises(Conflict):
        files.delete("x.py", base)
    assert path.read_bytes() == b"theirs"
    assert temps(tmp_path) == []


def test_without_renameat2_a_rename_still_never_overwrites(files: ScriptFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise disk.ExchangeUnsupportedError(errno.EINVAL, "not here")

    monkeypatch.setattr(disk, "_renameat2", unsupported)
    base = files.save("x.py", b"1", None)
    files.save("y.py", b"2", None)
    with pytest.raises(Conflict):
        files.rename("x", "y", base)
    files.rename("x", "z", base)
    assert paths(files) == ["y.py", "z.py"]


def test_what_is_forgotten_is_gone_and_nothing_else(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    second = files.save("x.py", b"2", base)
    files.save("x.py", b"3", second)
    (tmp_path / "history/notes").write_bytes(b"")
    files.forget([base, "notes", "../scripts/x.py", sha(b"none")])
    assert sorted(path.name for path in (tmp_path / "history").iterdir()) == sorted(["notes", second])
    assert files.read("x.py") == b"3"


def test_too_large_a_file_is_left_alone(files: ScriptFiles, tmp_path: Path) -> None:
    (tmp_path / "scripts/x.py").write_bytes(b"x" * (MAX_SIZE + 1))
    for action in (lambda: files.delete("x", sha(b"")), lambda: files.duplicate("x", "y")):
        with pytest.raises(StoreError, match="is too large"):
            action()
    assert paths(files) == ["x.py"]


ACTIONS: dict[str, Callable[[ScriptFiles, str], object]] = {
    "rename": lambda files, base: files.rename("a/x.py", "b/y.py", base),
    "duplicate": lambda files, base: files.duplicate("a/x.py", "b/y.py"),
    "delete": lambda files, base: files.delete("a/x.py", base),
}
ALLOWED = {
    "rename": ({"a/x.py"}, {"b/y.py"}),
    "duplicate": ({"a/x.py"}, {"a/x.py", "b/y.py"}),
    "delete": ({"a/x.py"}, set()),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("code", FAULTS)
def test_a_failing_system_call_is_a_sentence_and_loses_nothing(tmp_path: Path, code: int, action: str) -> None:
    """Each call fails once, in turn, until the action gets by without meeting the fault."""
    before, after = ALLOWED[action]
    for at in range(1, 200):
        root = tmp_path / str(at)
        root.mkdir()
        files = make_files(root)
        base = files.save("a/x.py", b"old", None)
        refusal: StoreError | None = None
        with one_fault(code, at) as fault:
            try:
                ACTIONS[action](files, base)
            except StoreError as error:
                refusal = error
        if refusal is not None:
            assert refusal.sentence.endswith(".")
            assert isinstance(refusal, KINDS.get(code, StoreError))
        assert b"old" in everything(root), fault.hit
        files.recover()
        assert temps(root) == []
        found = set(paths(files))
        assert found in (before, after), fault.hit
        assert refusal is not None or found == after, fault.hit
        assert found or files.kept(base) == b"old", fault.hit
        if fault.hit is None:
            break
        if found != after:
            ACTIONS[action](files, base)
            assert set(paths(files)) == after, "usable afterwards"
    else:
        pytest.fail("it never got by")
    assert at > 12, "too few calls for the whole protocol"
