"""The audit record."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import AuditCheck, AuditList
from engine.registry import AuditParams, Operation


async def records(call: Call) -> AuditList:
    params: AuditParams = call.params
    return await call.engine.audit.list(call.actor, params.limit, params.before)


async def verify(call: Call) -> AuditCheck:
    return await call.engine.audit.verify(call.actor)


HANDLERS: dict[Operation, Handler] = {registry.AUDIT_LIST: records, registry.AUDIT_VERIFY: verify}
