"""Scripts listed, read and saved: what is refused, and that no byte anybody wrote is lost."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from faulty_os import FAULTS, KINDS, one_fault
from hypothesis import given, settings
from hypothesis import strategies as st
from ordinary_user import own_folder, run_as_ordinary_user

from store import disk
from store.errors import BadName, Conflict, NotFound, StoreError
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


def kept(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "history").iterdir()}


def test_a_script_is_saved_listed_read_and_saved_again(files: ScriptFiles, tmp_path: Path) -> None:
    first = files.save("a/b/x", b"one\n", None)
    assert first == sha(b"one\n")
    assert files.read("a/b/x.py") == b"one\n"
    second = files.save("a/b/x.py", b"two\n", first)
    third = files.save("a/b/x.py", b"", second)
    assert files.read("a/b/x.py") == b""
    assert third == sha(b"")
    assert kept(tmp_path) == {first: b"one\n", second: b"two\n"}
    assert [(file.path, file.size, file.problem) for file in files.list()] == [("a/b/x.py", 0, None)]
    assert files.mtime("a/b/x.py") == pytest.approx((tmp_path / "scripts/a/b/x.py").stat().st_mtime)
    assert temps(tmp_path) == []


def test_only_a_script_of_exactly_that_path_is_there(files: ScriptFiles, tmp_path: Path) -> None:
    files.save("a/x.py", b"", None)
    (tmp_path / "outside.py").write_text("")
    (tmp_path / "scripts" / "folder.py").mkdir()
    (tmp_path / "scripts" / "link.py").symlink_to(tmp_path / "outside.py")
    assert files.there("a/x.py")
    assert not any(map(files.there, ("a/x", "x.py", "a//x.py", "./a/x.py", "a/../a/x.py", "../outside.py")))
    assert not any(map(files.there, ("folder.py", "link.py", "\0.py", "")))


def test_mode_is_kept_and_new_files_follow_the_umask(files: ScriptFiles, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        base = files.save("x.py", b"1", None)
    finally:
        os.umask(old)
    path = tmp_path / "scripts/x.py"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o755)
    files.save("x.py", b"2", base)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_changed_file_is_a_conflict_with_both_texts(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"mine 1", None)
    (tmp_path / "scripts/x.py").write_bytes(b"theirs")
    with pytest.raises(Conflict) as conflict:
        files.save("x.py", b"mine 2", base)
    assert (conflict.value.current, conflict.value.sha256) == (b"theirs", sha(b"theirs"))
    assert files.read("x.py") == b"theirs"
    assert files.save("x.py", b"mine 2", conflict.value.sha256) == sha(b"mine 2")
    assert kept(tmp_path)[sha(b"theirs")] == b"theirs"
    assert temps(tmp_path) == []


def test_a_new_script_never_replaces_one_that_is_there(files: ScriptFiles) -> None:
    files.save("x.py", b"1", None)
    with pytest.raises(Conflict) as conflict:
        files.save("x.py", b"2", None)
    assert conflict.value.current == b"1"
    assert files.save("x.py", b"1", None) == sha(b"1"), "asked again after a lost answer"


def test_equal_bytes_are_no_conflict_whatever_the_base(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    (tmp_path / "scripts/x.py").write_bytes(b"2")
    assert files.save("x.py", b"2", base) == sha(b"2")


def test_a_script_that_has_gone_is_not_found(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    (tmp_path / "scripts/x.py").unlink()
    with pytest.raises(NotFound, match=r"There is no script x\.py"):
        files.save("x.py", b"2", base)
    for missing in ("x.py", "no/such.py"):
        with pytest.raises(NotFound):
            files.read(missing)
    assert files.list() == []


def test_bad_names_and_sizes_change_nothing(files: ScriptFiles, tmp_path: Path) -> None:
    for name in ("../x.py", "a/../../x.py", "/x.py", "x.txt", "a\n.py", ""):
        with pytest.raises(BadName):
            files.save(name, b"1", None)
        with pytest.raises(BadName):
            files.read(name)
    with pytest.raises(StoreError, match="2,097,153 bytes"):
        files.save("x.py", b"x" * (MAX_SIZE + 1), None)
    assert list((tmp_path / "scripts").iterdir()) == []
    files.save("x.py", b"x" * MAX_SIZE, None)


def test_links_pipes_sockets_and_folders_are_refused_and_listed_with_a_reason(
    files: ScriptFiles, tmp_path: Path
) -> None:
    scripts = tmp_path / "scripts"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_bytes(b"secret")
    (scripts / "link.py").symlink_to(outside / "secret.py")
    (scripts / "dangling.py").symlink_to(tmp_path / "nowhere")
    (scripts / "loop.py").symlink_to("loop.py")
    (scripts / "folder").symlink_to(outside)
    (scripts / "dir.py").mkdir()
    (scripts / "dir.py" / "inner.py").write_bytes(b"")
    os.mkfifo(scripts / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(scripts / "socket.py"))
    listed = {file.path: file.problem or "" for file in files.list()}
    assert {path: reason.split(";")[0] for path, reason in listed.items()} == {
        "link.py": "It is a symbolic link",
        "dangling.py": "It is a symbolic link",
        "loop.py": "It is a symbolic link",
        "folder": "It is a symbolic link",
        "dir.py": "This folder is left out: a folder's name must not end in .py.",
        "pipe.py": "It is a named pipe",
        "socket.py": "It is a socket",
    }
    for name in ("link.py", "loop.py", "dir.py", "pipe.py", "socket.py", "folder/secret.py"):
        with pytest.raises(StoreError, match=r"is a .*; only ordinary files are used|part of its path is"):
            files.read(name)
        for base in (None, sha(b"secret")):
            with pytest.raises(StoreError):
                files.save(name, b"overwritten", base)
    with pytest.raises(StoreError):
        files.save("folder/new.py", b"x", None)
    assert [path.name for path in outside.iterdir()] == ["secret.py"]
    assert (outside / "secret.py").read_bytes() == b"secret"
    assert temps(tmp_path) == []


def test_the_scripts_folder_swapped_for_a_link_is_refused(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"1", None)
    (tmp_path / "scripts").rename(tmp_path / "moved")
    (tmp_path / "scripts").symlink_to(tmp_path / "moved")
    for action in (lambda: files.list(), lambda: files.read("x.py"), lambda: files.save("x.py", b"2", base)):
        with pytest.raises(StoreError):
            action()
    assert (tmp_path / "moved/x.py").read_bytes() == b"1"


def test_foreign_names_are_listed_escaped_with_a_reason(files: ScriptFiles, tmp_path: Path) -> None:
    scripts = os.fsencode(tmp_path / "scripts")
    for name in (b"a\nb.py", b"\x1b]0;title\x07.py", b"caf\xff.py", b"e\xcc\x81.py", b"x" * 230 + b".py"):
        with open(os.path.join(scripts, name), "wb") as file:
            file.write(b"1")
    (tmp_path / "scripts/.hidden.py").write_bytes(b"")
    (tmp_path / "scripts/notes.txt").write_bytes(b"")
    (tmp_path / "scripts/__pycache__").mkdir()
    (tmp_path / "scripts/__pycache__/x.py").write_bytes(b"")
    (tmp_path / "scripts/large.py").write_bytes(b"x" * (MAX_SIZE + 1))
    (tmp_path / "scripts/good.py").write_bytes(b"")
    listed = files.list()
    assert all(file.path.isprintable() and file.path.encode() for file in listed)
    problems = {file.path: file.problem for file in listed}
    assert problems.pop("good.py") is None
    assert "it may have 2,097,152" in (problems.pop("large.py") or "")
    assert set(problems) == {"a\\nb.py", "\\x1b]0;title\\x07.py", "caf\\udcff.py", "e\u0301.py", "x" * 230 + ".py"}
    assert all(problem and problem.startswith("Its name cannot be used: ") for problem in problems.values())
    with pytest.raises(StoreError, match="too large"):
        files.read("large.py")


def test_folders_too_deep_are_listed_not_entered(files: ScriptFiles, tmp_path: Path) -> None:
    deep = tmp_path / "scripts" / Path(*"abcdefghij")
    deep.mkdir(parents=True)
    (deep / "x.py").write_bytes(b"")
    files.save("a/b/c/d/e/f/g/x.py", b"", None)
    listed = {file.path: file.problem for file in files.list()}
    assert listed == {"a/b/c/d/e/f/g/x.py": None, "a/b/c/d/e/f/g/h": listed["a/b/c/d/e/f/g/h"]}
    assert "deep" in (listed["a/b/c/d/e/f/g/h"] or "")


def test_leftovers_of_a_crash_go_to_the_history(files: ScriptFiles, tmp_path: Path) -> None:
    files.save("a/x.py", b"1", None)
    ours = tmp_path / "scripts/a/.x.py.0123456789ab.gatewright-tmp"
    ours.write_bytes(b"swapped out, not kept yet")
    foreign = [tmp_path / "scripts/.x.py.gatewright-tmp", tmp_path / "scripts/.x.py.0123456789ab.swp"]
    for path in foreign:
        path.write_bytes(b"not ours")
    assert files.recover() == 1
    assert files.recover() == 0
    assert not ours.exists()
    assert all(path.read_bytes() == b"not ours" for path in foreign)
    assert kept(tmp_path) == {sha(b"swapped out, not kept yet"): b"swapped out, not kept yet"}


def test_a_leftover_that_is_kept_already_under_another_name_goes_too(files: ScriptFiles, tmp_path: Path) -> None:
    """A crash came between the link into the history and the end of the first name: rename(2) would leave both."""
    files.save("a/x.py", b"1", None)
    ours = tmp_path / "scripts/a/.x.py.0123456789ab.gatewright-tmp"
    ours.write_bytes(b"linked")
    os.link(ours, tmp_path / "history" / sha(b"linked"))
    files.recover()
    assert not ours.exists()
    assert kept(tmp_path) == {sha(b"linked"): b"linked"}


def test_an_editor_that_writes_into_the_replaced_file_loses_nothing(files: ScriptFiles, tmp_path: Path) -> None:
    base = files.save("x.py", b"old", None)
    with open(tmp_path / "scripts/x.py", "r+b", buffering=0) as editor:
        files.save("x.py", b"new", base)
        editor.write(b"late words")
    assert files.read("x.py") == b"new"
    assert b"late words" in kept(tmp_path).values()


def test_without_an_atomic_swap_saves_work_and_conflicts_are_found(
    files: ScriptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(folder: int, first: str, second: str) -> None:
        raise disk.ExchangeUnsupportedError(errno.EINVAL, "no exchange here")

    monkeypatch.setattr(disk, "exchange", unsupported)
    base = files.save("x.py", b"1", None)
    second = files.save("x.py", b"2", base)
    assert kept(tmp_path) == {base: b"1"}
    with pytest.raises(Conflict):
        files.save("x.py", b"3", base)
    assert files.read("x.py") == b"2"
    assert files.save("x.py", b"3", second) == sha(b"3")
    assert temps(tmp_path) == []


def test_a_write_between_the_look_and_the_swap_is_put_back(
    files: ScriptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor renames its file over ours at the worst moments: before the swap, and again before it is undone."""
    path = tmp_path / "scripts/x.py"
    base = files.save("x.py", b"base", None)
    real = disk.exchange
    writes = iter([b"theirs 1", b"theirs 2"])
    swaps: list[str] = []

    def slow_exchange(folder: int, first: str, second: str) -> None:
        swaps.append(first)
        if (data := next(writes, None)) is not None:
            (tmp_path / "new").write_bytes(data)
            (tmp_path / "new").rename(path)
        real(folder, first, second)

    monkeypatch.setattr(disk, "exchange", slow_exchange)
    with pytest.raises(Conflict) as conflict:
        files.save("x.py", b"mine", base)
    assert conflict.value.current == b"theirs 1"
    assert path.read_bytes() == b"theirs 2"
    assert len(swaps) == 3, "in, back, and back again for the one who came in between"
    assert b"theirs 1" in kept(tmp_path).values()
    assert temps(tmp_path) == []


