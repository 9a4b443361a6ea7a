"""What crosses the API: the structs that server and client share.

Times are seconds since the epoch as float, durations seconds as float, sizes bytes. Paths of scripts are POSIX and
relative to the project's ``scripts/`` folder. Every struct is immutable; fields that may be absent have a default, so
that an older client reads a newer engine's answer and the other way round.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

API_VERSION = 1
"""Raised when a client of the previous version could misread an answer."""


class Mode(StrEnum):
    """What a run may do (DESIGN 4.4)."""

    RESTRICTED = "RESTRICTED"
    ADMIN = "ADMIN"


class Outcome(StrEnum):
    """How a run ended, decided from its RESULT frame and its wait status together (DESIGN 4.3)."""

    OK = "ok"
    SCRIPT_ERROR = "script_error"
    IMPORT_DENIED = "import_denied"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    CRASHED = "crashed"
    EXITED = "exited"
    PROTOCOL = "protocol"
    INTERRUPTED = "interrupted"
    SANDBOX_UNAVAILABLE = "sandbox_unavailable"


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


class RunKind(StrEnum):
    EXEC = "exec"
    EVAL = "eval"
    CALL = "call"
    SCRIPT = "script"


class Priority(IntEnum):
    """Lower goes first; waiting makes a run older and so more urgent."""

    INTERACTIVE = 0
    API = 1
    BATCH = 2


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


class SlotState(StrEnum):
    """``starting``: no zygote yet. ``preparing``: its next child is being made. ``ready``: a parked child waits."""

    STARTING = "starting"
    PREPARING = "preparing"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that crosses the API."""


class RunRequest(Model, frozen=True):
    """What a client asks to run.

    ``kind`` decides which fields count: ``exec`` and ``eval`` read ``code``; ``call`` reads ``module`` and
    ``function``; ``script`` reads ``script`` (its path) and, to run text of it that is not saved yet, ``code``.
    ``files`` maps a parameter's name to the id of an uploaded buffer.
    """

    kind: RunKind
    code: str = ""
    module: str = ""
    function: str = ""
    script: str = ""
    params: dict[str, Any] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    files: dict[str, str] = {}
    entrypoint: str | None = None
    mode: str = Mode.RESTRICTED
    timeout: float | None = None
    name: str | None = None
    """What lists show for code that has no file, "<exec>" if not given. The console names the script being edited."""
    batch: bool = False


class RunError(Model, frozen=True):
    """What went wrong, in the script's own terms."""

    type: str
    message: str
    filename: str | None = None
    line: int | None = None


class Access(StrEnum):
    """What a declared permission lets a script do below a path. ``write`` includes reading, making and removing."""

    READ = "read"
    WRITE = "write"


class Grant(Model, frozen=True):
    """One path outside the scratch folder that a script asks for, or that a run was given."""

    access: Access
    path: str


class RunFile(Model, frozen=True):
    """A file that a script left in its scratch folder and named in its result; kept in the run's record."""

    name: str
    size: int
    sha256: str


class RunInfo(Model, frozen=True):
    """One run: queued, running or finished. It is also the row of the history."""

    id: int
    kind: RunKind
    name: str
    state: RunState
    mode: Mode
    actor: str
    source: str
    """``console``, ``cli``, ``rest`` or ``library``."""
    queued_at: float
    timeout: float
    code_sha256: str
    isolation: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    duration: float | None = None
    queue_position: int | None = None
    """1 is next."""
    queue_reason: str | None = None
    slot: int | None = None
    outcome: Outcome | None = None
    signal: int | None = None
    value: Any = None
    has_value: bool = False
    """False: the script left no result, or one that JSON cannot carry; ``note`` says so, ``result`` is its text."""
    result: str | None = None
    note: str | None = None
    error: RunError | None = None
    traceback: str | None = None
    output_bytes: int = 0
    output_complete: bool = True
    """False when the output limit cut it, or when the engine no longer holds all of it."""
    grants: list[Grant] = []
    """The approved permissions it ran with, by their canonical paths."""
    files: list[RunFile] = []


class OutputChunk(Model, frozen=True):
    """A piece of output in the order in which the script wrote it. ``seq`` starts at 0 and has no gaps."""

    seq: int
    stream: Stream
    text: str
    at: float


