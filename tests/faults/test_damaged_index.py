"""Damages of ``index.db`` that leave it looking whole, or its folder closed: the rows are those of the files again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ordinary_user import own_folder, run_as_ordinary_user
from test_store_index import FULL, Place, found

from store.files.save import sha256
from store.index.reconcile import Reconciler

COUNT = 120


def header(index: Path) -> None:
    with index.open("r+b") as file:
        file.write(os.urandom(100))


def schema_page(index: Path) -> None:
    with index.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(3_900))


def longer(index: Path) -> None:
    with index.open("ab") as file:
        file.write(os.urandom(10_000))


def garbage_log(index: Path) -> None:
    Path(f"{index}-wal").write_bytes(os.urandom(100_000))


def garbage_journal(index: Path) -> None:
    Path(f"{index}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + os.urandom(8_000))


def log_is_a_folder(index: Path) -> None:
    os.mkdir(f"{index}-wal")


def index_is_a_folder(index: Path) -> None:
    index.unlink()
    index.mkdir()


def another_index(index: Path) -> None:
    """That of another project, whole and right, but not of these files."""
    shutil.copy(index.with_name("other.db"), index)


async def rows(place: Place, expected: dict[str, str]) -> list[str]:
    """Open the index, and hold it against the files; what it says of itself."""
    opened = await Reconciler.open(place.files, place.index)
    try:
        assert {row.path: row.sha256 for row in await opened.scripts()} == expected
        assert await found(opened, "wrapper 77") == ["area/script_77.py"]
        assert (await opened.rebuild(lambda _, __: None)).scripts == len(expected)
        return opened.problems
    finally:
        await opened.close()


def fill(place: Place) -> dict[str, str]:
    texts = {f"area/script_{number}.py": FULL.replace("Wrapper", f"Wrapper {number}") for number in range(COUNT)}
    for path, text in texts.items():
        place.write(path, text)
    return {path: sha256(text.encode()) for path, text in texts.items()}


@pytest.mark.parametrize(
    "damage",
    [
        header, schema_page, longer, garbage_log, garbage_journal, log_is_a_folder, index_is_a_folder, another_index
    ],
    ids=lambda damage: damage.__name__,
)  # fmt: skip
async def test_a_damaged_index_is_right_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    other.write("area/script_1.py", "no wrapper at all\n")
    opened = await other.open()
    await opened.scripts()
    await opened.close()
    place = Place(tmp_path)
    shutil.copy(other.index, tmp_path / "other.db")
    expected = fill(place)
    assert await rows(place, expected) == []
    damage(place.index)
    problems = await rows(place, expected)
    assert all(problem.endswith(".") for problem in problems)
    assert await rows(place, expected) == problems, "and it stays right"


@pytest.mark.parametrize("part", ["half", "tail", "middle"])
async def test_a_log_that_lost_its_end_costs_only_time(tmp_path: Path, part: str) -> None:
    """SQLite drops what follows a bad frame of its log, and says nothing: the files say what is missing."""
    place = Place(tmp_path)
    expected = fill(place)
    opened = await place.open()
    await opened.scripts()
    place.write("late.py", "chrysanthemum\n")
    await opened.saved("late.py")
    log = Path(f"{place.index}-wal").read_bytes()
    index = place.index.read_bytes()
    await opened.close()
    place.index.write_bytes(index)
    cut = {"half": (len(log) // 2, len(log)), "tail": (len(log) - 500, len(log)), "middle": (9_000, 9_100)}[part]
    Path(f"{place.index}-wal").write_bytes(log[: cut[0]] + os.urandom(cut[1] - cut[0]) + log[cut[1] :])
    assert await rows(place, expected | {"late.py": sha256(b"chrysanthemum\n")}) == []


def test_an_account_that_cannot_write_its_index_lists_and_searches() -> None:
    with own_folder() as folder:

        def look() -> list[str]:
            import asyncio

            place = Place(folder)
            expected = fill(place)
            asyncio.run(rows(place, expected))
            place.index.chmod(0o400)
            folder.chmod(0o500)
            try:
                return asyncio.run(rows(place, expected))
            finally:
                folder.chmod(0o700)

        problems = run_as_ordinary_user(look)
    assert len(problems) == 1
    assert "kept in memory" in problems[0]
