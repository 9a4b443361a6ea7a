"""Operations on the engine and its pool."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models.base import Event, Model
from engine.models.engine import (
    AuditCheck,
    AuditList,
    EngineInfo,
    PoolInfo,
    PoolUse,
    PruneRequest,
    PruneResult,
    ResizeRequest,
    RetentionInfo,
    StopRequest,
)
from engine.registry.operation import MAX_ID, TRANSFER_TIMEOUT, Operation

BACKUP_TIMEOUT = 3_600.0
"""Seconds until a backup begins to come: gigabytes of output are copied and compressed first."""


class SlotParams(Model, frozen=True):
    slot: Annotated[int, Meta(ge=0, le=MAX_ID, description="The slot's number, as the pool lists it.")]


class EventsParams(Model, frozen=True):
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The last event seen; Last-Event-ID wins.")] | None = None


Moment = Annotated[float, Meta(ge=0, le=MAX_ID, description="Seconds since the epoch.")]


class AuditParams(Model, frozen=True):
    """Which records are wanted, newest first; nothing set wants all of them."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0, le=MAX_ID, description="Only records with a smaller number.")] | None = None
    who: Annotated[
        str, Meta(max_length=500, description="Only of this account or token; a token's prefix token: may be left out.")
    ] = ""
    what: Annotated[
        str,
        Meta(
            max_length=500,
            description="Only those with all of these words, or parts of words, in action, subject or detail.",
        ),
    ] = ""
    action: Annotated[str, Meta(max_length=500, description="Only of this action, such as save or denied.")] = ""
    subject: Annotated[
        str, Meta(max_length=500, description="Only about this: a script's path, a token's name, a run as #12.")
    ] = ""
    since: Moment | None = None
    until: Moment | None = None
    text: Annotated[
        str,
        Meta(max_length=500, description="Only those that hold this text anywhere. Capitals of ASCII are as small."),
    ] = ""


class AuditVerifyParams(Model, frozen=True):
    """All records in one answer, or piece by piece: the next one goes on ``after`` the one before."""

    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The last record that was looked at before.")] = 0
    most: Annotated[int, Meta(ge=1, le=MAX_ID, description="Look at no more records than this.")] | None = None
    head: Annotated[
        str,
        Meta(pattern="^([0-9a-f]{64})?$", description="A head that was noted elsewhere, to be found in the record."),
    ] = ""


class BackupParams(Model, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=255, description="What to call the file.")]


ENGINE_INFO = Operation(
    "engine.info",
    "GET",
    "/engine",
    EngineInfo,
    "viewer",
    "Read who serves this project, and what is wrong with it",
    scoped=True,
)
ENGINE_STOP = Operation(
    "engine.stop", "POST", "/engine/stop", EngineInfo, "admin", "Stop the engine", body=StopRequest, status=202
)
POOL_INFO = Operation(
    "pool.info", "GET", "/pool", PoolInfo, "viewer", "See the pool: slots, queue and figures of the last minute"
)
POOL_USE = Operation(
    "pool.use",
    "GET",
    "/pool/use",
    PoolUse,
    "viewer",
    "See what the processes of each slot use, of processor and memory, and how much of the host is in use",
)
POOL_RESIZE = Operation("pool.resize", "POST", "/pool/size", PoolInfo, "admin", "Resize the pool", body=ResizeRequest)
POOL_RESTART = Operation(
    "pool.restart",
    "POST",
    "/pool/slots/{slot}/restart",
    PoolInfo,
    "admin",
    "Restart slots: give one a new zygote",
    params=SlotParams,
)
EVENTS = Operation(
    "events",
    "GET",
    "/events",
    Event,
    "viewer",
    "Follow everything that changes, as it changes",
    params=EventsParams,
    stream=True,
    scoped=True,
)
OPENAPI = Operation(
    "openapi",
    "GET",
    "/openapi.json",
    dict[str, Any],
    "viewer",
    "Read this API as an OpenAPI 3.1 document",
    scoped=True,
)
RETENTION = Operation(
    "retention",
    "GET",
    "/retention",
    RetentionInfo,
    "viewer",
    "See what is retained of the past, and when old records were removed",
)
RETENTION_PRUNE = Operation(
    "retention.prune",
    "POST",
    "/retention",
    PruneResult,
    "admin",
    "Prune old records now, more of them than the settings say",
    body=PruneRequest,
    patience=TRANSFER_TIMEOUT,
)
AUDIT_LIST = Operation(
    "audit.list", "GET", "/audit", AuditList, "admin", "Read the audit record, newest first", params=AuditParams
)
AUDIT_VERIFY = Operation(
    "audit.verify",
    "GET",
    "/audit/verify",
    AuditCheck,
    "admin",
    "Verify the audit record",
    params=AuditVerifyParams,
    patience=TRANSFER_TIMEOUT,
)

BACKUP = Operation(
    "backup",
    "POST",
    "/backup/{name}",
    bytes,
    "admin",
    "Back up the project: everything but secrets, in one file",
    params=BackupParams,
    raw_answer=True,
    cancels=True,
    patience=BACKUP_TIMEOUT,
)

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    ENGINE_INFO,
    ENGINE_STOP,
    POOL_INFO,
    POOL_USE,
    POOL_RESIZE,
    POOL_RESTART,
    EVENTS,
    OPENAPI,
    RETENTION,
    RETENTION_PRUNE,
    AUDIT_LIST,
    AUDIT_VERIFY,
    BACKUP,
)
