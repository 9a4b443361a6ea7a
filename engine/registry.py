"""The one table of operations: the API mounts it as routes, the client builds requests from it, OpenAPI describes it.

An operation's ``params`` struct holds both what stands in its path and what may follow the question mark: fields named
in the path template belong to the path, the others to the query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from engine.models import (
    ApproveRequest,
    BufferInfo,
    CheckReport,
    CheckRequest,
    DeleteRequest,
    DuplicateRequest,
    EngineInfo,
    Event,
    GitAuthor,
    GitCommit,
    GitCommitRequest,
    GitDiff,
    GitLog,
    GitPaths,
    GitStatus,
    GitText,
    GitTrust,
    GitTrustRequest,
    Model,
    OutputPage,
    PermissionReview,
    PoolInfo,
    RebuildReport,
    RenameRequest,
    ResizeRequest,
    RestoreRequest,
    RunInfo,
    RunList,
    RunRequest,
    SaveRequest,
    ScriptHistory,
    ScriptInfo,
    ScriptList,
    ScriptText,
    ScriptVersion,
    SearchResult,
    SetKeysRequest,
    StopRequest,
    TaskInfo,
    TaskList,
    VersionText,
)

BASE = "/api/v1"
COMPAT_BASE = "/data/python3integration/api/v1"
"""Where clients of the Ignition module expect the API; the same routes as under ``BASE``."""

CLIENT_HEADER = "x-gatewright-client"
"""``console`` or ``cli``; absent means a REST client."""

MAX_ID = 2**63 - 1
"""The largest integer that SQLite stores."""

Method = Literal["GET", "POST", "PUT"]
RoleName = Literal["viewer", "operator", "author", "admin"]
Id = Annotated[int, Meta(ge=0, le=MAX_ID)]


class NoParams(Model, frozen=True):
    """Of an operation without parameters."""


class SlotParams(Model, frozen=True):
    slot: Annotated[int, Meta(ge=0, le=MAX_ID, description="The slot's number, as the pool lists it.")]


class RunParams(Model, frozen=True):
    run_id: Id


class StartParams(Model, frozen=True):
    follow: Annotated[bool, Meta(description="Answer with the run's event stream instead of its first record.")] = False


class RunListParams(Model, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0, le=MAX_ID, description="Only runs older than this one.")] | None = None
    name: Annotated[str, Meta(description="Only runs of this script.")] | None = None


class OutputParams(Model, frozen=True):
    run_id: Id
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The first chunk wanted.")] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 500


class RunEventsParams(Model, frozen=True):
    run_id: Id
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The first output chunk wanted.")] = 0


class RunFileParams(Model, frozen=True):
    run_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=1024, description="As the run's record names it.")]


class ScriptParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]


class SearchParams(Model, frozen=True):
    q: Annotated[str, Meta(max_length=1000, description="Words; the last one may be a beginning.")]
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class TaskParams(Model, frozen=True):
    task_id: Id


class VersionParams(Model, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="As the script's history names it.")]


class BufferParams(Model, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=4096, description="The file's name, as the script sees it.")]


class GitLogParams(Model, frozen=True):
    path: Annotated[str, Meta(description="Only commits that touch this script.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    skip: Annotated[int, Meta(ge=0, le=MAX_ID)] = 0


class GitDiffParams(Model, frozen=True):
    path: Annotated[str, Meta(description="A file, as the status lists it; may be left out with commit.")] | None = None
    staged: Annotated[bool, Meta(description="From HEAD to the index instead of from the index to the file.")] = False
    commit: Annotated[str, Meta(description="What this commit changed instead; hexadecimal.")] | None = None


class GitShowParams(Model, frozen=True):
    commit: Annotated[str, Meta(min_length=7, max_length=64, description="In hexadecimal.")]
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the scripts folder.")]


class EventsParams(Model, frozen=True):
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The last event seen; Last-Event-ID wins.")] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client can ask for.

    Attributes:
        name: Its name everywhere: handlers, OpenAPI's ``operationId``, audit.
        path: Relative to a base path. ``{name}`` is one segment, ``{name:path}`` may hold slashes.
        response: Type of the answer; of a stream, the type of one event's data.
        role: The least role that may ask (checked again, with more knowledge, by the service).
        stream: Answers with server-sent events (``runs.start`` only with ``follow``).
        raw_body: The body is a file's content, not JSON.
        raw_answer: The answer is a file's content, not JSON.
    """

    name: str
    method: Method
    path: str
    response: Any
    role: RoleName
    summary: str
    params: type[Model] = NoParams
    request: type[Model] | None = None
    status: int = 200
    stream: bool = False
    raw_body: bool = False
    raw_answer: bool = False

    @property
    def path_names(self) -> frozenset[str]:
        """Fields of ``params`` that stand in the path."""
        return frozenset(re.findall(r"{(\w+)(?::path)?}", self.path))

    def target(self, params: Model | None = None, base: str = BASE) -> str:
        """The request target for ``params``: path and query, escaped."""
        if params is None:
            return base + self.path
        values = {key: value for key, value in msgspec.to_builtins(params).items() if value is not None}
        path = self.path
        for name in self.path_names:
            value = str(values.pop(name))
            path = path.replace(f"{{{name}}}", quote(value, safe="")).replace(
                f"{{{name}:path}}", quote(value, safe="/")
            )
        query = urlencode({key: _query_text(value) for key, value in values.items()}, quote_via=quote)
        return f"{base}{path}?{query}" if query else base + path


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


