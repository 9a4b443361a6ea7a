"""The collector of what a run leaves: any frames in any order, and never more than the limit, never a bad name."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.runs import Outcome
from engine.pool.frames import ProtocolError
from engine.pool.outcome import Ending, ReturnedFile
from engine.pool.returned import ReturnedFiles
from engine.worker.returned import MAX_FILES, name_problem
from engine.worker.wire import CHUNK, CHUNK_DATA

LIMIT = 3 * CHUNK_DATA
OK = Ending(Outcome.OK, 0.1, "")

BAD_NAMES = [
    "", "/", "/etc/passwd", "..", "../x", "a/../b", "a//b", "a/", "/a", ".", "./a", "a/.", "a\0b", "a\nb", "\x1b[2J",
    "a\x7f", "a\x85b", "\u202egnp.exe", "x" * 256, "/".join("abcdefghi"), "\ud800",
]  # fmt: skip


def chunk(name: str | bytes, offset: int = 0, piece: bytes = b"") -> bytes:
    raw = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
    return CHUNK.pack(len(raw), offset) + raw + piece


def collected(limit: int, *payloads: bytes) -> tuple[ReturnedFile, ...]:
    files = ReturnedFiles(limit)
    for payload in payloads:
        files.take(payload)
    return files.added_to(OK).files


def held(files: ReturnedFiles) -> int:
    return sum(len(file.data) for file in files._files.values())


names = st.sampled_from(["a", "b", "a/b", "ü.txt"]) | st.sampled_from(BAD_NAMES) | st.text(max_size=300)
pieces = st.binary(max_size=20) | st.sampled_from([bytes(CHUNK_DATA), bytes(CHUNK_DATA - 1), bytes(CHUNK_DATA + 1)])
offsets = st.sampled_from([0, 0, 0, CHUNK_DATA, 2 * CHUNK_DATA, 1]) | st.integers(0, 2**32 - 1)
payloads = st.builds(chunk, names, offsets, pieces) | st.binary(max_size=100)


@given(st.lists(payloads, max_size=60), st.sampled_from([0, 10, LIMIT]))
def test_any_frames_give_files_within_the_limit_or_a_refusal(sent: list[bytes], limit: int) -> None:
    files = ReturnedFiles(limit)
    with contextlib.suppress(ProtocolError):
        for payload in sent:
            files.take(payload)
            assert held(files) <= limit
    assert held(files) <= limit
    for file in files.added_to(OK).files:
        assert name_problem(file.name) is None
        assert file.sha256 == hashlib.sha256(file.data).hexdigest()
    assert len(files.added_to(OK).files) <= MAX_FILES


@given(st.dictionaries(st.sampled_from(["a", "b/c", "d e", "ü"]), st.integers(0, 200_000)))
def test_what_an_honest_child_sends_arrives_whole(sizes: dict[str, int]) -> None:
    contents = {name: bytes(n % 251 for n in range(size)) for name, size in sizes.items()}
    sent = []
    for name, content in contents.items():
        for offset in range(0, max(1, len(content)), CHUNK_DATA):
            sent.append(chunk(name, offset, content[offset : offset + CHUNK_DATA]))
    got = collected(1 << 20, *sent)
    assert {file.name: bytes(file.data) for file in got} == contents
    assert [file.name for file in got] == list(contents)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_bad_name_is_accepted(name: str) -> None:
    assert name_problem(name) is not None
    with pytest.raises(ProtocolError, match="name"):
        collected(LIMIT, chunk(name, 0, b"x"))


@pytest.mark.parametrize("name", ["a", "a b", "...", ".hidden", "-rf", "ü/ö/ä", "a/b/c/d/e/f/g/h", "x" * 255, "~"])
def test_plain_names_are_accepted(name: str) -> None:
    assert name_problem(name) is None
    assert collected(LIMIT, chunk(name, 0, b"x"))[0].name == name


FULL = bytes(CHUNK_DATA)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ([b""], "without its head"),
        ([CHUNK.pack(5, 0) + b"abc"], "do not add up"),
        ([CHUNK.pack(2000, 0) + b"a" * 2000], "do not add up"),
        ([chunk("a", 0, FULL + b"x")], "do not add up"),
        ([chunk(b"\xff\xfe", 0, b"x")], "not UTF-8"),
        ([chunk("a"), chunk("a")], "twice"),
        ([chunk("a", 0, b"x"), chunk("b"), chunk("a", 0, b"y")], "twice"),
        ([chunk("a", 5, b"x")], "does not follow"),
        ([chunk("a", 0, b"x"), chunk("a", 1, b"y")], "does not follow"),
        ([chunk("a", 0, FULL), chunk("a", CHUNK_DATA)], "does not follow"),
        ([chunk("a", 0, FULL), chunk("a", 2 * CHUNK_DATA, b"x")], "does not follow"),
        ([chunk("a", 0, FULL), chunk("b", CHUNK_DATA, b"x")], "does not follow"),
        ([chunk("a", 0, FULL), chunk("b"), chunk("a", CHUNK_DATA, b"x")], "does not follow"),
        ([chunk(f"{n}") for n in range(MAX_FILES + 1)], "more than 32 files"),
        ([chunk("a", 0, FULL), chunk("b", 0, FULL), chunk("c", 0, FULL), chunk("d", 0, b"x")], "than its limit allows"),
    ],
)
def test_what_no_honest_child_sends_is_refused(sent: list[bytes], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        collected(LIMIT, *sent)


def test_a_run_that_did_not_end_well_leaves_no_files() -> None:
    files = ReturnedFiles(LIMIT)
    files.take(chunk("a", 0, b"x"))
    assert files.added_to(Ending(Outcome.SCRIPT_ERROR, 0.1, "")).files == ()
    assert ReturnedFiles(LIMIT).added_to(OK) is OK
