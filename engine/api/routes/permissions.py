"""What scripts ask for outside their scratch folder, and what administrators say to it."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import PermissionReview
from engine.registry import Operation, ScriptParams


async def review(call: Call) -> PermissionReview:
    params: ScriptParams = call.params
    return await call.engine.permissions.review(params.path, call.actor)


async def approve(call: Call) -> PermissionReview:
    params: ScriptParams = call.params
    return await call.engine.permissions.approve(params.path, call.body, call.actor)


async def refuse(call: Call) -> PermissionReview:
    params: ScriptParams = call.params
    return await call.engine.permissions.refuse(params.path, call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.PERMISSIONS_REVIEW: review,
    registry.PERMISSIONS_APPROVE: approve,
    registry.PERMISSIONS_REFUSE: refuse,
}