class OutputPage(Model, frozen=True):
    run_id: int
    chunks: list[OutputChunk]
    next_seq: int
    finished: bool


class RunList(Model, frozen=True):
    runs: list[RunInfo]
    """Newest first."""
    next_before: int | None = None
    """Pass as ``before`` to get the next page; None on the last one."""


class SlotInfo(Model, frozen=True):
    slot: int
    state: SlotState
    since: float
    """When it entered this state."""
    runs: int = 0
    restarts: int = 0
    run_id: int | None = None
    script: str | None = None
    actor: str | None = None
    pid: int | None = None
    """Of the child, as the engine's host sees it."""
    isolation: str = ""
    problem: str | None = None
    mode: Mode = Mode.RESTRICTED
    """What the slot's zygote is made for."""


class QueueEntry(Model, frozen=True):
    run_id: int
    name: str
    actor: str
    position: int
    reason: str
    queued_at: float


class PoolInfo(Model, frozen=True):
    size: int
    slots: list[SlotInfo]
    queue: list[QueueEntry] = []
    running: int = 0
    ready: int = 0
    runs_last_minute: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    isolation: str = ""


class ParamType(StrEnum):
    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    LIST = "list"
    FILE = "file"
    CHOICE = "choice"


class ParamInfo(Model, frozen=True):
    name: str
    type: ParamType = ParamType.STR
    default: Any = None
    required: bool = True
    help: str = ""
    choices: list[str] = []


class ScriptInfo(Model, frozen=True):
    path: str
    title: str
    kind: str = "utility"
    description: str = ""
    entrypoint: str | None = None
    enabled: bool = True
    tags: list[str] = []
    params: list[ParamInfo] = []
    timeout: float | None = None
    memory: int | None = None
    output: int | None = None
    result: int | None = None
    scratch: int | None = None
    open_files: int | None = None
    parallel: int | None = None
    """How many runs of it may go on at once."""
    preload: list[str] = []
    requires_python: str | None = None
    dependencies: list[str] = []
    permissions: list[Grant] = []
    """What it asks for, as written."""
    needs_approval: bool = False
    """It asks for permissions and an administrator has not approved exactly this text."""
    sha256: str = ""
    size: int = 0
    modified: float = 0.0
    problem: str | None = None
    """One sentence when the file cannot be used as it is; the rest of the list works on."""
    note: str | None = None
    """One sentence about a name that makes trouble elsewhere; the script works."""


class ScriptText(Model, frozen=True):
    info: ScriptInfo
    text: str


class ScriptList(Model, frozen=True):
    scripts: list[ScriptInfo]


class SaveRequest(Model, frozen=True):
    """``base_sha256`` is the hash of the text the author loaded; None means "this is a new script"."""

    text: str
    base_sha256: str | None = None
    convert_header: bool = False
    """Of a script that comes from elsewhere: an older tool's header becomes a frontmatter block."""


class SetKeysRequest(Model, frozen=True):
    """Keys of a script's frontmatter, all to be set or none.

    ``changes`` maps a key (``kind``, ``limits.timeout``, ``params.hours.default``) to its new value, or to null to
    remove it; ``params.hours`` with null removes the whole parameter. ``base_sha256``, if given, is the hash of the
    text that these changes are meant for.
    """

    changes: dict[str, Any]
    base_sha256: str | None = None


class FoundScript(Model, frozen=True):
    """A script that a search found."""

    path: str
    title: str
    line: int = 0
    """Where its text has one of the words, from 1; 0 when they are in its name, title or tags only."""
    text: str = ""
    """That line."""


class SearchResult(Model, frozen=True):
    """Scripts with every word, those first that have them in name, title or tags."""

    scripts: list[FoundScript]
    more: bool = False
    """There are more than were asked for."""


class RenameRequest(Model, frozen=True):
    """Folders of ``new_path`` are made if need be. ``base_sha256`` None means "whatever it holds"."""

    new_path: str
    base_sha256: str | None = None


class DuplicateRequest(Model, frozen=True):
    """``new_path`` None: beside the script, with a name made from its own."""

    new_path: str | None = None


