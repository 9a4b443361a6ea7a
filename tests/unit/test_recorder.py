"""Records reach the real state in groups; a full disk costs output, never a run's record, and is said."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.models.runs import Mode, Outcome, OutputChunk, RunInfo, RunKind, RunState, Stream
from engine.pool.outcome import ReturnedFile
from engine.services.runs.recorder import FLUSH_BYTES, Recorder
from store.errors import LowDisk
from store.state.audit import AuditEvent
from store.state.database import StateDB
from store.state.rows import FileRow, InputRow, OutputRow, RunRow


@dataclass
class Disk:
    """The real state behind a disk that can be full."""

    state: StateDB
    full: bool = False
    commits: int = 0
    durable: list[int] = field(default_factory=list)

    async def apply(
        self,
        started: Iterable[RunRow],
        output: Iterable[OutputRow],
        finished: Iterable[RunRow],
        files: Iterable[FileRow],
        inputs: Iterable[InputRow],
        audit: Sequence[AuditEvent],
        *,
        removed: Collection[tuple[int, int]] = (),
    ) -> None:
        if self.full:
            raise LowDisk("Cannot write state.db: the disk is full.")
        self.commits += 1
        await self.state.apply(started, output, finished, files, inputs, audit, removed=removed)

    def on_durable(self, run_ids: list[int]) -> None:
        self.durable += run_ids


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    state = await StateDB.open(tmp_path / "state.db")
    yield Disk(state)
    await state.close()


def run(run_id: int, **changes: object) -> RunInfo:
    info = RunInfo(
        id=run_id,
        kind=RunKind.EXEC,
        name="<exec>",
        state=RunState.RUNNING,
        mode=Mode.RESTRICTED,
        actor="alice",
        source="cli",
        queued_at=1.0,
        timeout=30.0,
        code_sha256="",
    )
    return replace(info, **changes)


def ended(run_id: int, **changes: object) -> RunInfo:
    return run(run_id, state=RunState.FINISHED, outcome=Outcome.OK, **changes)


def chunk(seq: int, text: str) -> OutputChunk:
    return OutputChunk(seq=seq, stream=Stream.STDOUT, text=text, at=1.0)


async def test_many_changes_of_a_run_become_one_commit(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    recorder.run_changed(run(1, state=RunState.QUEUED))
    recorder.run_changed(run(1))
    recorder.output(1, [chunk(0, "hello\n")])
    recorder.run_changed(ended(1, value=[1], has_value=True))
    await recorder.close()
    assert disk.commits == 1
    assert disk.durable == [1]
    row = await disk.state.run(1)
    assert row is not None
    assert (row.state, row.outcome, row.value) == ("finished", "ok", "[1]")
    assert [piece.text for piece in await disk.state.output(1)] == ["hello\n"]


async def test_much_output_does_not_wait_for_the_next_round(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    recorder.start()
    recorder.output(1, [chunk(0, "x" * FLUSH_BYTES)])
    recorder.run_changed(ended(1))
    while not disk.durable:
        await disk.state.run(1)  # lets the recorder work; the test's own timeout ends a wait in vain
    await recorder.close()
    assert await disk.state.output_bytes() == FLUSH_BYTES


async def test_a_full_disk_is_said_and_keeps_the_record_until_there_is_room(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    disk.full = True
    recorder.output(7, [chunk(0, "lost")])
    recorder.run_changed(run(7))
    await recorder.flush()
    assert recorder.problem is not None
    assert "disk is full" in recorder.problem
    assert disk.durable == []
    disk.full = False
    recorder.output(7, [chunk(1, "kept")])
    recorder.run_changed(ended(7))
    await recorder.close()
    assert recorder.problem is None
    row = await disk.state.run(7)
    assert row is not None
    assert (row.state, row.output_complete) == ("finished", False)
    assert row.note is not None
    assert "could not be recorded" in row.note
    assert [piece.text for piece in await disk.state.output(7)] == ["kept"]
    assert disk.durable == [7]


async def test_files_are_committed_with_the_final_record(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    recorder.run_changed(ended(5), [ReturnedFile("a/b.txt", bytearray(b"content"), "5a")])
    await recorder.close()
    assert disk.commits == 1
    assert await disk.state.file(5, "a/b.txt") == FileRow(5, "a/b.txt", 7, "5a", b"content")


async def test_a_full_disk_drops_the_files_and_the_record_says_so(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    disk.full = True
    recorder.run_changed(ended(5, note="Its result is text."), [ReturnedFile("a", bytearray(b"content"), "5a")])
    recorder.run_changed(ended(6), [])
    await recorder.flush()
    disk.full = False
    await recorder.close()
    row, other = await disk.state.run(5), await disk.state.run(6)
    assert row is not None
    assert other is not None
    assert row.note == "Its result is text. The files it left could not be recorded: the disk was full."
    assert other.note is None
    assert await disk.state.files([5, 6]) == {}


async def test_the_audit_hears_of_a_run_with_its_record_and_once_also_after_a_full_disk(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    disk.full = True
    recorder.run_changed(ended(5))
    recorder.tell(AuditEvent(1.0, "alice", 1, "cli", "run", "#5 <exec>"))
    await recorder.flush()
    assert await disk.state.audit.newest(9) == []
    disk.full = False
    recorder.tell(AuditEvent(2.0, "alice", 1, "cli", "run", "#6 <exec>"))
    await recorder.close()
    assert disk.commits == 1
    assert [row.subject for row in await disk.state.audit.newest(9)] == ["#6 <exec>", "#5 <exec>"]


async def test_a_complete_run_stays_complete(disk: Disk) -> None:
    recorder = Recorder(disk, disk.on_durable)
    recorder.run_changed(ended(3))
    await recorder.close()
    row = await disk.state.run(3)
    assert row is not None
    assert row.output_complete


async def test_it_closes_in_the_moment_in_which_a_large_output_comes(disk: Disk) -> None:
    """Else the engine would never end: its stop would be lost in the wait that just ended."""
    recorder = Recorder(disk, disk.on_durable)
    recorder.start()
    recorder.run_changed(run(1))
    await asyncio.sleep(0)  # it waits for more now
    await asyncio.sleep(0)
    recorder.output(1, [chunk(0, "x" * FLUSH_BYTES)])
    closing = asyncio.create_task(recorder.close())
    ended, _ = await asyncio.wait({closing}, timeout=20)
    assert ended == {closing}
    assert [row.id for row in await disk.state.runs(limit=9)] == [1]
