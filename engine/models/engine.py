"""The engine itself: its state, its pool, what it retains and its audit record."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Model
from engine.models.metrics import ImpactLevel
from engine.models.runs import Mode


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
    """Empty where the log goes to stderr alone, which is the journal of a service."""
    last_event: int | None = None
    """Number of the newest event: a client that listens from there on misses nothing that happens after this answer."""
    python: str = ""
    """Version of the interpreter of scripts that ask for no other one."""
    problems: list[str] = []
    """What the user should know: a lost log line, a full disk, a missing sandbox layer."""
    listening: list[str] = []
    """Where it listens over TCP, as URLs: ``http://127.0.0.1:9089``. Empty where it does not."""
    shared: str = ""
    """The ID under which members of a group find the project; empty where it is not shared."""
    background: bool = False
    """A client started it, and another one may replace it; else it is served by hand or by a service manager."""
    replaced: bool = False
    """Gatewright was installed again since it started: what it has loaded is no longer what its files say."""
    disk_full: bool = False
    """The engine found no room to write, so its project is open for reading only until some is made."""


class StopRequest(Model, frozen=True):
    """``force`` stops the engine although runs go on; they end as interrupted.

    ``when_idle`` stops it only if no task and no backup goes on either.
    """

    force: bool = False
    when_idle: bool = False


class SlotState(StrEnum):
    """``starting``: no zygote yet. ``preparing``: its next child is being made. ``ready``: a parked child waits.

    ``resting``: it has no process until the host has room for its runs again.
    """

    STARTING = "starting"
    PREPARING = "preparing"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"
    RESTING = "resting"


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
    python: str = ""
    """Version of the interpreter there, such as ``3.12.3``."""
    environment: str = ""
    """Name of the environment there, unless it is the pool's usual one."""
    ahead: list[str] = []
    """Modules that its processes have imported before a script begins."""


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
    impact: ImpactLevel = ImpactLevel.UNKNOWN
    """By the latest sample, as ``health``."""
    health: int | None = None
    """0 to 100; None before the first sample."""
    isolation: str = ""
    python: str = ""
    """Version of the interpreter of scripts that ask for no other one."""
    resting: int = 0
    """Slots that rest now, since the host or the gateway on it needs what their runs would use."""
    rest_reason: str = ""
    """Why they rest, or are to when their runs have ended; one sentence, empty where none is to."""


class SlotUse(Model, frozen=True, kw_only=True):
    """Of the process that waits or runs in a slot, and all below it. What cannot be read is missing."""

    slot: int
    cpu_percent: float | None = None
    """Of one processor, since the look before; several processes of a run may come to more than 100."""
    memory: int | None = None
    """Bytes that are resident, those that it shares with others included."""


class PoolUse(Model, frozen=True, kw_only=True):
    """What slots use now, and how much of the host is in use. What cannot be read is missing."""

    slots: list[SlotUse]
    cpu_percent: float | None = None
    """Of all the host's processors, by whatever process, since the look before."""
    disk: int | None = None
    """Bytes of the file system that the project's records are on."""
    disk_free: int | None = None


class ResizeRequest(Model, frozen=True):
    size: int


class RetentionLimits(Model, frozen=True):
    """What the settings say under ``[retention]``: days, bytes, versions."""

    output_days: float
    output_size: int
    run_days: float
    versions: int
    deleted_days: float
    unnamed_days: float


class RetentionPass(Model, frozen=True):
    """One look at what is old, and what went with it."""

    at: float
    seconds: float
    outputs: int = 0
    """Runs whose output and files went."""
    runs: int = 0
    versions: int = 0
    """Versions of scripts, by their texts."""
    leftovers: int = 0
    """Texts in the history that nothing named."""
    problem: str | None = None
    """Why it did not come to its end."""


class RetentionInfo(Model, frozen=True):
    limits: RetentionLimits
    runs: int
    output_bytes: int
    oldest_run: float | None
    versions: int
    history_bytes: int
    last: RetentionPass | None = None
    """None until the first one since the engine started has ended."""


class PruneRequest(Model, frozen=True):
    """What to keep from now on, once, where that is less than the settings say; days and versions."""

    output_days: Annotated[float, Meta(ge=0, description="Keep output and files of runs for so many days.")] | None = (
        None
    )
    run_days: Annotated[float, Meta(ge=0, description="Keep records of runs for so many days.")] | None = None
    versions: Annotated[int, Meta(ge=1, description="Keep so many versions of each script.")] | None = None


class PruneResult(Model, frozen=True):
    """What went, and how much room that gave."""

    removed: RetentionPass
    freed: int
    """Bytes more than before that the disk has free; what others wrote meanwhile counts too."""
    restart: bool = False
    """The disk was full when the engine started: it has to start again to write as usual."""


class AuditRecord(Model, frozen=True):
    seq: int
    at: float
    actor: str
    uid: int
    source: str
    action: str
    """``start``, ``stop``, ``admin_run``, ``admin_end``, ``save``, ``rename``, ``delete``, ``restore`` …"""
    subject: str
    """The script or run that it is about."""
    detail: dict[str, Any]
    sha256: str
    """Of this record and, through it, of all before it."""
    prev: str = ""
    """``sha256`` of the record before it."""


class AuditList(Model, frozen=True):
    records: list[AuditRecord]
    """Newest first."""
    next_before: int | None = None


class AuditCheck(Model, frozen=True):
    """What a look at every record found, or at a piece of them."""

    records: int
    """How many there are."""
    head: str
    """Hash of the newest record."""
    problem: str | None = None
    """None: what was looked at is consistent in itself, and holds the head that was asked for."""
    checked: int = 0
    """Number of the last record that was looked at."""
    next_after: int | None = None
    """Where the next piece begins; None: everything was looked at, or a problem was found."""
    head_at: int | None = None
    """The record with the head that was asked for, told with the last piece."""
    copies: str = ""
    """One sentence: where copies of the head are sent to, or why to no place."""


class BackupInfo(Model, frozen=True):
    """What a backup holds."""

    place: str
    """The file, or the folder that it was restored into."""
    project: str
    """The folder that it was made of."""
    host: str
    version: str
    """Of Gatewright."""
    made_at: float
    made_by: str
    files: int
    size: int
    left_out: list[str] = []
    """What was left out on purpose, a sentence each."""
    problems: list[str] = []
    """What could not be taken, a sentence each."""
    environments: list[list[str]] = []
    """After a restore, the command lines without ``gatewright`` that install the packages of each environment again."""
