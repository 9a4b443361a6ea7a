"""Operations on runs and the files that they are given."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.runs import (
    BufferInfo,
    Outcome,
    OutputPage,
    ReplayRequest,
    RunComparison,
    RunInfo,
    RunInputs,
    RunList,
    RunProgress,
    RunRequest,
)
from engine.registry.operation import MAX_ID, TRANSFER_TIMEOUT, Id, Operation


class RunParams(Model, frozen=True):
    run_id: Id


FOLLOW = Meta(description="Answer with the run's event stream instead of its first record.")
WAIT = Meta(
    ge=0,
    le=3600,
    description=(
        "Answer with the finished record and 200, or after so many seconds with 202 and the record so far; "
        "a client that leaves before cancels its run."
    ),
)
KEPT = Meta(description="Of the output only what is kept, at the end of the run, instead of all of it as it comes.")


class StartParams(Model, frozen=True):
    follow: Annotated[bool, FOLLOW] = False
    kept: Annotated[bool, KEPT] = False
    wait: Annotated[float, WAIT] | None = None


class RunListParams(Model, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0, le=MAX_ID, description="Only runs older than this one.")] | None = None
    name: Annotated[str, Meta(description="Only runs of this script.")] | None = None
    part: Annotated[str, Meta(max_length=255, description="Only runs with this in their name.")] | None = None
    outcome: Annotated[Outcome, Meta(description="Only runs that ended so.")] | None = None
    actor: Annotated[str, Meta(max_length=255, description="Only runs of this account, or of this token.")] | None = (
        None
    )
    since: Annotated[float, Meta(description="Only runs asked for at this time or later.")] | None = None
    until: Annotated[float, Meta(description="Only runs asked for before this time.")] | None = None


class ReplayParams(Model, frozen=True):
    run_id: Id
    follow: Annotated[bool, FOLLOW] = False
    kept: Annotated[bool, KEPT] = False
    wait: Annotated[float, WAIT] | None = None


class CompareParams(Model, frozen=True):
    run_id: Id
    other_id: Id


class OutputParams(Model, frozen=True):
    run_id: Id
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The first chunk wanted.")] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 500


class RunEventsParams(Model, frozen=True):
    run_id: Id
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The first output chunk wanted.")] = 0
    kept: Annotated[bool, KEPT] = False


class RunFileParams(Model, frozen=True):
    run_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=1024, description="As the run's record names it.")]


class RunBufferParams(Model, frozen=True):
    run_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=1024, description="As the script named it.")]


class BufferParams(Model, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=4096, description="The file's name, as the script sees it.")]


RUNS_START = Operation(
    "runs.start",
    "POST",
    "/runs",
    RunInfo,
    "operator",
    "Start runs: code, a module function or a saved script",
    params=StartParams,
    body=RunRequest,
    status=202,
    parts="for saved scripts, author for other code and module functions, admin for ADMIN runs",
    scoped=True,
    idempotent=True,
)
RUNS_LIST = Operation(
    "runs.list",
    "GET",
    "/runs",
    RunList,
    "viewer",
    "List runs, newest first",
    params=RunListParams,
    scoped=True,
    kinds=("utility",),
)
RUNS_GET = Operation(
    "runs.get",
    "GET",
    "/runs/{run_id}",
    RunInfo,
    "viewer",
    "See a run",
    params=RunParams,
    scoped=True,
    kinds=("utility",),
)
RUNS_OUTPUT = Operation(
    "runs.output",
    "GET",
    "/runs/{run_id}/output",
    OutputPage,
    "viewer",
    "See a page of a run's output",
    params=OutputParams,
    scoped=True,
)
RUNS_EVENTS = Operation(
    "runs.events",
    "GET",
    "/runs/{run_id}/events",
    RunInfo,
    "viewer",
    "Follow a run: events output, run and, last, finished",
    params=RunEventsParams,
    stream=True,
    scoped=True,
)
RUNS_CANCEL = Operation(
    "runs.cancel",
    "POST",
    "/runs/{run_id}/cancel",
    RunInfo,
    "operator",
    "Stop runs, queued or running",
    params=RunParams,
    scoped=True,
)
RUNS_PROGRESS = Operation(
    "runs.progress",
    "PUT",
    "/runs/{run_id}/progress",
    RunProgress,
    "operator",
    "Tell how far a run of one's own is",
    params=RunParams,
    body=RunProgress,
    scoped=True,
    kinds=("utility",),
)
RUNS_FILE = Operation(
    "runs.file",
    "GET",
    "/runs/{run_id}/files/{name:path}",
    bytes,
    "viewer",
    "Download a file that a run left",
    params=RunFileParams,
    raw_answer=True,
    patience=TRANSFER_TIMEOUT,
    scoped=True,
)
RUNS_BUFFER = Operation(
    "runs.buffer",
    "GET",
    "/runs/{run_id}/buffers/{name}",
    bytes,
    "viewer",
    "Download a buffer that a run left",
    params=RunBufferParams,
    raw_answer=True,
    patience=TRANSFER_TIMEOUT,
    scoped=True,
)
RUNS_INPUTS = Operation(
    "runs.inputs",
    "GET",
    "/runs/{run_id}/inputs",
    RunInputs,
    "viewer",
    "See what a run was given: arguments, files by their hash, and the text that ran",
    params=RunParams,
    scoped=True,
)
RUNS_REPLAY = Operation(
    "runs.replay",
    "POST",
    "/runs/{run_id}/replay",
    RunInfo,
    "operator",
    "Replay runs: the same text with the same inputs; everything is judged again",
    params=ReplayParams,
    body=ReplayRequest,
    status=202,
    parts="for saved scripts, author for other code and module functions, admin for ADMIN runs",
    scoped=True,
    idempotent=True,
)
RUNS_COMPARE = Operation(
    "runs.compare",
    "GET",
    "/runs/{run_id}/compare/{other_id}",
    RunComparison,
    "viewer",
    "Compare two runs: inputs, text, result and output",
    params=CompareParams,
    scoped=True,
)
BUFFERS_CREATE = Operation(
    "buffers.create",
    "POST",
    "/buffers",
    BufferInfo,
    "operator",
    "Upload a file for a run to read",
    params=BufferParams,
    status=201,
    raw_body=True,
    scoped=True,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    RUNS_START,
    RUNS_LIST,
    RUNS_GET,
    RUNS_OUTPUT,
    RUNS_EVENTS,
    RUNS_CANCEL,
    RUNS_PROGRESS,
    RUNS_FILE,
    RUNS_BUFFER,
    RUNS_INPUTS,
    RUNS_REPLAY,
    RUNS_COMPARE,
    BUFFERS_CREATE,
)
