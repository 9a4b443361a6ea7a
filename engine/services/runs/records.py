"""Between the API's structs and the rows of the durable state, which knows nothing of ours: the two meet here."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from engine.models.permissions import Grant
from engine.models.runs import Mode, Outcome, OutputChunk, RunError, RunFile, RunInfo, RunKind, RunState, Stream
from engine.pool.outcome import ReturnedFile
from store.state.rows import FileRow, OutputRow, RunRow

OUTPUT_LOST = "Some of the output could not be recorded: the disk was full."
FILES_LOST = "The files it left could not be recorded: the disk was full."

_encode = msgspec.json.encode
_decode = msgspec.json.decode


def run_row(info: RunInfo, *, output_lost: bool = False, files_lost: bool = False) -> RunRow:
    """The row that keeps ``info``. ``output_lost`` and ``files_lost`` say what of it could not be written."""
    note = info.note or (OUTPUT_LOST if output_lost else None)
    if files_lost:
        note = f"{note} {FILES_LOST}" if note else FILES_LOST
    return RunRow(
        id=info.id,
        kind=info.kind.value,
        name=info.name,
        state=info.state.value,
        mode=info.mode.value,
        actor=info.actor,
        source=info.source,
        queued_at=info.queued_at,
        timeout=info.timeout,
        code_sha256=info.code_sha256,
        isolation=info.isolation,
        started_at=info.started_at,
        finished_at=info.finished_at,
        duration=info.duration,
        slot=info.slot,
        outcome=info.outcome.value if info.outcome else None,
        signal=info.signal,
        value=_encode(info.value).decode() if info.has_value else None,
        result=info.result,
        note=note,
        error=_encode(info.error).decode() if info.error else None,
        traceback=info.traceback,
        output_bytes=info.output_bytes,
        output_complete=info.output_complete and not output_lost and info.unrecorded is None,
        unrecorded=info.unrecorded,
        grants=_encode(info.grants).decode() if info.grants else None,
        inputs_sha256=info.inputs_sha256,
        replay_of=info.replay_of,
    )


def run_info(row: RunRow, files: Iterable[FileRow] = ()) -> RunInfo:
    return RunInfo(
        id=row.id,
        kind=RunKind(row.kind),
        name=row.name,
        state=RunState(row.state),
        mode=Mode(row.mode),
        actor=row.actor,
        source=row.source,
        queued_at=row.queued_at,
        timeout=row.timeout,
        code_sha256=row.code_sha256,
        isolation=row.isolation,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration=row.duration,
        slot=row.slot,
        outcome=Outcome(row.outcome) if row.outcome else None,
        signal=row.signal,
        value=_decode(row.value) if row.value is not None else None,
        has_value=row.value is not None,
        result=row.result,
        note=row.note,
        error=_decode(row.error, type=RunError) if row.error else None,
        traceback=row.traceback,
        output_bytes=row.output_bytes,
        output_complete=row.output_complete,
        unrecorded=row.unrecorded,
        grants=_decode(row.grants, type=list[Grant]) if row.grants else [],
        files=[RunFile(name=file.name, size=file.size, sha256=file.sha256) for file in files],
        inputs_sha256=row.inputs_sha256,
        replay_of=row.replay_of,
    )


def file_row(run_id: int, file: ReturnedFile) -> FileRow:
    return FileRow(run_id, file.name, len(file.data), file.sha256, file.data)


def run_file(file: ReturnedFile) -> RunFile:
    return RunFile(name=file.name, size=len(file.data), sha256=file.sha256)


def output_row(run_id: int, chunk: OutputChunk) -> OutputRow:
    return OutputRow(run_id=run_id, seq=chunk.seq, stream=chunk.stream.value, text=chunk.text, at=chunk.at)


def output_chunk(row: OutputRow) -> OutputChunk:
    return OutputChunk(seq=row.seq, stream=Stream(row.stream), text=row.text, at=row.at)