ENGINE_INFO = Operation(
    "engine.info", "GET", "/engine", EngineInfo, "viewer", "Who serves this project, and what is wrong with it"
)
ENGINE_STOP = Operation(
    "engine.stop", "POST", "/engine/stop", EngineInfo, "admin", "Stop the engine", request=StopRequest, status=202
)
POOL_INFO = Operation("pool.info", "GET", "/pool", PoolInfo, "viewer", "Slots, queue and figures of the last minute")
POOL_RESIZE = Operation(
    "pool.resize", "POST", "/pool/size", PoolInfo, "admin", "Change the number of slots", request=ResizeRequest
)
POOL_RESTART = Operation(
    "pool.restart",
    "POST",
    "/pool/slots/{slot}/restart",
    PoolInfo,
    "admin",
    "Give a slot a new zygote",
    params=SlotParams,
)
RUNS_START = Operation(
    "runs.start",
    "POST",
    "/runs",
    RunInfo,
    "operator",
    "Run code, a module function or a saved script",
    params=StartParams,
    request=RunRequest,
    status=202,
)
RUNS_LIST = Operation("runs.list", "GET", "/runs", RunList, "viewer", "Runs, newest first", params=RunListParams)
RUNS_GET = Operation("runs.get", "GET", "/runs/{run_id}", RunInfo, "viewer", "One run", params=RunParams)
RUNS_OUTPUT = Operation(
    "runs.output", "GET", "/runs/{run_id}/output", OutputPage, "viewer", "A page of a run's output", params=OutputParams
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
)
RUNS_CANCEL = Operation(
    "runs.cancel",
    "POST",
    "/runs/{run_id}/cancel",
    RunInfo,
    "operator",
    "Stop a queued or running run",
    params=RunParams,
)
RUNS_FILE = Operation(
    "runs.file",
    "GET",
    "/runs/{run_id}/files/{name:path}",
    bytes,
    "viewer",
    "A file that a run left",
    params=RunFileParams,
    raw_answer=True,
)
SCRIPTS_LIST = Operation("scripts.list", "GET", "/scripts", ScriptList, "viewer", "Every script of the project")
SCRIPTS_LOAD = Operation(
    "scripts.load",
    "GET",
    "/scripts/text/{path:path}",
    ScriptText,
    "viewer",
    "A script with its text",
    params=ScriptParams,
)
SCRIPTS_SAVE = Operation(
    "scripts.save",
    "PUT",
    "/scripts/text/{path:path}",
    ScriptInfo,
    "author",
    "Save a script's text durably",
    params=ScriptParams,
    request=SaveRequest,
)
SCRIPTS_CHECK = Operation(
    "scripts.check",
    "POST",
    "/scripts/check",
    CheckReport,
    "viewer",
    "Parse a script's text in the sandbox: syntax errors, functions, imports",
    request=CheckRequest,
)
SCRIPTS_SET = Operation(
    "scripts.set",
    "POST",
    "/scripts/meta/{path:path}",
    ScriptInfo,
    "author",
    "Set or remove keys of a script's frontmatter, without touching anything else of its text",
    params=ScriptParams,
    request=SetKeysRequest,
)
SCRIPTS_SEARCH = Operation(
    "scripts.search",
    "GET",
    "/scripts/search",
    SearchResult,
    "viewer",
    "Scripts that have every word in name, title, tags or text",
    params=SearchParams,
)
SCRIPTS_RENAME = Operation(
    "scripts.rename",
    "POST",
    "/scripts/rename/{path:path}",
    ScriptInfo,
    "author",
    "Give a script another name, or move it to another folder",
    params=ScriptParams,
    request=RenameRequest,
)
SCRIPTS_DUPLICATE = Operation(
    "scripts.duplicate",
    "POST",
    "/scripts/duplicate/{path:path}",
    ScriptInfo,
    "author",
    "Make a new script of what another one holds",
    params=ScriptParams,
    request=DuplicateRequest,
    status=201,
)
SCRIPTS_DELETE = Operation(
    "scripts.delete",
    "POST",
    "/scripts/delete/{path:path}",
    ScriptVersion,
    "author",
    "Delete a script; the answer names what brings it back",
    params=ScriptParams,
    request=DeleteRequest,
)
SCRIPTS_HISTORY = Operation(
    "scripts.history",
    "GET",
    "/scripts/history/{path:path}",
    ScriptHistory,
    "author",
    "Versions of a script that were replaced, newest first",
    params=ScriptParams,
)
SCRIPTS_VERSION = Operation(
    "scripts.version",
    "GET",
    "/scripts/version/{path:path}",
    VersionText,
    "author",
    "The text of an old version",
    params=VersionParams,
)
SCRIPTS_RESTORE = Operation(
    "scripts.restore",
    "POST",
    "/scripts/restore/{path:path}",
    ScriptInfo,
    "author",
    "Bring an old version or a deleted script back",
    params=ScriptParams,
    request=RestoreRequest,
)
PERMISSIONS_REVIEW = Operation(
    "permissions.review",
    "GET",
    "/permissions/review/{path:path}",
    PermissionReview,
    "viewer",
    "What a script asks for, and what changed since its last approval",
    params=ScriptParams,
)
PERMISSIONS_APPROVE = Operation(
    "permissions.approve",
    "POST",
    "/permissions/approve/{path:path}",
    PermissionReview,
    "admin",
    "Approve a script's permissions for exactly this text",
    params=ScriptParams,
    request=ApproveRequest,
)
PERMISSIONS_REFUSE = Operation(
    "permissions.refuse",
    "POST",
    "/permissions/refuse/{path:path}",
    PermissionReview,
    "admin",
    "Refuse a script's permissions, or withdraw an approval",
    params=ScriptParams,
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
)
GIT_STATUS = Operation("git.status", "GET", "/git/status", GitStatus, "viewer", "Branch and changed files")
GIT_LOG = Operation("git.log", "GET", "/git/log", GitLog, "viewer", "Commits, newest first", params=GitLogParams)
SYNC_REBUILD = Operation(
    "sync.rebuild", "POST", "/sync/rebuild", RebuildReport, "author", "Make the index of scripts anew from the files"
)
TASKS_LIST = Operation("tasks.list", "GET", "/tasks", TaskList, "viewer", "What the engine is at, newest first")
TASKS_CANCEL = Operation(
    "tasks.cancel", "POST", "/tasks/{task_id}/cancel", TaskInfo, "author", "Stop a task", params=TaskParams
)
GIT_DIFF = Operation(
    "git.diff", "GET", "/git/diff", GitDiff, "author", "What changed in a file or by a commit", params=GitDiffParams
)
GIT_SHOW = Operation(
    "git.show",
    "GET",
    "/git/show/{commit}/{path:path}",
    GitText,
    "viewer",
    "A script's text as a commit has it",
    params=GitShowParams,
)
GIT_STAGE = Operation(
    "git.stage", "POST", "/git/stage", GitStatus, "author", "Put changed files into the index", request=GitPaths
)
GIT_UNSTAGE = Operation(
    "git.unstage", "POST", "/git/unstage", GitStatus, "author", "Take files out of the index", request=GitPaths
)
GIT_COMMIT = Operation(
    "git.commit",
    "POST",
    "/git/commit",
    GitCommit,
    "author",
    "Commit what is staged, under the caller's name",
    request=GitCommitRequest,
    status=201,
)
GIT_AUTHOR = Operation("git.author", "GET", "/git/author", GitAuthor, "author", "Who the caller's commits are by")
GIT_AUTHOR_SET = Operation(
    "git.author.set",
    "PUT",
    "/git/author",
    GitAuthor,
    "author",
    "Say who the caller's commits are by",
    request=GitAuthor,
)
GIT_PROGRAMS = Operation(
    "git.programs", "GET", "/git/trust", GitTrust, "viewer", "What the repository could make git run"
)
GIT_TRUST = Operation(
    "git.trust",
    "POST",
    "/git/trust",
    GitTrust,
    "admin",
    "Trust the repository as it was seen, or no longer",
    request=GitTrustRequest,
)
EVENTS = Operation(
    "events",
    "GET",
    "/events",
    Event,
    "viewer",
    "Everything that changes, as it changes",
    params=EventsParams,
    stream=True,
)
OPENAPI = Operation("openapi", "GET", "/openapi.json", dict[str, Any], "viewer", "This API as an OpenAPI 3.1 document")

