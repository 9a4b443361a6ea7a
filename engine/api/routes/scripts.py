"""The project's scripts."""

from __future__ import annotations

from engine import registry
from engine.api.endpoint import Handler
from engine.api.host import Call
from engine.models import CheckReport, KeyProblems, ScriptInfo, ScriptKeys, ScriptList, ScriptText, SearchResult
from engine.registry import Operation, ScriptParams, SearchParams


async def list_(call: Call) -> ScriptList:
    return await call.engine.scripts.list()


async def load(call: Call) -> ScriptText:
    params: ScriptParams = call.params
    return await call.engine.scripts.load(params.path)


async def save(call: Call) -> ScriptInfo:
    params: ScriptParams = call.params
    return await call.engine.scripts.save(params.path, call.body, call.actor)


async def set_keys(call: Call) -> ScriptInfo:
    params: ScriptParams = call.params
    return await call.engine.frontmatter.set_keys(params.path, call.body, call.actor)


async def keys(call: Call) -> ScriptKeys:
    params: ScriptParams = call.params
    return await call.engine.frontmatter.read(params.path)


async def judge(call: Call) -> KeyProblems:
    params: ScriptParams = call.params
    return await call.engine.frontmatter.judge(params.path, call.body)


async def check(call: Call) -> CheckReport:
    return await call.engine.checks.check(call.body, call.actor, call.source)


async def search(call: Call) -> SearchResult:
    params: SearchParams = call.params
    return await call.engine.scripts.search(params.q, params.limit)


HANDLERS: dict[Operation, Handler] = {
    registry.SCRIPTS_LIST: list_,
    registry.SCRIPTS_LOAD: load,
    registry.SCRIPTS_SAVE: save,
    registry.SCRIPTS_CHECK: check,
    registry.SCRIPTS_SET: set_keys,
    registry.SCRIPTS_KEYS: keys,
    registry.SCRIPTS_JUDGE: judge,
    registry.SCRIPTS_SEARCH: search,
}