class DeleteRequest(Model, frozen=True):
    """``base_sha256`` is the hash of what the author has seen; None means "whatever is there"."""

    base_sha256: str | None = None


class RestoreRequest(Model, frozen=True):
    """``sha256`` None: the newest version that differs from what is there. ``base_sha256`` as for a deletion."""

    sha256: str | None = None
    base_sha256: str | None = None


class VersionReason(StrEnum):
    """What took the place of a version. ``conflict``: nothing did, it is a text that was refused itself."""

    SAVED = "saved"
    DELETED = "deleted"
    RENAMED = "renamed"
    RESTORED = "restored"
    CONFLICT = "conflict"


class ScriptVersion(Model, frozen=True):
    """A version of a script that something took the place of; its bytes are kept."""

    path: str
    """The path that it had."""
    sha256: str
    size: int
    reason: VersionReason
    at: float
    """When it was replaced."""
    uid: int
    name: str
    """Who replaced it."""
    new_path: str | None = None
    """Only with ``renamed``."""


class ScriptHistory(Model, frozen=True):
    path: str
    versions: list[ScriptVersion]
    """Newest first; also those it had under earlier names."""
    sha256: str | None = None
    """What it holds now; None when there is no such script now."""


class VersionText(Model, frozen=True):
    path: str
    sha256: str
    text: str


class ApprovalState(StrEnum):
    """``none``: the script asks for nothing. ``changed``: an earlier text or set of permissions was approved."""

    NONE = "none"
    APPROVED = "approved"
    NEEDED = "needed"
    CHANGED = "changed"
    REFUSED = "refused"


class AskedPermission(Model, frozen=True):
    """One declared permission, judged."""

    access: Access
    path: str
    """As written."""
    canonical: str | None = None
    """Without symbolic links; what an approval fixes. None when it cannot be granted."""
    folder: bool = True
    change: str = "new"
    """Against the last approval: ``new``, ``unchanged``."""
    problem: str | None = None
    """One sentence why it cannot be granted."""
    note: str | None = None
    """What to know before approving, for example that a single file does not survive log rotation."""


class PermissionReview(Model, frozen=True):
    """What an administrator is shown before approving a script's permissions."""

    script: str
    sha256: str
    """Of the text that is judged."""
    state: ApprovalState
    asked: list[AskedPermission] = []
    removed: list[Grant] = []
    """Approved before and not asked for any more."""
    approved_by: str | None = None
    """Of the last approval, with its time and the text it was for."""
    approved_at: float | None = None
    approved_sha256: str | None = None
    diff: str = ""
    """Unified difference of the text since that approval, whole text when there was none."""


class ApproveRequest(Model, frozen=True):
    """Exactly what the administrator saw: if the script has changed since, nothing is approved."""

    sha256: str
    grants: list[Grant]
    """Canonical."""


class CheckRequest(Model, frozen=True):
    text: str
    path: str = ""


class CheckProblem(Model, frozen=True):
    """Something wrong with a script's text. Lines start at 1, columns at 0, in characters."""

    message: str
    line: int = 1
    column: int = 0
    end_line: int | None = None
    end_column: int | None = None
    severity: str = "error"
    """``error``: it cannot run. ``warning``: it will probably fail."""


class CheckedParam(Model, frozen=True):
    """One parameter of a function, as ``inspect`` names its kind."""

    name: str
    kind: str = "positional_or_keyword"
    required: bool = True
    annotation: str = ""
    default: str = ""


class CheckedFunction(Model, frozen=True):
    """A function at the top level of a script: it could be the entrypoint."""

    name: str
    line: int
    params: list[CheckedParam] = []
    summary: str = ""


class CheckReport(Model, frozen=True):
    """What the parser in the sandbox found."""

    problems: list[CheckProblem] = []
    functions: list[CheckedFunction] = []
    imports: list[str] = []


class BufferInfo(Model, frozen=True):
    """An uploaded file, held by the engine until a run uses it or its lease ends."""

    id: str
    name: str
    size: int
    sha256: str


class GitFile(Model, frozen=True):
    path: str
    """Relative to the repository's root."""
    index: str
    worktree: str
    """The two letters of ``git status --porcelain`` (git-status(1))."""


