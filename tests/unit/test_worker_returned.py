"""The child's side of returned files, against a real folder with everything that a script can put there."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from engine.models.runs import Outcome
from engine.pool.outcome import Ending, from_result
from engine.pool.returned import ReturnedFiles
from engine.worker import returned
from engine.worker.channel import Channel
from engine.worker.results import encode_head, encode_result, with_note
from engine.worker.returned import named_files, send_files
from engine.worker.wire import CHUNK_DATA, MAX_CHUNK_FRAME, Frame

LIMIT = 1 << 20


class Wire:
    """A channel whose frames go straight to the engine's collector."""

    def __init__(self) -> None:
        self.files = ReturnedFiles(LIMIT)
        self.frames = 0

    def send(self, frame: int, payload: bytes) -> None:
        assert frame == Frame.CHUNK
        assert len(payload) <= MAX_CHUNK_FRAME
        self.frames += 1
        self.files.take(payload)

    def got(self) -> dict[str, bytes]:
        return {file.name: bytes(file.data) for file in self.files.added_to(Ending(Outcome.OK, 0.0, "")).files}


def sent(folder: Path, *names: str, limit: int = LIMIT) -> tuple[dict[str, bytes], str]:
    """What arrives, and the note."""
    before = len(os.listdir("/proc/self/fd"))
    wire = Wire()
    note = send_files(cast("Channel", wire), str(folder), list(names), limit)
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"
    return wire.got(), note


def test_files_arrive_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "empty").touch()
    (tmp_path / "whole").write_bytes(b"x" * CHUNK_DATA)
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    (tmp_path / "sub" / "deeper" / "ü b.txt").write_text("deep")
    files, note = sent(tmp_path, "a.bin", "empty", "sub/deeper/ü b.txt", "whole")
    assert note == ""
    assert files == {
        "a.bin": bytes(range(256)) * 1000, "empty": b"", "sub/deeper/ü b.txt": b"deep", "whole": b"x" * CHUNK_DATA,
    }  # fmt: skip


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Path]:
    """A scratch folder beside a secret, with everything that is no ordinary file."""
    (tmp_path / "secret").write_text("host")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("host")
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "fine").write_text("fine")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("../secret")
    (folder / "inner_link").symlink_to("fine")
    (folder / "loop").symlink_to("loop")
    (folder / "linked_folder").symlink_to("../outside")
    (folder / "device").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        yield folder


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("link", "symbolic link"),
        ("inner_link", "symbolic link"),
        ("loop", "symbolic link"),
        ("device", "symbolic link"),
        ("linked_folder/secret", "symbolic link"),
        ("fine/x", "no folder"),
        ("fifo", "not an ordinary file"),
        ("socket", "not an ordinary file"),
        ("folder", "not an ordinary file"),
        ("missing", "no such file"),
        ("folder/missing", "no such file"),
        ("x" * 255 + "y", "1 to 255 characters"),
        ("", "1 to 255 characters"),
        ("../secret", "plain path"),
        ("folder/../../secret", "plain path"),
        ("/etc/hostname", "plain path"),
        ("a\x1b[2J", "control characters"),
        ("a\0", "control characters"),
        ("\ud800", "control characters"),
        ("a/" * 8 + "b", "8 levels"),
    ],
)
def test_what_is_no_ordinary_file_of_the_folder_is_named_in_the_note(zoo: Path, name: str, why: str) -> None:
    files, note = sent(zoo, name, "fine")
    assert files == {"fine": b"fine"}, "the others come all the same"
    assert why in note
    assert note.isprintable()
    assert len(note) < 300


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "closed").write_text("x")
    (tmp_path / "closed").chmod(0)
    assert "Permission denied" in sent(tmp_path, "closed")[1]


def test_a_sparse_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "small").write_text("x")
    files, note = sent(tmp_path, "huge", "small")
    assert files == {"small": b"x"}
    assert "1,099,511,627,776 bytes" in note


def test_the_limit_counts_all_files_together(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 400)
    files, note = sent(tmp_path, "a", "b", "c", limit=1000)
    assert list(files) == ["a", "b"]
    assert note == "The file 'c' was not kept: it has 400 bytes, and the run may leave 200 more."
    assert sent(tmp_path, "a", limit=0)[0] == {}


