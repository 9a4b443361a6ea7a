"""Each step of each change fails once: a sentence, no text lost, nothing claimed that is not so, usable afterwards."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from changes_support import ME, Parts, contents, opened, sha
from failing_calls import CODES, one_failing_step

from engine.models.scripts import DeleteRequest, DuplicateRequest, RenameRequest, SaveRequest
from engine.models.versions import RestoreRequest
from engine.services.access import ServiceError
from store import disk
from store.errors import StoreError

OLD, NEW, OLDER = "old = 1\n", "new = 2\n", "older = 0\n"
NEVER = 1_000_000


@dataclass(frozen=True)
class Change:
    """``work`` makes of ``a/x.py`` with OLD what ``after`` says. ``replaced``: what must be in the history then."""

    work: Callable[[Parts], Awaitable[object]]
    after: dict[str, str]
    replaced: str | None = OLD


CHANGES = {
    "save": Change(
        lambda parts: parts.scripts.save("a/x.py", SaveRequest(text=NEW, base_sha256=sha(OLD.encode())), ME),
        {"a/x.py": NEW},
    ),
    "create": Change(
        lambda parts: parts.scripts.save("b/y.py", SaveRequest(text=NEW), ME), {"a/x.py": OLD, "b/y.py": NEW}, None
    ),
    "rename": Change(
        lambda parts: parts.changes.rename("a/x.py", RenameRequest(new_path="b/y.py"), ME), {"b/y.py": OLD}
    ),
    "duplicate": Change(
        lambda parts: parts.changes.duplicate("a/x.py", DuplicateRequest(new_path="b/y.py"), ME),
        {"a/x.py": OLD, "b/y.py": OLD},
        None,
    ),
    "delete": Change(lambda parts: parts.changes.delete("a/x.py", DeleteRequest(), ME), {}),
    "restore": Change(
        lambda parts: parts.changes.restore("a/x.py", RestoreRequest(sha256=sha(OLDER.encode())), ME),
        {"a/x.py": OLDER},
    ),
}
COMMON = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)
BEFORE = {"a/x.py": OLD}
CLAIMS_NOTHING = ("write", "fsync", "fchmod", "link", "renameat2")
"""Whatever of these fails, the change must not be acknowledged: it is not on the disk, or not known to be."""


async def prepare(root: Path) -> None:
    root.mkdir()
    async with opened(root) as parts:
        await parts.scripts.save("a/x.py", SaveRequest(text=OLDER), ME)
        await parts.scripts.save("a/x.py", SaveRequest(text=OLD, base_sha256=sha(OLDER.encode())), ME)


def copy(root: Path, name: str) -> Path:
    """What was prepared, once more."""
    return Path(shutil.copytree(root / "before", root / name))


async def steps_of(root: Path, change: Change) -> int:
    """How many steps it has when nothing fails."""
    async with opened(root) as parts:
        await parts.writer.settled()
        with one_failing_step(CODES[0], NEVER) as calls:
            await change.work(parts)
            await parts.writer.settled()
        assert texts(parts) == change.after
        return calls.calls


async def fail_at(root: Path, change: Change, code: int, at: int) -> str:
    """Let one step fail, and hold what is found against what may be; returns the step's name."""
    refusal: ServiceError | StoreError | None = None
    async with opened(root) as parts:
        await parts.writer.settled()
        with one_failing_step(code, at) as fault:
            try:
                await change.work(parts)
            except (ServiceError, StoreError) as error:  # nothing else may come out
                refusal = error
            await parts.writer.settled()
        hit = str(fault.hit)
        if refusal is not None:
            said = refusal.message if isinstance(refusal, ServiceError) else refusal.sentence
            assert said.endswith("."), said
            assert "\n" not in said
        elif hit in CLAIMS_NOTHING:
            pytest.fail(f"{hit} failed, and the change was acknowledged")
        there = texts(parts)
        assert there in (BEFORE, change.after), hit
        assert refusal is not None or there == change.after, hit
        if refusal is not None and there == BEFORE:
            await change.work(parts)
            assert texts(parts) == change.after, "usable at once"
    await check_next_start(root, change)
    return hit


async def check_next_start(root: Path, change: Change) -> None:
    async with opened(root) as parts:
        assert texts(parts) == change.after
        assert [path for path in root.rglob("*") if disk.TEMP_NAME.fullmatch(path.name)] == []
        assert {info.path: info.sha256 for info in (await parts.scripts.list()).scripts} == contents(parts.files)
        assert await parts.state.versions.unsettled() == []
        if change.replaced is not None:
            assert parts.files.kept(sha(change.replaced.encode())) == change.replaced.encode()


def texts(parts: Parts) -> dict[str, str]:
    return {file.path: parts.files.read(file.path).decode() for file in parts.files.list()}


async def fail_everywhere(root: Path, name: str, codes: Callable[[int], tuple[int, ...]]) -> None:
    change = CHANGES[name]
    await prepare(root / "before")
    count = await steps_of(copy(root, "whole"), change)
    hits: Counter[str] = Counter()
    for at in range(1, count + 1):
        for code in codes(at):
            hits[await fail_at(copy(root, f"{at}-{code}"), change, code, at)] += 1
    print(f"{name}: {count} steps, {sum(hits.values())} faults: {dict(hits)}")
    assert count > 20, "too few steps for the whole protocol"
    assert len(hits) > 2, "the same call again and again"


@pytest.mark.parametrize(
    "name", [name if name == "save" else pytest.param(name, marks=pytest.mark.slow) for name in CHANGES]
)
def test_any_failing_step_loses_nothing(tmp_path: Path, name: str) -> None:
    """Every third step with one of the errors, in turn."""
    asyncio.run(fail_everywhere(tmp_path, name, lambda at: () if at % 3 else (CODES[at // 3 % len(CODES)],)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHANGES)
def test_any_failing_step_loses_nothing_whatever_the_error(tmp_path: Path, name: str) -> None:
    asyncio.run(fail_everywhere(tmp_path, name, lambda _: COMMON))
