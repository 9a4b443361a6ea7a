"""Each step of each change of a document fails once: a sentence, no text lost, nothing claimed that is not so."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from changes_support import sha
from documents_kit import AUTHOR, Documents, documents_in
from failing_calls import one_failing_step

from engine.models.documents import SaveDocumentRequest
from engine.models.scripts import DeleteRequest, RenameRequest
from engine.models.versions import RestoreRequest
from engine.services.access import ServiceError
from store import disk

OLD, NEW, OLDER = "---\ntitle: old\n---\n", "new\n", "older\n"
BEFORE = {"a/x.md": OLD}
CODES = (errno.ENOSPC, errno.EIO)
CLAIMS_NOTHING = ("write", "fsync", "fchmod", "link", "renameat2")
"""Whatever of these fails, the change must not be acknowledged: it is not on the disk, or not known to be."""


@dataclass(frozen=True)
class Change:
    """``work`` makes of ``a/x.md`` with OLD what ``after`` says. ``replaced``: what must be in the history then."""

    work: Callable[[Documents], Awaitable[object]]
    after: dict[str, str]
    replaced: str | None = OLD


CHANGES = {
    "save": Change(
        lambda docs: docs.service.save("a/x.md", SaveDocumentRequest(text=NEW, base_sha256=sha(OLD.encode())), AUTHOR),
        {"a/x.md": NEW},
    ),
    "create": Change(
        lambda docs: docs.service.save("b/y.txt", SaveDocumentRequest(text=NEW), AUTHOR),
        {**BEFORE, "b/y.txt": NEW},
        None,
    ),
    "rename": Change(
        lambda docs: docs.service.rename("a/x.md", RenameRequest(new_path="b/y.rst"), AUTHOR), {"b/y.rst": OLD}
    ),
    "delete": Change(lambda docs: docs.service.delete("a/x.md", DeleteRequest(), AUTHOR), {}),
    "restore": Change(
        lambda docs: docs.service.restore("a/x.md", RestoreRequest(sha256=sha(OLDER.encode())), AUTHOR),
        {"a/x.md": OLDER},
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHANGES)
def test_any_failing_step_loses_nothing(tmp_path: Path, name: str) -> None:
    asyncio.run(fail_everywhere(tmp_path, CHANGES[name]))


async def fail_everywhere(root: Path, change: Change) -> None:
    (root / "before").mkdir()
    async with documents_in(root / "before") as docs:
        await docs.service.save("a/x.md", SaveDocumentRequest(text=OLDER), AUTHOR)
        request = SaveDocumentRequest(text=OLD, base_sha256=sha(OLDER.encode()))
        await docs.service.save("a/x.md", request, AUTHOR)
    steps, hits = await steps_of(copy(root, "whole"), change), Counter[str]()
    for at in range(1, steps + 1):
        hits[await fail_at(copy(root, str(at)), change, CODES[at % len(CODES)], at)] += 1
    assert steps > 20, "too few steps for the whole protocol"
    assert len(hits) > 2, "the same call again and again"


def copy(root: Path, name: str) -> Path:
    """Return what was prepared, once more."""
    return Path(shutil.copytree(root / "before", root / name))


async def steps_of(root: Path, change: Change) -> int:
    """Return how many steps it has when nothing fails."""
    async with documents_in(root) as docs:
        with one_failing_step(errno.EIO, 1_000_000) as calls:
            await change.work(docs)
            await docs.writer.settled()
        assert texts(docs) == change.after
        return calls.calls


async def fail_at(root: Path, change: Change, code: int, at: int) -> str:
    """Let one step fail, and hold what is found against what may be; return the step's name."""
    refusal: ServiceError | None = None
    async with documents_in(root) as docs:
        with one_failing_step(code, at) as fault:
            try:
                await change.work(docs)
            except ServiceError as error:  # nothing else may come out
                refusal = error
            await docs.writer.settled()
        hit = str(fault.hit)
        there = texts(docs)
        assert there in (BEFORE, change.after), hit
        if refusal is None:
            assert there == change.after, hit
            assert hit not in CLAIMS_NOTHING, "it failed, and the change was acknowledged"
        else:
            assert refusal.message.endswith("."), refusal.message
            if there == BEFORE:
                await change.work(docs)
                assert texts(docs) == change.after, "usable at once"
    async with documents_in(root) as docs:
        assert texts(docs) == change.after
        assert [path for path in root.rglob("*") if disk.TEMP_NAME.fullmatch(path.name)] == []
        assert await docs.state.document_versions.unsettled() == []
        assert {info.path: info.sha256 for info in (await docs.service.list()).documents} == {
            path: sha(text.encode()) for path, text in change.after.items()
        }
        if change.replaced is not None:
            assert docs.files.kept(sha(change.replaced.encode())) == change.replaced.encode()
    return hit


def texts(docs: Documents) -> dict[str, str]:
    return {file.path: docs.files.read(file.path).decode() for file in docs.files.scan({}).documents}
