"""Runs: what is asked for, what became of it, its output and files, its repetition and comparison."""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.permissions import Grant
from engine.models.shared import SharedFile


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
    ENVIRONMENT = "environment"
    """The packages that its header names could not be had: it did not begin."""


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


class RunKind(StrEnum):
    EXEC = "exec"
    EVAL = "eval"
    CALL = "call"
    SCRIPT = "script"
    RENDER = "render"
    """A batch: calls of macros, which no client asks for as a run."""


class Priority(IntEnum):
    """Lower goes first; waiting makes a run older and so more urgent."""

    INTERACTIVE = 0
    API = 1
    BATCH = 2


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


Arguments = Annotated[list[Annotated[str, Meta(max_length=65_536)]], Meta(max_length=1_000)]
"""What follows the script's name on a command line."""


Name = Annotated[str, Meta(max_length=1_000)]
"""The name of what is to run: longer than any that there is."""


class RunRequest(Model, frozen=True):
    """What a client asks to run.

    ``kind`` decides which fields count: ``exec`` and ``eval`` read ``code``; ``call`` reads ``module`` and
    ``function``; ``script`` reads ``script`` (its path) and, to run text of it that is not saved yet, ``code``;
    ``render`` is not for requests.
    ``files`` maps a parameter's name to the id of an uploaded buffer, ``buffers`` a name in ``gatewright.buffers`` to
    one. ``argv`` becomes ``sys.argv[1:]``; ``stdin`` is the id of the buffer that the script reads as its standard
    input, of which a run has none without.
    """

    kind: RunKind
    code: str = ""
    module: Name = ""
    function: Name = ""
    script: Name = ""
    params: dict[str, Any] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    files: dict[str, str] = {}
    buffers: dict[str, str] = {}
    argv: Arguments = []
    stdin: str | None = None
    entrypoint: Name | None = None
    mode: str = ""
    """Left out: the caller's default mode, RESTRICTED for all but tokens that were made with another one."""
    timeout: float | None = None
    name: str | None = None
    """What lists show for code that has no file, "<exec>" if not given. The console names the script being edited."""
    batch: bool = False
    own_edits: str = ""
    """The token of ``OwnEdits``, if its console runs what it saved."""
    environment: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9._-]{0,39})?$")] = ""
    """The named environment that code runs in, which is no script: a script's header says its own."""
    python: Annotated[str, Meta(pattern=r"^(\d{1,3}(\.\d{1,3}){0,2})?$")] = ""
    """The version of Python that code runs on, such as 3.12; without packages where that is not the usual one."""


class RunError(Model, frozen=True):
    """What went wrong, in the script's own terms."""

    type: str
    message: str
    filename: str | None = None
    line: int | None = None
    hint: str | None = None
    """What a run does not give and how to ask for it, where that is why it failed; one sentence."""
    module: str | None = None
    """The module that could not be imported."""


class RunFile(Model, frozen=True):
    """A file that a script left in its scratch folder and named in its result; kept in the run's record."""

    name: str
    size: int
    sha256: str


class RunProgress(Model, frozen=True):
    """How far a run says it is."""

    done: Annotated[float, Meta(ge=0)] | None = None
    """Of ``total``; None: it does not say."""
    total: Annotated[float, Meta(gt=0)] = 1.0
    text: Annotated[str, Meta(max_length=200)] = ""
    """What it is doing, in its own words."""


class RunBuffer(Model, frozen=True):
    """A buffer that a script made by ``gatewright.buffers.create``."""

    name: str
    size: int


class CondensedRuns(Model, frozen=True):
    """What a record stands for beside its own run: the same call again, by one token, in the same minute.

    Of those that went well only this is kept: neither what they returned nor what they wrote. ``runs`` counts them with
    the one on record. Those that failed have records of their own, and so have cancelled ones, which do not count here.
    """

    runs: int
    failures: int
    shortest: float
    average: float
    longest: float
    first_at: float
    last_at: float
    last_run: int
    inputs_distinct: int
    inputs_sha256: str
    """Over the hashes of the inputs of all, in the order of their ends."""
    inputs_first: list[str] = []
    """Hashes of the first different ones."""
    inputs_more: bool = False
    """There were more different ones than are counted."""


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
    progress: RunProgress | None = None
    """What a script told last of a run that goes on; no record keeps it."""
    slot: int | None = None
    outcome: Outcome | None = None
    signal: int | None = None
    exit_status: int | None = None
    """What a shell would see of the script's own end, 0 to 255: what ``sys.exit`` said, 1 after an exception; None
    where it came to no end of its own."""
    value: Any = None
    has_value: bool = False
    """False: the script left no result, or one that JSON cannot carry; ``note`` says so, ``result`` is its text."""
    result: str | None = None
    note: str | None = None
    error: RunError | None = None
    traceback: str | None = None
    output_bytes: int = 0
    """What is kept of it."""
    output_complete: bool = True
    """False when it was longer than its limit, as ``note`` then says, or when the engine no longer holds all of it."""
    unrecorded: str | None = None
    """Why what it writes and leaves is not on record, or not from some point on; one sentence."""
    grants: list[Grant] = []
    """The approved permissions it ran with, by their canonical paths."""
    files: list[RunFile] = []
    buffers: list[RunBuffer] = []
    """The buffers that it left, as long as the engine holds them; small ones are among ``files``, too."""
    inputs_sha256: str | None = None
    """Of what it was given, as canonical JSON; None for a run of a time when that was not recorded."""
    replay_of: int | None = None
    """The run that this one repeats."""
    shared: list[SharedFile] = []
    """The shared code that its text imports; with ``code_sha256`` the identity of what ran."""
    condensed: CondensedRuns | None = None
    """What this record stands for beside this run; None: for nothing else."""
    output: str | None = None
    """What it wrote to its standard output, only in the answer to a call that waited for its end."""
    stderr: str | None = None
    """What it wrote to its standard error, likewise."""


