"""Documents of an engine: what others do is told, changes are on record, a project for reading only stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine import Engine
from engine.models.documents import SaveDocumentRequest
from engine.models.scripts import OutsideChange
from engine.services.access import ServiceError
from store.disk_space import ReadOnlySpace
from store.project import Project

PATIENCE = 30.0
LEFT = ".x.md.0123456789ab.gatewright-tmp"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    root = tmp_path_factory.mktemp("documents") / "plant"
    project = Project.create(root, {})
    (project.documents / LEFT).write_text("the only copy")
    async with Engine.open(root, pool_size=1) as opened:
        yield opened


def write(file: Path, text: str) -> None:
    """Write a file in one step, so that no look finds half of it."""
    other = file.with_name(".new")
    other.write_text(text)
    other.rename(file)


async def told(engine: Engine, events: Any, path: str) -> OutsideChange:
    """Wait until a change of ``path`` that others made is told."""
    async with asyncio.timeout(PATIENCE):
        async for some in events:
            for event in some:
                if event.type == "document" and isinstance(event.data, OutsideChange) and path in event.data.paths:
                    return event.data
    raise AssertionError("the events ended")


async def test_the_start_cleared_what_a_crash_left_of_a_save(engine: Engine) -> None:
    assert not (engine.project.documents / LEFT).exists()
    assert [path.read_text() for path in engine.project.document_history.iterdir()] == ["the only copy"]
    listed = [info.path for info in (await engine.documents.list()).documents]
    assert listed == [], "what comes with a project is data for scripts"


async def test_what_others_do_to_documents_is_told(engine: Engine) -> None:
    await engine.documents.list()
    folder = engine.project.documents / "by_vim"
    with engine.events.subscribe() as events:
        folder.mkdir()
        write(folder / "new.md", "one\n")
        assert (await told(engine, events, "by_vim/new.md")).created == 1
        write(folder / "new.md", "two\n")
        assert (await told(engine, events, "by_vim/new.md")).updated == 1
        (folder / "new.md").rename(folder / "moved.md")
        assert (await told(engine, events, "by_vim/moved.md")).renamed == 1
        (folder / "moved.md").unlink()
        assert (await told(engine, events, "by_vim/moved.md")).removed == 1
    assert [info.path for info in (await engine.documents.list()).documents if info.path.startswith("by_vim/")] == []


async def test_changes_are_on_record(engine: Engine) -> None:
    made = await engine.documents.save("kept.md", SaveDocumentRequest(text="one"), engine.owner)
    await engine.audit.flush()
    record = (await engine.audit.list(engine.owner, limit=1)).records[0]
    assert (record.source, record.action, record.subject) == ("documents", "save", "kept.md")
    assert record.detail["sha256"] == made.sha256


async def test_a_project_for_reading_only_keeps_its_documents(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await engine.documents.save("fixed.md", SaveDocumentRequest(text="one"), engine.owner)
    monkeypatch.setattr(engine.documents._writer, "_space", ReadOnlySpace("it is for reading only", "Do not."))
    request = SaveDocumentRequest(text="two", base_sha256=made.sha256)
    with pytest.raises(ServiceError, match="reading only"):
        await engine.documents.save("fixed.md", request, engine.owner)
    assert (engine.project.documents / "fixed.md").read_text() == "one"
