"""A run's record is the same after it was a row, whatever its fields are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from engine.models.permissions import Grant
from engine.models.runs import Mode, Outcome, RunError, RunFile, RunInfo, RunKind, RunState
from engine.services.runs.records import FILES_LOST, OUTPUT_LOST, run_info, run_row
from store.state.rows import FileRow, RunRow

QUEUED = RunInfo(
    id=7, kind=RunKind.SCRIPT, name="a.py", state=RunState.QUEUED, mode=Mode.RESTRICTED, actor="ann", source="cli",
    queued_at=1.5, timeout=3.0, code_sha256="ab",
)  # fmt: skip
FULL = replace(
    QUEUED, state=RunState.FINISHED, mode=Mode.ADMIN, isolation="full", started_at=2.0, finished_at=3.0, duration=1.0,
    slot=2, outcome=Outcome.SCRIPT_ERROR, signal=9, value={"a": [1, None]}, has_value=True, result="{}", note="n",
    error=RunError(type="T", message="m", filename="a.py", line=3), traceback="t", output_bytes=5,
    output_complete=False, unrecorded="u", grants=[Grant(access="read", path="/x")],
    files=[RunFile(name="f", size=1, sha256="cd")], inputs_sha256="ef", replay_of=6,
)  # fmt: skip
FILE = FileRow(7, "f", 1, "cd")


@pytest.mark.parametrize("info", [QUEUED, FULL, replace(FULL, value=None), replace(FULL, value=None, has_value=False)])
def test_a_record_survives_as_a_row(info: RunInfo) -> None:
    assert run_info(run_row(info), [FILE] if info.files else ()) == info


def test_only_the_place_in_the_queue_is_not_kept() -> None:
    waiting = replace(QUEUED, queue_position=1, queue_reason="full")
    assert run_info(run_row(waiting)) == QUEUED
    of_memory = {"queue_position", "queue_reason", "progress", "buffers", "output", "stderr"}
    beside = of_memory | {"has_value", "files", "condensed"}
    assert set(RunInfo.__struct_fields__) - set(RunRow.__struct_fields__) == beside
    assert set(RunRow.__struct_fields__) < set(RunInfo.__struct_fields__)


@pytest.mark.parametrize(
    ("lost", "note", "wanted"),
    [
        ({"output_lost": True}, None, OUTPUT_LOST),
        ({"output_lost": True}, "n", f"n {OUTPUT_LOST}"),
        ({"files_lost": True}, None, FILES_LOST),
        ({"files_lost": True}, "n", f"n {FILES_LOST}"),
        ({"output_lost": True, "files_lost": True}, None, f"{OUTPUT_LOST} {FILES_LOST}"),
    ],
)
def test_what_is_lost_is_said(lost: dict[str, Any], note: str | None, wanted: str) -> None:
    row = run_row(replace(QUEUED, note=note), **lost)
    assert row.note == wanted
    assert row.output_complete is ("output_lost" not in lost)


def test_a_row_that_names_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        run_info(replace(run_row(FULL), outcome="nonsense"))