class OutputChunk(Model, frozen=True):
    """A piece of output in the order in which the script wrote it.

    ``seq`` starts at 0. What was overwritten on its line leaves out its number. So does what is missing from the middle
    of an output that is longer than its limit: there one chunk, with ``gap``, says how much that is.
    """

    seq: int
    stream: Stream
    text: str
    at: float
    gap: bool = False
    """The engine wrote it in the place of what is missing."""


NOT_KEPT = re.compile(
    r"(?P<amount>\S+ \S+(?: \([\d,]+ lines?\))?) from the middle of the output (?:is|are) not kept: .*?\.(?= |$)"
)
"""The sentence of ``not_kept`` in a run's note."""


def not_kept(amount: str, are: str, reason: str) -> str:
    """What a run's note says of output that was too long. It is about the record: who read along may have it all."""
    return f"{amount} from the middle of the output {are} not kept: {reason}."


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


class BufferInfo(Model, frozen=True):
    """An uploaded file, held by the engine until a run uses it or its lease ends."""

    id: str
    name: str
    size: int
    sha256: str


class RunFileInput(Model, frozen=True):
    """A file that a run was handed. Its content is not kept, its hash is."""

    parameter: str
    """The buffer's name where it is one; empty for the standard input."""
    name: str
    size: int
    sha256: str


class SecretInput(Model, frozen=True):
    """A value that is not kept. Of equal values of one name the HMACs are equal, for the project's key is in them."""

    place: str
    """Which of the inputs had it: ``params``, ``kwargs``, ``variables``, ``argv``, or ``args`` as a whole."""
    name: str
    """Of an argument its place and its option: ``argv3_token``."""
    hmac: str
    """``hmac-sha256:`` and 64 digits."""


class RunInputs(Model, frozen=True):
    """What a run was given. ``problem`` says what of it is not kept; then the run cannot be repeated."""

    run_id: int
    code_sha256: str
    code: str | None = None
    """The text that ran; None when it is not kept, or was none."""
    shared: dict[str, str] = {}
    """The texts of its shared code by path, as far as they are kept."""
    inputs_sha256: str | None = None
    params: dict[str, Any] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    entrypoint: str | None = None
    """Only when the request named one."""
    environment: str = ""
    """Likewise."""
    python: str = ""
    """Likewise."""
    files: list[RunFileInput] = []
    buffers: list[RunFileInput] = []
    argv: list[str] = []
    """With ``***`` in place of what is secret."""
    stdin: RunFileInput | None = None
    secrets: list[SecretInput] = []
    """What is not among the others; a replay has to be given it again."""
    problem: str | None = None


class ReplayRequest(Model, frozen=True):
    """``mode`` is what the caller agrees to: a replay of an ADMIN run is one, too, and needs to be told so.

    ``files`` maps parameters to uploaded buffers, for files that the engine holds no more; they must be the same files.
    ``buffers`` maps the names of buffers likewise, and ``stdin`` is the buffer of its standard input. ``secrets`` has
    the values that are not kept, by name; another value than that of then is taken, too.
    """

    mode: Mode = Mode.RESTRICTED
    files: dict[str, str] = {}
    buffers: dict[str, str] = {}
    stdin: str | None = None
    secrets: dict[str, Any] = {}


class RunComparison(Model, frozen=True):
    """Two runs. Each difference is unified, from ``run`` to ``other``, and empty where both are the same."""

    run: RunInfo
    other: RunInfo
    inputs: str = ""
    code: str = ""
    result: str = ""
    output: str = ""
    notes: list[str] = []
    """What could not be compared, one sentence each."""
