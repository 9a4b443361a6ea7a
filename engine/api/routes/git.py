"""The project's repository. A client that leaves ends its git command."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.api.leaving import while_asked
from engine.models import GitAuthor, GitCommit, GitDiff, GitLog, GitStatus, GitText, GitTrust
from engine.registry import GitDiffParams, GitLogParams, GitShowParams, Operation


async def status(call: Call) -> GitStatus:
    return await while_asked(call.receive, call.engine.git.status())


async def log(call: Call) -> GitLog:
    params: GitLogParams = call.params
    return await while_asked(call.receive, call.engine.git.log(params.path, limit=params.limit, skip=params.skip))


async def diff(call: Call) -> GitDiff:
    params: GitDiffParams = call.params
    work = call.engine.git.diff(call.actor, params.path, staged=params.staged, commit=params.commit)
    return await while_asked(call.receive, work)


async def show(call: Call) -> GitText:
    params: GitShowParams = call.params
    return await while_asked(call.receive, call.engine.git.show(params.commit, params.path))


async def stage(call: Call) -> GitStatus:
    return await while_asked(call.receive, call.engine.git.stage(call.body, call.actor))


async def unstage(call: Call) -> GitStatus:
    return await while_asked(call.receive, call.engine.git.unstage(call.body, call.actor))


async def commit(call: Call) -> GitCommit:
    return await while_asked(call.receive, call.engine.git.commit(call.body, call.actor))


async def author(call: Call) -> GitAuthor:
    return await call.engine.git.author(call.actor)


async def set_author(call: Call) -> GitAuthor:
    return await call.engine.git.set_author(call.body, call.actor)


async def programs(call: Call) -> GitTrust:
    return await while_asked(call.receive, call.engine.git.programs())


async def trust(call: Call) -> GitTrust:
    return await call.engine.git.trust(call.body, call.actor)


HANDLERS: dict[Operation, Handler] = {
    registry.GIT_STATUS: status,
    registry.GIT_LOG: log,
    registry.GIT_DIFF: diff,
    registry.GIT_SHOW: show,
    registry.GIT_STAGE: stage,
    registry.GIT_UNSTAGE: unstage,
    registry.GIT_COMMIT: commit,
    registry.GIT_AUTHOR: author,
    registry.GIT_AUTHOR_SET: set_author,
    registry.GIT_PROGRAMS: programs,
    registry.GIT_TRUST: trust,
}