def test_more_files_than_a_run_can_leave(tmp_path: Path) -> None:
    names = [f"{n}" for n in range(40)]
    for name in names:
        (tmp_path / name).touch()
    files, note = sent(tmp_path, *names)
    assert list(files) == names[:32]
    assert note == "The result names 40 files; a run can leave 32."


def test_a_deep_folder_ends_at_its_level(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefg")
    deep.mkdir(parents=True)
    (deep / "h").write_text("8")
    (deep / "h2").mkdir()
    (deep / "h2" / "i").write_text("9")
    files, note = sent(tmp_path, "a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h2/i")
    assert files == {"a/b/c/d/e/f/g/h": b"8"}
    assert "8 levels" in note


@contextmanager
def changing(path: Path, change: bytes | None) -> Iterator[None]:
    """A file to which somebody appends all the time, or, without ``change``, cuts it and makes it long again."""
    path.write_bytes(b"x" * 3 * CHUNK_DATA)
    began, stop = threading.Event(), threading.Event()

    def work() -> None:
        with open(path, "ab") as file:
            began.set()  # from now on the number of open descriptors stays
            while not stop.is_set():
                if change is None:
                    file.truncate(10)
                    file.truncate(5 * CHUNK_DATA)
                else:
                    file.write(change)
                    file.flush()

    writer = threading.Thread(target=work)
    writer.start()
    assert began.wait(60)
    try:
        yield
    finally:
        stop.set()
        writer.join(60)


@pytest.mark.parametrize("change", [b"x" * 7000, None], ids=["growing", "shrinking"])
def test_a_file_that_changes_while_it_is_read_ends_and_breaks_nothing(tmp_path: Path, change: bytes | None) -> None:
    path = tmp_path / "log"
    path.touch()
    with changing(path, change):
        for _ in range(50):
            files, note = sent(tmp_path, "log")
            assert note == "" or "bytes, and the run may" in note
            assert len(files.get("log", b"")) <= LIMIT
            if path.stat().st_size > LIMIT // 2:
                os.truncate(path, 0)


def test_a_file_that_grew_is_sent_as_long_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a" * (CHUNK_DATA + 10))
    read = returned._read

    def growing(fd: int, size: int) -> bytes:
        with open(path, "ab") as file:
            file.write(b"b" * 100_000)
        return read(fd, size)

    monkeypatch.setattr(returned, "_read", growing)
    assert sent(tmp_path, "log")[0] == {"log": b"a" * (CHUNK_DATA + 10)}


def test_short_reads_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(2 * CHUNK_DATA + 77)
    (tmp_path / "f").write_bytes(content)
    read = returned._read
    monkeypatch.setattr(returned, "_read", lambda fd, size: read(fd, min(size, 20_000)))
    assert sent(tmp_path, "f")[0] == {"f": content}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({}, []),
        ({"files": 3}, []),
        ({"files": "abc"}, []),
        ({"files": []}, []),
        ({"files": ["a", 3]}, []),
        ({"files": [b"a"]}, []),
        ({"files": {"a": 1}}, []),
        ({"files": ["a", "b", "a"]}, ["a", "b"]),
        ({"files": ("a",)}, ["a"]),
    ],
)
def test_only_a_list_of_texts_names_files(value: dict[str, Any], names: list[str]) -> None:
    assert named_files(value) == names


def test_a_note_is_added_to_whatever_result_there_is() -> None:
    plain = encode_result({"a": [1]}, LIMIT)
    assert with_note(plain, "") is plain
    noted = from_result(with_note(plain, "One."), LIMIT, 0.1, "")
    assert (noted.outcome, noted.value, noted.note) == (Outcome.OK, {"a": [1]}, "One.")
    text_only = with_note(encode_head(text="{...}", note="No JSON."), "One.")
    ending = from_result(text_only, LIMIT, 0.1, "")
    assert (ending.has_value, ending.text, ending.note) == (False, "{...}", "No JSON. One.")
    empty = from_result(with_note(encode_result(None, LIMIT), "One."), LIMIT, 0.1, "")
    assert (empty.has_value, empty.note) == (False, "One.")
