"""Writes runs, output and files to the durable state, in groups, without ever delaying a run (DESIGN section 5)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from engine.models.runs import OutputChunk, RunInfo, RunState
from engine.pool.outcome import ReturnedFile
from engine.services.runs.records import file_row, output_row, run_row
from store.errors import StoreError
from store.state.audit import AuditEvent
from store.state.rows import FileRow, InputRow, OutputRow, RunRow

log = logging.getLogger(__name__)

FLUSH_EVERY = 0.1
FLUSH_BYTES = 64 << 10

Files = dict[int, Sequence[ReturnedFile]]
"""By run."""

Place = tuple[int, int]
"""Of a chunk: its run and its number."""

Output = dict[Place, OutputChunk]


class RunStore(Protocol):
    """The part of ``store.state.database.StateDB`` that takes records."""

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
    ) -> None: ...


class Recorder:
    """Collects what changed and commits it as one transaction every 100 ms, sooner when much output waits."""

    def __init__(self, state: RunStore, on_durable: Callable[[list[int]], None]) -> None:
        """``on_durable`` gets the ids of the finished runs that a commit made durable."""
        self._state = state
        self._on_durable = on_durable
        self._runs: dict[int, RunInfo] = {}
        self._output: dict[Place, OutputChunk] = {}
        self._removed: set[Place] = set()
        self._output_bytes = 0
        self._files: Files = {}
        self._inputs: dict[int, InputRow] = {}
        self._told: list[AuditEvent] = []
        self._lost_output: set[int] = set()
        self._lost_files: set[int] = set()
        self._work = asyncio.Event()
        self._full = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Set while records cannot be written; one sentence for the user."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="recorder")

    def run_changed(self, info: RunInfo, files: Sequence[ReturnedFile] = ()) -> None:
        """Record the latest state of a run, with its final one the files it left."""
        self._runs[info.id] = info
        if files:
            self._files[info.id] = files
        self._work.set()

    def inputs(self, row: InputRow) -> None:
        """Record what a run is given, together with its first record."""
        self._inputs[row.run_id] = row

    def tell(self, event: AuditEvent) -> None:
        """Have the audit hear of a run's end, in the transaction that records it."""
        self._told.append(event)
        self._work.set()

    def output(self, run_id: int, chunks: Iterable[OutputChunk], removed: Iterable[int] = ()) -> None:
        """Record ``chunks`` of a run, after those were taken off the record whose numbers are ``removed``."""
        for number in removed:
            self._output.pop((run_id, number), None)
            self._removed.add((run_id, number))
        for chunk in chunks:
            self._output[run_id, chunk.seq] = chunk
            self._output_bytes += len(chunk.text)
        self._work.set()
        if self._output_bytes >= FLUSH_BYTES:
            self._full.set()

    async def close(self) -> None:
        """Write what is left and stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def flush(self) -> None:
        """Commit what was collected so far.

        A failure keeps the runs' records for the next try and drops all that takes room: output, files and inputs.
        """
        async with self._flushing:
            runs, self._runs = self._runs, {}
            output, self._output = self._output, {}
            removed, self._removed = self._removed, set()
            files, self._files = self._files, {}
            told, self._told = self._told, []
            self._output_bytes = 0
            if not runs and not output and not removed and not told:
                return
            await self._commit(runs, output, files, removed, told)

    async def _commit(
        self, runs: dict[int, RunInfo], output: Output, files: Files, removed: set[Place], told: list[AuditEvent]
    ) -> None:
        finished = [info for info in runs.values() if info.state is RunState.FINISHED]
        started = [info for info in runs.values() if info.state is not RunState.FINISHED]
        try:
            await self._state.apply(
                [run_row(info) for info in started],
                [output_row(run_id, chunk) for (run_id, _), chunk in output.items()],
                [
                    run_row(info, output_lost=info.id in self._lost_output, files_lost=info.id in self._lost_files)
                    for info in finished
                ],
                [file_row(run_id, file) for run_id, left in files.items() for file in left],
                [row for run_id in runs if (row := self._inputs.pop(run_id, None)) is not None],
                told,
                removed=removed,
            )
        except StoreError as error:
            self._lost_files.update(files)
            self._told = told + self._told
            self._keep(runs, output, error)
            return
        if self.problem is not None:
            log.warning("records are written again")
            self.problem = None
        for lost in (self._lost_output, self._lost_files):
            lost.difference_update(info.id for info in finished)
        self._on_durable([info.id for info in finished])

    def _keep(self, runs: dict[int, RunInfo], output: Output, error: StoreError) -> None:
        self._runs = runs | self._runs
        self._lost_output.update(run_id for run_id, _ in output)
        self._work.set()
        if self.problem is None:
            log.error("run records cannot be written: %s", error)
        self.problem = f"Runs and their output are not being recorded: {error}"

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            with contextlib.suppress(TimeoutError):
                # wait_for loses a cancellation that comes with what it waits for, before Python 3.12.
                async with asyncio.timeout(1.0 if self.problem else FLUSH_EVERY):
                    await self._full.wait()
            self._full.clear()
            await asyncio.shield(self.flush())
