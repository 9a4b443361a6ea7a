"""The past goes when its time has come and not before; what is in use, or needed to bring something back, stays."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.services.access import owner_actor
from engine.services.retention import RetentionService, VersionHistory
from engine.services.versioned_writer import VersionedWriter
from store.errors import NoVersion
from store.files.documents import DocumentFiles
from store.files.scripts import ScriptFiles
from store.index.reconcile import Reconciler
from store.state.database import StateDB
from store.state.pruning import AIM, FIRST_ROWS, MOST_ROWS, Pace, Retention
from store.state.rows import OutputRow, RunRow

DAY = 86_400.0
ME = owner_actor()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Plant:
    """What of an engine keeps the past, and a clock."""

    root: Path
    files: ScriptFiles
    state: StateDB
    writer: VersionedWriter
    reconciler: Reconciler
    now: float = field(default_factory=time.time)

    def service(self, **keep: float) -> RetentionService:
        limits = Retention(**keep)  # type: ignore[arg-type]
        return RetentionService(
            self.state, self.writer, self.reconciler, self.root / "history", limits, lambda: self.now
        )

    async def save(self, path: str, *texts: str) -> None:
        for text in texts:
            found = self.files.version(path)
            await self.writer.save(path, text.encode(), found and found.sha256, ME)
            await self.writer.settled()

    async def delete(self, path: str) -> None:
        await self.writer.delete(path, None, ME)
        await self.writer.settled()

    def leave(self, text: str) -> str:
        """A text without a record, as a crash leaves one."""
        (self.root / "history" / sha(text)).write_text(text)
        return sha(text)

    def kept(self, digest: str) -> bool:
        try:
            self.files.kept(digest)
        except NoVersion:
            return False
        return True


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Plant]:
    for name in ("scripts", "history"):
        (root / name).mkdir()
    files = ScriptFiles(root / "scripts", root / "history")
    state = await StateDB.open(root / "state.db")
    reconciler = await Reconciler.open(files, root / "index.db")
    writer = VersionedWriter(files, state.versions)
    try:
        yield Plant(root, files, state, writer, reconciler)
    finally:
        await writer.settled()
        await reconciler.close()
        await state.close()


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with opened(tmp_path) as found:
        yield found


async def test_texts_without_a_record_go_after_their_time_and_no_others(plant: Plant) -> None:
    await plant.save("a.py", "one", "two")
    await plant.save("held.py", "in use")
    left, held = plant.leave("left by a crash"), plant.leave("in use")
    service = plant.service()
    plant.now += 29 * DAY
    assert (await service.look()).leftovers == 0
    plant.now += 2 * DAY
    assert (await service.look()).leftovers == 1
    assert not plant.kept(left)
    assert plant.kept(held), "what the index saw last of a script may be needed to bring it back"
    assert plant.kept(sha("one"))


async def test_records_that_were_begun_anew_take_no_text_along(plant: Plant) -> None:
    """Which texts are needed was in the records that were lost."""
    digest = plant.leave("perhaps the only copy\n")
    plant.now += 31 * DAY
    plant.state.began = plant.now - 29 * DAY
    assert (await plant.service().look()).leftovers == 0
    assert plant.kept(digest)


async def test_the_last_text_of_a_script_that_vanished_stays(plant: Plant) -> None:
    (plant.root / "scripts" / "gone.py").write_text("x = 1\n")
    await plant.reconciler.scripts()
    (plant.root / "scripts" / "gone.py").unlink()
    digest = plant.leave("x = 1\n")
    plant.now += 365 * DAY
    assert (await plant.service().look()).leftovers == 0
    assert plant.kept(digest)


async def test_a_text_that_is_written_again_is_not_old(plant: Plant) -> None:
    """A save may just be putting the same bytes into the history."""
    from store.files import leftovers

    left, before = plant.leave("x"), time.time() + DAY
    (old,) = leftovers.older_than(plant.root / "history", before)
    assert old == left
    await plant.save("a.py", "x", "y")
    assert await plant.writer.forget_unnamed(plant.root / "history", [left], before) == 0
    assert plant.kept(left)


async def test_versions_of_a_deleted_script_stay_ninety_days(plant: Plant) -> None:
    await plant.save("a.py", "one", "two")
    await plant.delete("a.py")
    await plant.save("b.py", "three", "four")
    service = plant.service()
    plant.now += 89 * DAY
    assert (await service.look()).versions == 0
    assert plant.kept(sha("two"))
    plant.now += 2 * DAY
    assert (await service.look()).versions == 2
    assert await plant.state.versions.of("a.py") == []
    assert not plant.kept(sha("one"))
    assert not plant.kept(sha("two"))
    assert plant.kept(sha("three")), "its script is there"


async def test_a_deleted_script_that_is_there_again_keeps_its_versions(plant: Plant) -> None:
    await plant.save("a.py", "one", "two")
    await plant.delete("a.py")
    (plant.root / "scripts/a.py").write_text("by vim")
    plant.now += 1000 * DAY
    assert (await plant.service().look()).versions == 0
    assert plant.kept(sha("two"))


async def test_scripts_that_vanished_outside_keep_their_versions(plant: Plant) -> None:
    """An unmounted disk is not a decision."""
    await plant.save("a.py", "one", "two")
    (plant.root / "scripts/a.py").unlink()
    plant.now += 1000 * DAY
    assert (await plant.service().look()).versions == 0
    assert plant.kept(sha("one"))


async def test_documents_have_a_past_of_their_own(plant: Plant, tmp_path: Path) -> None:
    """What goes of scripts does not take a document's bytes along, and the other way round."""
    history = tmp_path / "document_history"
    for folder in (tmp_path / "documents", history):
        folder.mkdir()
    files = DocumentFiles(tmp_path / "documents", history)
    writer = VersionedWriter(files, plant.state.document_versions)
    base = None
    for text in ("one", "two", "three", "four"):
        await writer.save("a.md", text.encode(), base, ME)
        base = sha(text)
    await writer.settled()
    await plant.save("a.py", "one", "two")
    (history / sha("left by a crash")).write_text("left by a crash")
    documents = VersionHistory(writer, plant.state.document_versions, history)
    service = RetentionService(
        plant.state,
        plant.writer,
        plant.reconciler,
        plant.root / "history",
        Retention(versions=2),
        lambda: plant.now,
        documents=documents,
    )
    info = await service.info()
    assert (info.versions, info.history_bytes) == (
        4,
        len("one") * 2 + len("two") + len("three") + len("left by a crash"),
    )
    assert (await service.look()).versions == 1
    assert sorted(path.name for path in history.iterdir()) == sorted(map(sha, ("two", "three", "left by a crash")))
    plant.now += 31 * DAY
    assert (await service.look()).leftovers == 1
    await writer.delete("a.md", None, ME)
    await writer.settled()
    plant.now += 91 * DAY
    assert (await service.look()).versions == 2
    assert list(history.iterdir()) == []
    assert plant.kept(sha("one")), "a script had the same text"