def test_words_written_into_our_file_before_the_swap_is_undone_stay_on_top(
    files: ScriptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some editors write in place: what they open may be our file, in place for an instant."""
    path = tmp_path / "scripts/x.py"
    base = files.save("x.py", b"base", None)
    real = disk.exchange
    steps = iter([lambda: path.write_bytes(b"theirs 1"), lambda: path.write_bytes(b"theirs 2")])

    def slow_exchange(folder: int, first: str, second: str) -> None:
        next(steps, lambda: None)()
        real(folder, first, second)

    monkeypatch.setattr(disk, "exchange", slow_exchange)
    with pytest.raises(Conflict) as conflict:
        files.save("x.py", b"mine", base)
    assert conflict.value.current == b"theirs 1"
    assert path.read_bytes() == b"theirs 2"
    assert b"theirs 1" in kept(tmp_path).values()
    assert temps(tmp_path) == []


def test_a_removal_between_the_swap_and_its_undoing_stands(
    files: ScriptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scripts/x.py"
    base = files.save("x.py", b"base", None)
    real = disk.exchange
    steps = iter([lambda: path.write_bytes(b"theirs"), path.unlink])

    def slow_exchange(folder: int, first: str, second: str) -> None:
        next(steps, lambda: None)()
        real(folder, first, second)

    monkeypatch.setattr(disk, "exchange", slow_exchange)
    with pytest.raises(Conflict):
        files.save("x.py", b"mine", base)
    assert not path.exists()
    assert b"theirs" in kept(tmp_path).values()
    assert temps(tmp_path) == []


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("code", FAULTS)
def test_a_failing_system_call_is_a_sentence_and_loses_nothing(tmp_path: Path, code: int, new: bool) -> None:
    """Each call of a save fails once, in turn, until a save gets by without meeting the fault."""
    for at in range(1, 200):
        root = tmp_path / str(at)
        root.mkdir()
        files = make_files(root)
        name = "a/b/x.py" if new else "x.py"
        base = None if new else files.save(name, b"old", None)
        refusal: StoreError | None = None
        with one_fault(code, at) as fault:
            try:
                files.save(name, b"new", base)
            except StoreError as error:
                refusal = error
        saved = refusal is None
        if refusal is not None:
            assert refusal.sentence.endswith(".")
            assert isinstance(refusal, KINDS.get(code, StoreError))
        if fault.hit is None:
            assert saved
            break
        path = root / "scripts" / name
        found = path.read_bytes() if path.exists() else None
        everything = {found, *kept(root).values(), *(temp.read_bytes() for temp in temps(root))}
        assert found in ({b"new", None} if new else {b"new", b"old"}), fault.hit
        assert new or b"old" in everything, fault.hit
        assert not saved or found == b"new", fault.hit
        files.recover()
        assert temps(root) == []
        assert new or found == b"old" or b"old" in kept(root).values()
        files.save(name, b"new", sha(found) if found is not None else None)
        assert files.read(name) == b"new"
    else:
        pytest.fail("the save never got by")
    assert at > 15, "too few calls for the whole protocol"


def test_an_account_without_rights_gets_a_sentence_and_the_old_text_stays() -> None:
    with own_folder() as root:
        outcome = run_as_ordinary_user(lambda: _save_without_rights(root))
    assert outcome == (
        "NotAllowed",
        "Cannot save x.py: permission denied.",
        b"old",
        ["This folder cannot be read: Permission denied."],
    )


def _save_without_rights(root: Path) -> tuple[str, str, bytes, list[str | None]]:
    files = make_files(root)
    base = files.save("x.py", b"old", None)
    (root / "scripts/closed").mkdir(mode=0)
    (root / "scripts").chmod(0o500)
    try:
        files.save("x.py", b"new", base)
    except StoreError as error:
        problems = [file.problem for file in files.list() if file.problem]
        return type(error).__name__, error.sentence, files.read("x.py"), problems
    finally:
        (root / "scripts").chmod(0o700)
        (root / "scripts/closed").chmod(0o700)
    return "saved", "", b"", []


def test_savers_at_once_lose_no_update(files: ScriptFiles) -> None:
    """Four threads add lines by read, append, save; a conflict means: again from what is there now."""
    files.save("x.py", b"", None)
    conflicts: list[int] = []

    def add(saver: int) -> None:
        for number in range(25):
            while True:
                before = files.read("x.py")
                try:
                    files.save("x.py", before + f"{saver}:{number}\n".encode(), sha(before))
                    break
                except Conflict:
                    conflicts.append(saver)

    threads = [threading.Thread(target=add, args=(saver,)) for saver in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    lines = files.read("x.py").decode().split()
    assert sorted(lines) == sorted(f"{saver}:{number}" for saver in range(4) for number in range(25))
    assert conflicts, "the savers never met"


def test_an_editor_that_takes_no_part_loses_nothing(files: ScriptFiles, tmp_path: Path) -> None:
    """It replaces the file by rename again and again. Whatever it wrote is replaced by itself, kept, or in place."""
    files.save("x.py", b"start", None)
    done = threading.Event()
    replaced: set[bytes] = set()
    written: set[bytes] = set()

    def edit() -> None:
        chance = random.Random(5)
        with disk.open_folder(tmp_path / "scripts") as folder:
            while not done.wait(chance.random() * 0.003):
                data = f"editor {len(written)}".encode()
                (tmp_path / "scripts/draft").write_bytes(data)
                # A swap is a rename that also tells what it replaced.
                disk.exchange(folder, "draft", "x.py")
                replaced.add((tmp_path / "scripts/draft").read_bytes())
                written.add(data)

    editor = threading.Thread(target=edit)
    editor.start()
    saved: set[bytes] = set()
    conflicts = 0
    deadline = time.monotonic() + 30
    while (len(saved) < 100 or conflicts < 20) and time.monotonic() < deadline:
        data = f"saver {len(saved)} {conflicts}".encode()
        try:
            files.save("x.py", data, sha(files.read("x.py")))
            saved.add(data)
        except Conflict:
            conflicts += 1
    done.set()
    editor.join(60)
    assert len(saved) >= 100
    assert conflicts >= 20
    accounted = replaced | set(kept(tmp_path).values()) | {files.read("x.py")}
    assert written | saved <= accounted
    assert temps(tmp_path) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=20), st.booleans(), st.booleans()), max_size=12))
def test_any_order_of_saves_and_outside_writes(steps: list[tuple[str, bytes, bool, bool]]) -> None:
    """Against a model: a save succeeds if and only if its base is what is on disk, and nothing ever gets lost."""
    with own_folder() as root:
        files = make_files(root)
        model: dict[str, bytes] = {}
        bases: dict[str, str | None] = {"a": None, "b": None}
        for name, data, outside, reload in steps:
            path = f"{name}.py"
            if outside:
                (root / "scripts" / path).write_bytes(data)
                model[name] = data
            else:
                if reload:
                    bases[name] = sha(model[name]) if name in model else None
                expected = bases[name] == (sha(model[name]) if name in model else None) or model.get(name) == data
                before = model.get(name)
                try:
                    bases[name] = files.save(path, data, bases[name])
                    assert expected
                    model[name] = data
                    assert before in (None, data) or kept(root)[sha(before)] == before
                except (Conflict, NotFound):
                    assert not expected
            assert {file.path: files.read(file.path) for file in files.list()} == {
                f"{k}.py": v for k, v in model.items()
            }
        assert temps(root) == []
