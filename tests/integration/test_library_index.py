"""Lists, search and rebuild through the engine as a library."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import Engine
from engine.models.scripts import DeleteRequest, RenameRequest, SaveRequest
from engine.services.access import Actor, Role, ServiceError

ASKING = '# /// script\n# [tool.gatewright.permissions]\n# read = ["/srv/data"]\n# ///\n'


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine.open(tmp_path / "plant", pool_size=1) as opened:
        yield opened


async def found(engine: Engine, text: str) -> list[str]:
    return [one.path for one in (await engine.scripts.search(text)).scripts]


async def test_a_save_is_found_at_once(engine: Engine) -> None:
    await engine.scripts.list()
    made = await engine.scripts.save("new.py", SaveRequest(text="# chrysanthemum\n"), engine.owner)
    assert await found(engine, "chrysanthemum") == ["new.py"]
    await engine.scripts.save("new.py", SaveRequest(text="# tulip\n", base_sha256=made.sha256), engine.owner)
    assert await found(engine, "chrysanthemum") == []
    assert await found(engine, "tulip") == ["new.py"]


async def test_a_renamed_and_a_deleted_script_are_found_no_more(engine: Engine) -> None:
    await engine.scripts.list()
    await engine.scripts.save("old.py", SaveRequest(text="# chrysanthemum\n"), engine.owner)
    await engine.changes.rename("old.py", RenameRequest(new_path="new.py"), engine.owner)
    assert await found(engine, "chrysanthemum") == ["new.py"]
    await engine.changes.delete("new.py", DeleteRequest(), engine.owner)
    assert await found(engine, "chrysanthemum") == []
    assert (await engine.sync.rebuild(engine.owner)).removed == []


async def test_a_list_right_after_an_outside_change_is_right(engine: Engine) -> None:
    file = engine.project.scripts / "outside.py"
    for text in ("one", "two", "six"):
        file.write_text(f"# /// script\n# [tool.gatewright]\n# title = '{text}'\n# ///\n")
        titles = {info.path: info.title for info in (await engine.scripts.list()).scripts}
        assert titles["outside.py"] == text


async def test_a_listed_script_is_what_a_loaded_one_is(engine: Engine) -> None:
    await engine.scripts.save("asks.py", SaveRequest(text=ASKING), engine.owner)
    for info in (await engine.scripts.list()).scripts:
        assert info == (await engine.scripts.load(info.path)).info
    assert {info.path: info.needs_approval for info in (await engine.scripts.list()).scripts}["asks.py"]


async def test_the_next_engine_lists_the_same(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        await engine.scripts.save("asks.py", SaveRequest(text=ASKING), engine.owner)
        before = await engine.scripts.list()
    async with Engine.open(tmp_path / "plant", pool_size=1) as engine:
        assert await engine.scripts.list() == before


async def test_a_rebuild_needs_an_author_and_is_announced(engine: Engine) -> None:
    with pytest.raises(ServiceError, match="role author"):
        await engine.sync.rebuild(Actor(name="eve", uid=1, role=Role.OPERATOR))
    (engine.project.scripts / "late.py").write_text("pass\n")
    count = len((await engine.scripts.list()).scripts)
    seq = engine.events.last_seq
    report = await engine.sync.rebuild(engine.owner)
    assert report.scripts == count
    events = engine.events.since(seq)[0]
    assert "task" in [event.type for event in events]
    assert events[-1].data == {"change": "rebuilt"}


async def test_two_rebuilds_do_not_meet(engine: Engine) -> None:
    results = await asyncio.gather(*(engine.sync.rebuild(engine.owner) for _ in range(2)), return_exceptions=True)
    assert [getattr(result, "code", "done") for result in results] == ["done", "busy"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_folder_that_may_not_be_read_is_a_problem_of_its_own(engine: Engine) -> None:
    closed = engine.project.scripts / "closed"
    closed.mkdir(mode=0)
    problems = {info.path: info.problem for info in (await engine.scripts.list()).scripts if info.problem}
    assert problems == {"closed": "This folder cannot be read: Permission denied."}
    closed.chmod(0o700)


async def test_a_project_whose_scripts_cannot_be_written_is_listed_and_searched(tmp_path: Path) -> None:
    root = tmp_path / "plant"
    async with Engine.open(root, pool_size=1) as engine:
        before = await engine.scripts.list()
    for folder, _, names in os.walk(root / "scripts"):
        for name in (*names, "."):
            os.chmod(os.path.join(folder, name), 0o500 if name == "." else 0o400)
    (root / ".gatewright" / "index.db").unlink()
    (root / ".gatewright" / "index.db").mkdir()
    try:
        async with Engine.open(root, pool_size=1) as engine:
            assert await engine.scripts.list() == before
            assert await found(engine, "csv")
            assert any("kept in memory" in problem for problem in engine.problems)
            report = await engine.sync.rebuild(engine.owner)
            assert report.scripts == len(before.scripts)
    finally:
        for folder, _, _ in os.walk(root / "scripts"):
            os.chmod(folder, 0o700)
