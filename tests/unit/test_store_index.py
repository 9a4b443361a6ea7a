"""The index of scripts: what it gives back, what it survives, what a search finds."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import StoreError
from store.files.save import sha256
from store.files.scripts import ScriptFiles
from store.index import database as index_module
from store.index.missing import paired
from store.index.reconcile import Reconciler
from store.index.scan import QUIET_NS, look, settled_stamps
from store.index.search import search

FULL = """# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas>=2"]
# [tool.gatewright]
# title = "Wrapper log digest"
# description = "Errors by logger"
# kind = "macro"
# entrypoint = "main"
# enabled = false
# tags = ["logs", "übung"]
# preload = ["numpy"]
# [tool.gatewright.params.hours]
# type = "int"
# default = 24
# help = "look back"
# [tool.gatewright.params.level]
# type = "choice"
# choices = ["low", "high"]
# [tool.gatewright.params.names]
# type = "list"
# default = ["a", 1, 2.5, true]
# [tool.gatewright.limits]
# timeout = 60
# memory = "1 GiB"
# [tool.gatewright.permissions]
# read = ["/usr/local/bin/ignition/logs", 2026-01-01]
# ///
def main(hours, level, names):
    return read_csv(hours)
"""


class Place:
    """A folder of scripts and its index."""

    def __init__(self, root: Path) -> None:
        self.scripts = root / "scripts"
        self.history = root / "history"
        self.index = root / "index.db"
        self.scripts.mkdir()
        self.history.mkdir()
        self.files = ScriptFiles(self.scripts, self.history)

    def write(self, path: str, text: str) -> None:
        file = self.scripts / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    async def open(self) -> Reconciler:
        return await Reconciler.open(self.files, self.index)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def reconciler(place: Place) -> AsyncIterator[Reconciler]:
    opened = await place.open()
    yield opened
    await opened.close()


def quiet(_: str, __: int) -> None:
    """Progress that nobody watches."""


async def paths(reconciler: Reconciler) -> list[str]:
    return [row.path for row in await reconciler.scripts()]


def missing(reconciler: Reconciler) -> list[str]:
    return [path for path, one in reconciler._index.last.items() if one.missing]


async def found(reconciler: Reconciler, text: str) -> list[str]:
    return [hit.path for hit in await reconciler.search(text, 50)]


async def test_the_index_gives_back_what_the_file_said(place: Place) -> None:
    place.write("a/full.py", FULL)
    place.write("plain.py", "pass\n")
    place.write("bad.py", "# /// script\n# nothing\n")
    first = await place.open()
    before = await first.scripts()
    await first.close()
    again = await place.open()
    assert list(again._index.rows.values()) == sorted(before, key=lambda row: row.path) or again._index.rows == {
        row.path: row for row in before
    }
    assert await again.scripts() == before
    await again.close()


async def test_what_did_not_change_is_not_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("old.py", "1\n")
    opened = await place.open()
    await opened.scripts()
    row = opened._index.rows["old.py"]
    known = {"old.py": type(row)(row.path, row.front, row.sha256, row.size, row.stamp, row.seen_ns + QUIET_NS)}
    changes = look(place.files, known, settled_stamps(known))
    assert not changes
    monkeypatch.setattr("store.files.listing.read_listed", lambda *_: pytest.fail("it was read"))
    look(place.files, known, settled_stamps(known))
    await opened.close()


async def test_a_change_within_the_clocks_resolution_is_seen(place: Place, reconciler: Reconciler) -> None:
    place.write("quick.py", "one\n")
    await reconciler.scripts()
    file = place.scripts / "quick.py"
    times = file.stat()
    file.write_text("two\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [row.sha256 for row in await reconciler.scripts()] == [sha256(b"two\n")]


async def test_a_file_that_became_readable_is_read(place: Place, reconciler: Reconciler) -> None:
    os.mkfifo(place.scripts / "pipe.py")
    assert [row.front.problem for row in await reconciler.scripts()] == [
        "It is a named pipe; only ordinary files are used."
    ]
    (place.scripts / "pipe.py").unlink()
    place.write("pipe.py", "ok = 1\n")
    assert [row.front.problem for row in await reconciler.scripts()] == [None]


async def test_what_went_away_is_kept_until_it_is_decided(place: Place, reconciler: Reconciler) -> None:
    place.write("here.py", "here\n")
    place.write("gone.py", "whereabouts\n")
    await reconciler.scripts()
    (place.scripts / "gone.py").unlink()
    assert await paths(reconciler) == ["here.py"]
    assert missing(reconciler) == ["gone.py"]
    assert await found(reconciler, "whereabouts") == []
    place.write("gone.py", "back again\n")
    assert await paths(reconciler) == ["gone.py", "here.py"]
    assert missing(reconciler) == []
    assert await found(reconciler, "again") == ["gone.py"]
    (place.scripts / "gone.py").unlink()
    await reconciler.scripts()
    report = await reconciler.rebuild(quiet)
    assert report.removed == ["gone.py"]
    assert missing(reconciler) == ["gone.py"]
    assert (await reconciler.rebuild(quiet)).removed == []
    assert await reconciler.last_content("gone.py") == b"back again\n"
    await reconciler.decide(["gone.py"])
    assert missing(reconciler) == []


async def test_what_was_removed_on_purpose_is_not_missing(place: Place, reconciler: Reconciler) -> None:
    place.write("here.py", "here\n")
    place.write("gone.py", "whereabouts\n")
    await reconciler.scripts()
    (place.scripts / "gone.py").unlink()
    await reconciler.removed("gone.py")
    await reconciler.removed("never.py")
    assert await found(reconciler, "whereabouts") == []
    assert await paths(reconciler) == ["here.py"]
    assert missing(reconciler) == []


async def test_a_rebuild_compares_with_what_was_known(place: Place, reconciler: Reconciler) -> None:
    for path, text in {"stays.py": "s\n", "edited.py": "1\n", "from/x.py": "moved\n", "goes.py": "g\n"}.items():
        place.write(path, text)
    await reconciler.scripts()
    place.write("edited.py", "2\n")
    place.write("new.py", "n\n")
    place.write("to/x.py", "moved\n")
    (place.scripts / "from/x.py").unlink()
    (place.scripts / "goes.py").unlink()
    report = await reconciler.rebuild(quiet)
    assert (report.created, report.updated, report.removed) == (["new.py"], ["edited.py"], ["goes.py"])
    assert report.renamed == [("from/x.py", "to/x.py")]
    assert report.scripts == 4
    again = await reconciler.rebuild(quiet)
    assert (again.created, again.updated, again.renamed, again.removed) == ([], [], [], [])


async def test_a_rebuild_that_is_stopped_changes_nothing(place: Place, reconciler: Reconciler) -> None:
    for number in range(20):
        place.write(f"s{number}.py", "before\n")
    before = await reconciler.scripts()
    place.write("new.py", "after\n")

    class Stop(Exception):
        pass

    for stage, steps in (("reading", 5), ("indexing", 5), ("indexing", 22)):

        def stop(doing: str, done: int, stage: str = stage, steps: int = steps) -> None:
            if doing == stage and done >= steps:
                raise Stop

        with pytest.raises(Stop):
            await reconciler.rebuild(stop)
        assert sorted(reconciler._index.rows) == [row.path for row in before]
        stored = await reconciler._index._database.read(lambda c: c.execute("SELECT count(*) FROM script").fetchone())
        assert stored == (20,)
        assert len(await reconciler._index.search("before", 50)) == 20


async def test_what_is_saved_during_a_rebuild_is_in_it(place: Place, reconciler: Reconciler) -> None:
    place.write("a.py", "old words\n")
    await reconciler.scripts()

    def save(doing: str, done: int) -> None:
        if doing == "reading":
            place.write("a.py", "fresh words\n")
            place.write("b.py", "second\n")

    await reconciler.rebuild(save)
    assert await found(reconciler, "fresh") == ["a.py"]
    assert await found(reconciler, "second") == ["b.py"]


def test_the_same_content_is_paired_by_name_first(place: Place) -> None:
    for path in ("a/one.py", "b/two.py"):
        place.write(path, "twin\n")
    gone = look(place.files, {}, {}).entries
    for path in ("a/one.py", "b/two.py"):
        (place.scripts / path).unlink()
    for path in ("c/two.py", "c/three.py"):
        place.write(path, "twin\n")
    new = look(place.files, {}, {}).entries
    assert paired([entry.row for entry in gone], [entry.row for entry in new]) == [
        ("a/one.py", "c/three.py"),
        ("b/two.py", "c/two.py"),
    ]


def delete(index: Path) -> None:
    index.unlink()


def zero(index: Path) -> None:
    index.write_bytes(bytes(index.stat().st_size))


def empty(index: Path) -> None:
    index.write_bytes(b"")


def truncate(index: Path) -> None:
    os.truncate(index, index.stat().st_size // 2)


def garbage(index: Path) -> None:
    index.write_bytes(os.urandom(index.stat().st_size))


def garbage_inside(index: Path) -> None:
    with index.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(index.stat().st_size - 4096))


def other_schema(index: Path) -> None:
    index.unlink()
    with sqlite3.connect(index) as connection:
        connection.execute("CREATE TABLE script (path)")
    connection.close()
    index.chmod(0o600)


def other_values(index: Path) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE script SET params = 'no JSON', tags = 7")
    connection.close()


def readable_by_all(index: Path) -> None:
    index.chmod(0o644)


def link(index: Path) -> None:
    index.unlink()
    index.symlink_to("/etc/passwd")


DAMAGES = (
    delete, zero, empty, truncate, garbage, garbage_inside, other_schema, other_values, readable_by_all, link
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_lost_index_is_made_anew_from_the_files(
    place: Place, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(200):
        place.write(f"area/script_{number}.py", FULL.replace("Wrapper", f"Wrapper {number}"))
    first = await place.open()
    before = await first.scripts()
    await first.close()
    damage(place.index)
    caplog.clear()
    again = await place.open()
    after = await again.scripts()
    assert [row.same(old) for row, old in zip(after, before, strict=True)] == [True] * 200
    assert await found(again, "wrapper 77") == ["area/script_77.py"]
    assert again.problems == []
    assert len(caplog.records) == (damage is not delete)
    await again.close()
    assert place.index.stat().st_mode & 0o777 == 0o600


async def test_an_index_damaged_while_it_is_used_is_made_anew(place: Place) -> None:
    for number in range(300):
        place.write(f"s{number}.py", FULL)
    opened = await place.open()
    await opened.rebuild(quiet)
    await opened.close()
    opened = await place.open()
    garbage_inside(place.index)
    assert len(await opened.search("wrapper", 500)) == 300
    assert len(await opened.scripts()) == 300
    await opened.close()


async def test_an_index_that_cannot_be_a_file_is_kept_in_memory(place: Place) -> None:
    place.write("a.py", "findable\n")
    place.index.mkdir()
    (place.index / "inside").write_text("x")
    opened = await place.open()
    assert await paths(opened) == ["a.py"]
    assert await found(opened, "findable") == ["a.py"]
    assert ["kept in memory" in problem for problem in opened.problems] == [True]
    (place.index / "inside").unlink()
    place.index.rmdir()
    await opened.rebuild(quiet)
    assert opened.problems == []
    assert place.index.is_file()
    await opened.close()


async def test_a_full_disk_leaves_lists_and_searches_right(
    place: Place, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("a.py", "first\n")
    await reconciler.scripts()

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(index_module, "_apply", full)
    place.write("b.py", "second\n")
    assert await paths(reconciler) == ["a.py", "b.py"]
    assert await found(reconciler, "second") == ["b.py"]
    assert "disk is full" in reconciler.problems[0]


async def test_without_fts5_every_text_is_looked_through(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "has_full_text", lambda: False)
    place.write("a.py", "value = 100%_x\n")
    place.write("b.py", "value = 100 or x\n")
    opened = await place.open()
    await opened.rebuild(quiet)
    assert await found(opened, "VALUE 100%_") == ["a.py"]
    assert await found(opened, "alue") == ["a.py", "b.py"]
    assert "no full-text search" in opened.problems[0]
    await opened.close()
    monkeypatch.undo()
    again = await place.open()  # another schema: made anew
    assert await found(again, "value") == ["a.py", "b.py"]
    await again.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digest", ["log/digest.py", "other.py"]),
        ("dig", ["log/digest.py", "other.py"]),
        ("READ_CSV", ["log/digest.py"]),
        ("csv", ["log/digest.py"]),
        ("read_cs", ["log/digest.py"]),
        ("log wrap", ["log/digest.py"]),
        ("über", []),
        ("Übu", ["log/digest.py"]),
        ("_", ["log/digest.py"]),
        ("㈠", []),
        ("ubung", ["log/digest.py"]),
        ("digest nothing", []),
        ("read( ==", ["log/digest.py"]),
        ("==", ["other.py"]),
        ('" OR "', []),
        ("title:digest AND NOT (", []),
        ("*", []),
        ("\0", []),
        ("", []),
        ("   ", []),
        ("x" * 5_000, []),
        ("\ud800", []),
    ],
)
async def test_what_a_search_finds(place: Place, reconciler: Reconciler, text: str, expected: list[str]) -> None:
    place.write("log/digest.py", FULL)
    place.write("other.py", "# about the digest\nsame = 1 == 1\n")
    assert await found(reconciler, text) == expected


def test_no_text_is_too_strange_to_search_for(place: Place) -> None:
    place.write("log/digest.py", FULL)
    changes = look(place.files, {}, {})
    pieces = st.sampled_from(
        ["log", "dig", '"', "'", "*", "(", ")", "AND", "NOT", "NEAR(", "^", ":", "{", "-", "+", "_", "%"]
    )

    @given(st.lists(st.one_of(pieces, st.text(max_size=4)), max_size=6).map(" ".join))
    @settings(max_examples=400, deadline=None)
    def check(text: str) -> None:
        assert len(search(text, 5, connection, full_text=True)) <= 1
        assert len(search(text, 5, connection, full_text=False)) <= 1

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(index_module._TABLES + index_module._FULL_TEXT)
        index_module._apply(True, changes, connection)
        check()


async def test_a_hit_says_where(place: Place, reconciler: Reconciler) -> None:
    place.write("log/digest.py", FULL)
    hit = (await reconciler.search("read_csv", 5))[0]
    assert (hit.title, hit.line, hit.text) == ("Wrapper log digest", 29, "return read_csv(hours)")


async def test_the_limit_holds_and_titles_come_first(place: Place, reconciler: Reconciler) -> None:
    for number in range(30):
        place.write(f"a{number:02}.py", "# pressure\n")
    place.write("z/pressure.py", "pass\n")
    hits = await reconciler.search("pressure", 10)
    assert len(hits) == 10
    assert hits[0].path == "z/pressure.py"


async def test_many_at_once_see_the_same(place: Place, reconciler: Reconciler) -> None:
    for number in range(100):
        place.write(f"s{number}.py", f"# {number}\n")
    lists = await asyncio.gather(*(reconciler.scripts() for _ in range(5)), reconciler.rebuild(quiet))
    assert {len(rows) for rows in lists[:-1]} == {100}


async def test_a_caller_that_leaves_breaks_nothing(place: Place, reconciler: Reconciler) -> None:
    for number in range(200):
        place.write(f"s{number}.py", f"# {number}\n")
    task = asyncio.create_task(reconciler.scripts())
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await reconciler.scripts()) == 200
    assert len(await reconciler.search("99", 50)) == 1


async def test_no_scripts_folder_is_a_sentence(place: Place, reconciler: Reconciler) -> None:
    place.scripts.rmdir()
    with pytest.raises(StoreError, match="Cannot list the scripts"):
        await reconciler.scripts()