async def test_a_lower_limit_takes_the_oldest_versions(plant: Plant) -> None:
    await plant.save("a.py", *(f"text {n}" for n in range(9)))
    assert (await plant.service(versions=3).look()).versions == 5
    assert [row.sha256 for row in await plant.state.versions.of("a.py")] == [sha(f"text {n}") for n in (7, 6, 5)]
    await plant.save("a.py", "one more")
    assert len(await plant.state.versions.of("a.py")) == 3


async def test_output_of_a_run_that_goes_on_stays(plant: Plant) -> None:
    going_on = RunRow(
        id=1, kind="exec", name="x", state="running", mode="RESTRICTED", actor="a", source="cli", queued_at=0.0,
        timeout=1.0, code_sha256="",
    )  # fmt: skip
    await plant.state.apply([going_on], [OutputRow(1, 0, "stdout", "x" * 1000, 0.0)], [])
    look = await plant.service(output_bytes=0).look()
    assert (look.outputs, look.runs) == (0, 0)
    assert len(await plant.state.output(1)) == 1


async def test_much_output_goes_in_many_transactions_and_others_write_in_between(plant: Plant) -> None:
    ended = RunRow(
        id=1, kind="exec", name="x", state="finished", mode="RESTRICTED", actor="a", source="cli", queued_at=0.0,
        timeout=1.0, code_sha256="", finished_at=1.0,
    )  # fmt: skip
    await plant.state.apply([], [OutputRow(1, n, "stdout", "x" * 4096, 0.0) for n in range(3000)], [ended])
    transactions, write = 0, plant.state._database.write

    async def counted(work: Callable[..., object]) -> object:
        nonlocal transactions
        transactions += 1
        return await write(work)

    plant.state._database.write = counted  # type: ignore[method-assign,assignment]
    looking = asyncio.create_task(plant.service(run_age=1e12).look())
    saves = 0
    while not looking.done():
        await plant.save(f"s{saves}.py", "x")
        saves += 1
    assert (await looking).outputs == 1
    assert transactions > 5
    assert saves > 3
    assert await plant.state.output_bytes() == 0
    assert await plant.state.output(1) == []


async def test_a_look_that_is_cancelled_leaves_everything_in_order(plant: Plant) -> None:
    ended = [
        RunRow(
            id=n, kind="exec", name="x", state="finished", mode="RESTRICTED", actor="a", source="cli", queued_at=0.0,
            timeout=1.0, code_sha256="", finished_at=float(n),
        )
        for n in range(1, 200)
    ]  # fmt: skip
    await plant.state.apply([], [OutputRow(n, 0, "stdout", "x" * 100, 0.0) for n in range(1, 200)], ended)
    looking = asyncio.create_task(plant.service().look())
    while await plant.state.output_bytes() == 19_900:
        assert not looking.done()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert (await plant.service().look()).runs > 0
    assert (await plant.state.amount()).runs == 0


async def test_what_there_is_and_what_went_is_told(plant: Plant) -> None:
    await plant.save("a.py", "one", "two")
    plant.leave("left")
    service = plant.service()
    info = await service.info()
    assert (info.versions, info.history_bytes, info.last) == (1, 7, None)
    assert (info.limits.output_days, info.limits.versions, info.limits.run_days) == (14, 50, 90)
    plant.now += 40 * DAY
    look = await service.look()
    info = await service.info()
    assert (info.last, info.history_bytes) == (look, 3)


def test_the_pace_follows_the_time_that_is_taken() -> None:
    now = 0.0
    pace = Pace(clock=lambda: now)

    def take(seconds: float) -> Callable[..., int]:
        def work(_connection: object, rows: int) -> int:
            nonlocal now
            now += seconds
            return rows

        return work

    assert pace.timed(take(AIM / 10))(None) == FIRST_ROWS  # type: ignore[arg-type]
    assert pace.timed(take(AIM * 3))(None) == FIRST_ROWS * 2  # type: ignore[arg-type]
    assert pace.rows == FIRST_ROWS
    for _ in range(20):
        pace.timed(take(AIM * 2))(None)  # type: ignore[arg-type]
    assert pace.rows == FIRST_ROWS, "waiting for others is no reason to do ever less"
    for _ in range(40):
        pace.timed(take(0.0))(None)  # type: ignore[arg-type]
    assert pace.rows == MOST_ROWS
