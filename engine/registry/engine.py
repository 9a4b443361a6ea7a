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


class AuditParams(Model, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0, le=MAX_ID, description="Only records with a smaller number.")] | None = None


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
    "audit.verify", "GET", "/audit/verify", AuditCheck, "admin", "Verify the audit record", patience=TRANSFER_TIMEOUT
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