class GitStatus(Model, frozen=True):
    available: bool
    problem: str | None = None
    branch: str | None = None
    """None when HEAD is on none."""
    files: list[GitFile] = []
    head: str | None = None
    """The commit that HEAD names; None when there is none yet."""
    under_way: str | None = None
    """``merge``, ``rebase``, ``cherry-pick`` or ``revert`` when one was begun and not ended."""


class GitCommit(Model, frozen=True):
    sha: str
    author: str
    at: float
    subject: str


class GitLog(Model, frozen=True):
    commits: list[GitCommit]
    more: bool = False


class TaskState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskInfo(Model, frozen=True):
    """Something of the engine's own that takes a while. Events of type ``task`` carry it."""

    id: int
    kind: str
    """``rebuild``."""
    actor: str
    started_at: float
    state: TaskState = TaskState.RUNNING
    doing: str = ""
    """What it is at: ``reading``, ``indexing``."""
    done: int = 0
    """How many of that."""
    finished_at: float | None = None
    error: str | None = None


class TaskList(Model, frozen=True):
    """What goes on and what ended lately, newest first."""

    tasks: list[TaskInfo]


class RenamedScript(Model, frozen=True):
    old: str
    new: str


class ScriptProblem(Model, frozen=True):
    path: str
    problem: str


class RebuildReport(Model, frozen=True):
    """What a rebuild found on disk, against what the index held before."""

    scripts: int
    """How many there are now."""
    seconds: float
    created: list[str] = []
    updated: list[str] = []
    renamed: list[RenamedScript] = []
    """Gone from one place and there at another, with the same content."""
    removed: list[str] = []
    problems: list[ScriptProblem] = []
    """Listed, but not usable as they are."""


class GitDiff(Model, frozen=True):
    """A unified difference, as git writes it."""

    text: str
    cut: bool = False
    """It is longer than what is sent; the end is missing."""


class GitPaths(Model, frozen=True):
    """Changed files as ``GitStatus`` lists them, or folders with changed files in them."""

    paths: Annotated[list[str], Meta(min_length=1, max_length=10_000)]


class GitCommitRequest(Model, frozen=True):
    """What is staged is committed; the engine adds a line that says who asked."""

    message: str


class GitAuthor(Model, frozen=True):
    """Who the caller's commits are by; both None when it was never said."""

    name: str | None = None
    email: str | None = None


class GitText(Model, frozen=True):
    """A script as a commit has it. To restore it, save it."""

    path: str
    sha: str
    text: str


class GitProgram(Model, frozen=True):
    """Something that the repository could make git run, or be led by."""

    kind: str
    """``setting``, ``hook`` or ``place``."""
    name: str
    value: str


class GitTrust(Model, frozen=True):
    """Whether the repository may be written to. One that names no programs needs no trust."""

    needed: bool
    trusted: bool
    fingerprint: str
    """Of exactly these programs."""
    programs: list[GitProgram] = []


class GitTrustRequest(Model, frozen=True):
    """``fingerprint``: of what the caller saw; None takes the trust back."""

    fingerprint: str | None = None


class EngineInfo(Model, frozen=True):
    """The engine's answer to a handshake."""

    version: str
    api_version: int
    pid: int
    project: str
    owner: str
    started_at: float
    isolation: str = ""
    level: str = ""
    """What this host gives RESTRICTED runs: ``full``, ``core``, ``degraded`` or ``refused``."""
    admin: str = ""
    """Why there are no ADMIN runs here, one sentence; empty when administrators may start them."""
    log_file: str = ""
    problems: list[str] = []
    """What the user should know: a lost log line, a full disk, a missing sandbox layer."""


class StopRequest(Model, frozen=True):
    """``force`` stops the engine although runs go on; they end as interrupted."""

    force: bool = False


class ResizeRequest(Model, frozen=True):
    size: int


class Event(Model, frozen=True):
    """One line of the event stream. ``data`` is a RunInfo, PoolInfo, ScriptInfo … as plain JSON, by ``type``."""

    seq: int
    type: str
    at: float
    data: Any = None


class ErrorBody(Model, frozen=True, omit_defaults=False):
    """Body of every answer that is not a success (DESIGN 6)."""

    error: str
    code: str
    hint: str | None = None
    success: bool = False
