"""The keys of a script's frontmatter as they are written, and what would be said of changes to them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from engine.models.scripts import KeyProblems, ScriptInfo, ScriptKeys, SetKeysRequest
from engine.registry.scripts import SCRIPTS_JUDGE, SCRIPTS_KEYS, SCRIPTS_SET
from engine.services.access import Actor, ServiceError
from engine.services.operations import implements
from engine.services.scripts.header_rules import HeaderRules
from engine.services.scripts.service import ScriptService, ScriptSource
from engine.services.versioned_writer import conflict
from store.frontmatter.edit import apply_changes
from store.frontmatter.keys import written
from store.frontmatter.locate import FrontmatterError
from store.frontmatter.read import document_of, parse

Changes = Mapping[str, Any]


class FrontmatterService:
    """Read, judge and set the keys of scripts' frontmatter."""

    def __init__(self, scripts: ScriptService, rules: HeaderRules) -> None:
        self._scripts = scripts
        self._rules = rules

    @implements(SCRIPTS_KEYS)
    async def read(self, path: str, actor: Actor | None = None) -> ScriptKeys:
        """Every key that the script's frontmatter has, right or wrong. Raises ``no_script``."""
        source = await self._scripts.source(path, allow_problem=True, actor=actor)
        return await asyncio.to_thread(_keys, source)

    @implements(SCRIPTS_JUDGE)
    async def judge(self, path: str, request: SetKeysRequest, actor: Actor | None = None) -> KeyProblems:
        """Why these changes would be refused, key by key. Raises ``no_script``."""
        source = await self._scripts.source(path, allow_problem=True, actor=actor)
        return KeyProblems(problems=await asyncio.to_thread(self.judged, source.data, request.changes))

    @implements(SCRIPTS_SET)
    async def set_keys(self, path: str, request: SetKeysRequest, actor: Actor) -> ScriptInfo:
        """Set or remove keys of a script's frontmatter, all of them or none. No other byte of the file changes.

        Raises:
            ServiceError: ``bad_frontmatter`` when a value is wrong or the frontmatter cannot be read, ``conflict`` when
                the text is not the one that the changes are meant for. Nothing was written.
        """
        if not request.changes:
            raise ServiceError("bad_request", "There is no key to set.")
        source = await self._scripts.source(path, allow_problem=True, actor=actor)
        data = await asyncio.to_thread(self._changed, source, request)
        return await self._scripts.write(source.info.path, data, source.info.sha256, actor, request.own_edits)

    def _changed(self, source: ScriptSource, request: SetKeysRequest) -> bytes:
        """A script's bytes with its keys set."""
        path, base = source.info.path, source.info.sha256
        if request.base_sha256 not in (None, base):
            raise conflict(path, request.base_sha256)
        try:
            return self._with_keys(source.data, request.changes)
        except FrontmatterError as error:
            raise ServiceError("bad_frontmatter", f"{path} was not changed: {error}", status=422) from None

    def judged(self, data: bytes, changes: Changes) -> dict[str, str]:
        """One sentence for each key whose change would be refused; the empty key when only all together would be."""
        problems: dict[str, str] = {}
        for unit in _units(changes):
            sentence = self._problem(data, unit)
            if sentence is not None:
                problems[_culprit(unit, sentence)] = sentence
        together = None if problems or not changes else self._problem(data, changes)
        return problems if together is None else {"": together}

    def _problem(self, data: bytes, changes: Changes) -> str | None:
        try:
            self._with_keys(data, changes)
        except FrontmatterError as error:
            return str(error)
        return None

    def _with_keys(self, data: bytes, changes: Changes) -> bytes:
        """A script's bytes with all ``changes``.

        What would be refused before, too, does not stand in the way: one key can be put right after the other.

        Raises:
            FrontmatterError: A value is wrong, the block cannot be read, or a run or an approval would be refused.
        """
        changed = apply_changes(data, changes)
        before, after = (parse(text.decode("utf-8", "replace")) for text in (data, changed))
        known = {problem.sentence for problem in self._rules.problems(before)}
        for problem in self._rules.problems(after):
            if problem.refused and problem.sentence not in known:
                raise FrontmatterError(problem.sentence)
        return changed


def _keys(source: ScriptSource) -> ScriptKeys:
    info = source.info
    try:
        values = written(document_of(source.data.decode("utf-8", "replace")))
    except FrontmatterError as error:
        return ScriptKeys(path=info.path, sha256=info.sha256, problem=str(error), readable=False)
    return ScriptKeys(path=info.path, sha256=info.sha256, values=values, problem=info.problem)


def _units(changes: Changes) -> list[Changes]:
    """The changes one by one, but for those that are judged together: a parameter's keys, and the permissions."""
    units: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, _, rest = key.partition(".")
        name = f"params.{rest.partition('.')[0]}" if section == "params" else section if rest == "" else key
        units.setdefault("permissions" if section == "permissions" else name, {})[key] = value
    return list(units.values())


def _culprit(unit: Changes, sentence: str) -> str:
    """The key that a sentence is about, as far as it tells."""
    named = next((key for key in unit if key in sentence), None)
    begun = next((key for key in unit if sentence.startswith(f"{key.rpartition('.')[2]} ")), None)
    return named or begun or next(iter(unit))
