"""Between the API's structs and the rows of the durable state, which knows nothing of ours: the two meet here."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import asdict

from engine.models.runs import OutputChunk, RunFile, RunInfo, Stream
from engine.pool.outcome import ReturnedFile
from engine.services.runs.kept_output import GAP
from store.state.rows import FileRow, OutputRow, RunRow

OUTPUT_LOST = "Some of the output could not be recorded: the disk was full."
FILES_LOST = "The files it left could not be recorded: the disk was full."

_COLUMNS = RunRow.__struct_fields__
"""Fields of ``RunInfo`` as well, and the same in both but for what is written as JSON."""

_JSON = ("value", "error", "grants", "shared")
_LISTS = ("grants", "shared")

_in_columns = attrgetter(*_COLUMNS)
_encode = msgspec.json.encode
_decode = msgspec.json.decode


def run_row(info: RunInfo, *, output_lost: bool = False, files_lost: bool = False) -> RunRow:
    """The row that keeps ``info``. ``output_lost`` and ``files_lost`` say what of it could not be written."""
    values: dict[str, Any] = dict(zip(_COLUMNS, _in_columns(info), strict=True))
    values["value"] = _encode(info.value).decode() if info.has_value else None
    for name in ("error", *_LISTS):
        values[name] = _encode(values[name]).decode() if values[name] else None
    if output_lost or info.unrecorded is not None:
        values["output_complete"] = False
    lost = [OUTPUT_LOST] * output_lost + [FILES_LOST] * files_lost
    if lost:
        values["note"] = " ".join(filter(None, (info.note, *lost)))
    return RunRow(**values)


def run_info(row: RunRow, files: Iterable[FileRow] = ()) -> RunInfo:
    """The record that was kept as ``row``."""
    values = asdict(row)
    values["has_value"] = row.value is not None
    for name in _JSON:
        values[name] = _decode(values[name]) if values[name] else None
    for name in _LISTS:
        values[name] = values[name] or []
    values["files"] = [RunFile(name=file.name, size=file.size, sha256=file.sha256) for file in files]
    return msgspec.convert(values, RunInfo)


def file_row(run_id: int, file: ReturnedFile) -> FileRow:
    return FileRow(run_id, file.name, len(file.data), file.sha256, file.data)


def run_file(file: ReturnedFile) -> RunFile:
    return RunFile(name=file.name, size=len(file.data), sha256=file.sha256)


def output_row(run_id: int, chunk: OutputChunk) -> OutputRow:
    return OutputRow(run_id=run_id, seq=chunk.seq, stream=chunk.stream.value, text=chunk.text, at=chunk.at)


def output_chunk(row: OutputRow, *, complete: bool) -> OutputChunk:
    """The piece of output that was kept as ``row``. ``complete``: all of the run's output was kept."""
    gap = not complete and GAP.fullmatch(row.text) is not None
    return OutputChunk(seq=row.seq, stream=Stream(row.stream), text=row.text, at=row.at, gap=gap)
