"""Scripts renamed, copied, deleted and brought back through the engine: who did it, what is told, who may."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine import Engine
from engine.models.permissions import ApproveRequest
from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, SaveRequest
from engine.models.versions import RestoreRequest, VersionReason
from engine.services.access import Role, ServiceError
from store import disk
from store.errors import StoreError
from store.state.database import StateDB
from store.state.rows import VersionRow
from store.state.versions import KEPT

ASKS = '# /// script\n# [tool.gatewright.permissions]\n# read = ["{}"]\n# ///\n'


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


def events(engine: Engine, since: int) -> list[dict[str, str]]:
    return [event.data for event in engine.events.since(since)[0] if event.type == "script"]


async def save(engine: Engine, path: str, *texts: str) -> None:
    base = None
    for text in texts:
        base = (await engine.scripts.save(path, SaveRequest(text=text, base_sha256=base), engine.owner)).sha256


async def test_a_script_goes_through_everything_and_its_history_tells(engine: Engine) -> None:
    me, changes = engine.owner, engine.changes
    await save(engine, "night/report", "1\n", "2\n")
    seen = engine.events.last_seq
    moved = await changes.rename("night/report", RenameRequest(new_path="day/report"), me)
    copy = await changes.duplicate(moved.path, DuplicateRequest(), me)
    deleted = await changes.delete(moved.path, DeleteRequest(base_sha256=moved.sha256), me)
    assert (moved.path, copy.path, deleted.path) == ("day/report.py", "day/report_copy.py", "day/report.py")
    assert deleted.reason is VersionReason.DELETED
    found = await changes.history("day/report", me)
    assert found.sha256 is None
    assert [(one.reason, one.path, one.new_path, one.sha256, one.size) for one in found.versions] == [
        ("deleted", "day/report.py", None, sha("2\n"), 2),
        ("renamed", "night/report.py", "day/report.py", sha("2\n"), 2),
        ("saved", "night/report.py", None, sha("1\n"), 2),
    ]
    assert {(one.uid, one.name) for one in found.versions} == {(me.uid, me.name)}
    back = await changes.restore("day/report", RestoreRequest(sha256=sha("1\n")), me)
    assert (await engine.scripts.load(back.path)).text == "1\n"
    await changes.restore("day/report", RestoreRequest(), me)
    assert (await engine.scripts.load(back.path)).text == "2\n"
    assert (await changes.history("day/report", me)).versions[0].reason is VersionReason.RESTORED
    assert events(engine, seen)[-5:] == [
        {"path": "day/report.py", "change": "renamed", "old_path": "night/report.py"},
        {"path": "day/report_copy.py", "change": "created"},
        {"path": "day/report.py", "change": "deleted", "old_path": "day/report.py"},
        {"path": "day/report.py", "change": "created"},
        {"path": "day/report.py", "change": "saved"},
    ]
    with pytest.raises(ServiceError, match="There is no script 'night/report'"):
        await changes.history("night/report", me)
    assert (await engine.execute("result = 1")).value == 1


async def test_deleted_scripts_are_listed_until_they_are_there_again(engine: Engine) -> None:
    me, changes = engine.owner, engine.changes
    for name in ("a", "b", "moved", "stays"):
        await save(engine, name, "1", "2")
        if name != "stays":
            await changes.delete(name, DeleteRequest(), me)
    await changes.restore("a", RestoreRequest(), me)
    await changes.restore("moved", RestoreRequest(), me)
    await changes.rename("moved", RenameRequest(new_path="elsewhere"), me)
    found = (await changes.deleted(me)).versions
    assert [(one.path, one.sha256, one.reason, one.name) for one in found] == [("b.py", sha("2"), "deleted", me.name)]
    await changes.delete("a", DeleteRequest(), me)
    assert [one.path for one in (await changes.deleted(me)).versions] == ["a.py", "b.py"]
    (engine.project.scripts / "b.py").write_text("made outside")
    assert [one.path for one in (await changes.deleted(me)).versions] == ["a.py"]


async def test_only_authors_change_scripts_and_see_what_they_were(engine: Engine) -> None:
    await save(engine, "x", "1")
    other = replace(engine.owner, role=Role.OPERATOR)
    changes = engine.changes
    for refused in (
        changes.rename("x", RenameRequest(new_path="y"), other),
        changes.duplicate("x", DuplicateRequest(), other),
        changes.delete("x", DeleteRequest(), other),
        changes.restore("x", RestoreRequest(), other),
        changes.history("x", other),
        changes.deleted(other),
        changes.version("x", sha("1"), other),
    ):
        with pytest.raises(ServiceError) as refusal:
            await refused
        assert (refusal.value.code, refusal.value.status) == ("forbidden", 403)


async def test_what_changes_a_script_takes_its_whole_path(engine: Engine) -> None:
    await save(engine, "sub/only", "1", "2")
    for refused in (
        engine.changes.delete("only", DeleteRequest(), engine.owner),
        engine.changes.rename("only", RenameRequest(new_path="y"), engine.owner),
        engine.changes.duplicate("only", DuplicateRequest(), engine.owner),
        engine.changes.restore("only", RestoreRequest(), engine.owner),
    ):
        with pytest.raises(ServiceError) as refusal:
            await refused
        assert refusal.value.code == "no_script"
        assert "sub/only" in (refusal.value.hint or "")
    assert (await engine.changes.history("only", engine.owner)).path == "sub/only.py"


async def test_a_script_gives_out_its_own_versions_only(engine: Engine) -> None:
    await save(engine, "x", "secret", "2")
    await save(engine, "y", "1", "3")
    for wanted in (sha("secret"), sha("3"), "0" * 64):
        with pytest.raises(ServiceError) as refusal:
            await engine.changes.version("y", wanted, engine.owner)
        assert refusal.value.code == "no_version"
    assert (await engine.changes.version("y", sha("1"), engine.owner)).text == "1"


async def test_an_approval_stays_with_the_path(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    await save(engine, "x", ASKS.format(tmp_path / "data"))
    review = await engine.permissions.review("x", engine.owner)
    grants = (await engine.scripts.info("x.py")).permissions
    await engine.permissions.approve("x", ApproveRequest(sha256=review.sha256, grants=grants), engine.owner)
    assert not (await engine.scripts.info("x.py")).needs_approval
    assert (await engine.changes.rename("x", RenameRequest(new_path="y"), engine.owner)).needs_approval


async def test_the_oldest_versions_are_forgotten_with_their_bytes(engine: Engine) -> None:
    texts = [f"{number}\n" for number in range(KEPT + 6)]
    await save(engine, "x", *texts)
    await save(engine, "y", texts[0], "other")
    found = await engine.changes.history("x", engine.owner)
    assert [one.sha256 for one in found.versions] == [sha(text) for text in reversed(texts[5:-1])]
    kept = {path.name for path in engine.project.history.iterdir()}
    assert not kept & {sha(text) for text in texts[1:5]}
    assert sha(texts[0]) in kept, "the history of another script has it"


async def test_what_a_crash_left_open_is_decided_by_the_files(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    async with Engine.open(root, pool_size=1) as engine:
        await save(engine, "gone", "1")
        await save(engine, "there", "2")
    now = time.time()  # what is long gone, retention takes away
    state = await StateDB.open(root / ".gatewright/state.db")
    for name, text in (("gone.py", "1"), ("there.py", "2")):
        row = VersionRow(script=name, path=name, sha256=sha(text), size=1, reason="deleted", uid=1, name="ann", at=now)
        await state.versions.announce(row)
    await state.close()
    (root / "scripts/gone.py").rename(root / f".gatewright/history/{sha('1')}")
    async with Engine.open(root, pool_size=1) as engine:
        assert [one.name for one in (await engine.changes.history("gone", engine.owner)).versions] == ["ann"]
        assert (await engine.changes.history("there", engine.owner)).versions == []
        await engine.changes.restore("gone", RestoreRequest(), engine.owner)
        assert (await engine.scripts.load("gone")).text == "1"


async def test_without_the_record_texts_are_saved_and_scripts_are_not_deleted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(engine, "x", "1")

    async def broken(row: VersionRow, since: float | None) -> int:
        raise StoreError("The database failed: disk I/O error.")

    monkeypatch.setattr(engine.changes._versions, "announce", broken)
    await engine.scripts.save("x", SaveRequest(text="2", base_sha256=sha("1")), engine.owner)
    with pytest.raises(ServiceError, match="The database failed"):
        await engine.changes.delete("x", DeleteRequest(), engine.owner)
    assert (await engine.scripts.load("x")).text == "2"
    assert (engine.project.history / sha("1")).read_text() == "1"


async def test_what_could_not_be_settled_is_settled_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(version: int) -> list[str]:
        raise StoreError("The database failed: disk I/O error.")

    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        await save(engine, "a", "1")
        monkeypatch.setattr(engine.changes._versions, "settle", broken)
        moved = await engine.changes.rename("a", RenameRequest(new_path="b"), engine.owner)
        assert moved.path == "b.py"
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        found = await engine.changes.history("b", engine.owner)
        assert [(one.reason, one.path) for one in found.versions] == [(VersionReason.RENAMED, "a.py")]


async def test_a_text_that_was_in_place_for_an_instant_is_in_the_history_of_its_script(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor replaces the file between the look and the swap: the save gives way, and its text can be found."""
    await save(engine, "x", "1")
    real = disk.exchange

    def late(folder: int, first: str, second: str) -> None:
        monkeypatch.setattr(disk, "exchange", real)
        (engine.project.scripts / "x.py").write_text("theirs")
        real(folder, first, second)

    monkeypatch.setattr(disk, "exchange", late)
    with pytest.raises(ServiceError) as refusal:
        await engine.scripts.save("x", SaveRequest(text="mine", base_sha256=sha("1")), engine.owner)
    assert refusal.value.code == "conflict"
    (version,) = (await engine.changes.history("x", engine.owner)).versions
    assert (version.reason, version.sha256) == (VersionReason.CONFLICT, sha("mine"))
    assert (await engine.changes.version("x", version.sha256, engine.owner)).text == "mine"
    assert (await engine.scripts.load("x")).text == "theirs"


async def test_a_script_that_is_not_text_can_be_deleted_and_brought_back(engine: Engine) -> None:
    data = b"caf\xe9"
    (engine.project.scripts / "x.py").write_bytes(data)
    deleted = await engine.changes.delete("x", DeleteRequest(), engine.owner)
    with pytest.raises(ServiceError, match="not UTF-8"):
        await engine.changes.version("x", deleted.sha256, engine.owner)
    await engine.changes.restore("x", RestoreRequest(), engine.owner)
    assert (engine.project.scripts / "x.py").read_bytes() == data
