"""Scripts renamed, copied, deleted and brought back, and their history."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import DeletedScripts, ScriptHistory, ScriptInfo, ScriptVersion, VersionText
from engine.registry import Operation, ScriptParams, VersionParams


async def rename(call: Call) -> ScriptInfo:
    params: ScriptParams = call.params
    return await call.engine.changes.rename(params.path, call.body, call.actor)


async def duplicate(call: Call) -> ScriptInfo:
    params: ScriptParams = call.params
    return await call.engine.changes.duplicate(params.path, call.body, call.actor)


async def delete(call: Call) -> ScriptVersion:
    params: ScriptParams = call.params
    return await call.engine.changes.delete(params.path, call.body, call.actor)


async def history(call: Call) -> ScriptHistory:
    params: ScriptParams = call.params
    return await call.engine.changes.history(params.path, call.actor)


async def deleted(call: Call) -> DeletedScripts:
    return await call.engine.changes.deleted(call.actor)


async def version(call: Call) -> VersionText:
    params: VersionParams = call.params
    return await call.engine.changes.version(params.path, params.sha256, call.actor)


async def restore(call: Call) -> ScriptInfo:
    params: ScriptParams = call.params
    return await call.engine.changes.restore(params.path, call.body, call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.SCRIPTS_RENAME: rename,
    registry.SCRIPTS_DUPLICATE: duplicate,
    registry.SCRIPTS_DELETE: delete,
    registry.SCRIPTS_HISTORY: history,
    registry.SCRIPTS_DELETED: deleted,
    registry.SCRIPTS_VERSION: version,
    registry.SCRIPTS_RESTORE: restore,
}