OPERATIONS: tuple[Operation, ...] = (
    RUNS_START,
    RUNS_EVENTS,
    RUNS_CANCEL,
    RUNS_GET,
    RUNS_OUTPUT,
    RUNS_LIST,
    RUNS_FILE,
    ENGINE_INFO,
    ENGINE_STOP,
    POOL_INFO,
    POOL_RESIZE,
    POOL_RESTART,
    SCRIPTS_LIST,
    SCRIPTS_LOAD,
    SCRIPTS_SAVE,
    SCRIPTS_CHECK,
    SCRIPTS_SET,
    SCRIPTS_SEARCH,
    SCRIPTS_RENAME,
    SCRIPTS_DUPLICATE,
    SCRIPTS_DELETE,
    SCRIPTS_HISTORY,
    SCRIPTS_VERSION,
    SCRIPTS_RESTORE,
    PERMISSIONS_REVIEW,
    PERMISSIONS_APPROVE,
    PERMISSIONS_REFUSE,
    BUFFERS_CREATE,
    GIT_STATUS,
    GIT_LOG,
    SYNC_REBUILD,
    TASKS_LIST,
    TASKS_CANCEL,
    GIT_DIFF,
    GIT_SHOW,
    GIT_STAGE,
    GIT_UNSTAGE,
    GIT_COMMIT,
    GIT_AUTHOR,
    GIT_AUTHOR_SET,
    GIT_PROGRAMS,
    GIT_TRUST,
    EVENTS,
    OPENAPI,
)
"""In the order in which the API matches them: the hot ones first."""
