"""The project's repository, read only."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import GitLog, GitStatus
from engine.registry import GitLogParams, Operation


async def status(call: Call) -> GitStatus:
    return await call.engine.git.status()


async def log(call: Call) -> GitLog:
    params: GitLogParams = call.params
    return await call.engine.git.log(params.path, limit=params.limit, skip=params.skip)


HANDLERS: dict[Operation, Handler] = {registry.GIT_STATUS: status, registry.GIT_LOG: log}
