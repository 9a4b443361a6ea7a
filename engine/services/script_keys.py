"""The keys of a script's frontmatter as they are written, and what would be said of changes to them."""

from __future__ import annotations

import asyncio

from engine.models import KeyProblems, ScriptKeys, SetKeysRequest
from engine.services.key_changes import judged
from engine.services.scripts import ScriptService, ScriptSource
from store.frontmatter import FrontmatterError, find_block, loads
from store.frontmatter_keys import written


class ScriptKeyService:
    """Reads; ``ScriptService.set_keys`` is what writes."""

    def __init__(self, scripts: ScriptService) -> None:
        self._scripts = scripts

    async def read(self, name: str) -> ScriptKeys:
        """Every key that the script's frontmatter has, right or wrong. Raises ``no_script``."""
        source = await self._scripts.source(name, allow_problem=True)
        return await asyncio.to_thread(_keys, source)

    async def judge(self, name: str, request: SetKeysRequest) -> KeyProblems:
        """Why these changes would be refused, key by key. Raises ``no_script``."""
        source = await self._scripts.source(name, allow_problem=True)
        return KeyProblems(problems=await asyncio.to_thread(judged, source.data, source.info.path, request.changes))


def _keys(source: ScriptSource) -> ScriptKeys:
    info = source.info
    try:
        block = find_block(source.data.decode("utf-8", "replace"))
        values = {} if block is None else written(loads(block))
    except FrontmatterError as error:
        return ScriptKeys(path=info.path, sha256=info.sha256, problem=str(error), readable=False)
    return ScriptKeys(path=info.path, sha256=info.sha256, values=values, problem=info.problem)
