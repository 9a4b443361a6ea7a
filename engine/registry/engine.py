"""Operations on the engine and its pool."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.models import AuditCheck, AuditList, EngineInfo, Event, Model, PoolInfo, ResizeRequest, StopRequest
from engine.models.engine import RetentionInfo
from engine.registry.operation import MAX_ID, Operation


class SlotParams(Model, frozen=True):
    slot: Annotated[int, Meta(ge=0, le=MAX_ID, description="The slot's number, as the pool lists it.")]


class EventsParams(Model, frozen=True):
    after: Annotated[int, Meta(ge=0, le=MAX_ID, description="The last event seen; Last-Event-ID wins.")] | None = None


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


RETENTION = Operation(
    "retention", "GET", "/retention", RetentionInfo, "viewer", "What is kept of the past, and when old records went"
)


class AuditParams(Model, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0, le=MAX_ID, description="Only records with a smaller number.")] | None = None


AUDIT_LIST = Operation(
    "audit.list", "GET", "/audit", AuditList, "admin", "Who did what, newest first", params=AuditParams
)
AUDIT_VERIFY = Operation("audit.verify", "GET", "/audit/verify", AuditCheck, "admin", "Look at every audit record")
