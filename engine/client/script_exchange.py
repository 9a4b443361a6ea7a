"""Scripts of one engine held against those of another, and copied from one to the other without harm to either.

A copy is an ordinary save: the version that it replaces is named by its hash, so nothing is written over a text that
came meanwhile. Which version may be replaced is decided by who has seen it. A text that the origin itself had before,
by its own history or as the last one that both had (``CommonTexts``), is one that grew into the present one; every
other one was written elsewhere, and to replace it the caller must name it by its hash. Nothing is ever deleted, and
approvals stay where they were given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from engine.client.answers import EngineError
from engine.client.client import EngineClient
from engine.client.common_texts import CommonTexts
from engine.models.defaults import DefaultState
from engine.models.scripts import SaveRequest, ScriptInfo
from engine.registry.defaults import DEFAULTS_LIST
from engine.registry.scripts import (
    SCRIPTS_HISTORY,
    SCRIPTS_LIST,
    SCRIPTS_LOAD,
    SCRIPTS_SAVE,
    SCRIPTS_VERSION,
    ScriptParams,
    VersionParams,
)
from engine.shared_imports import LIB, Wanted, wanted

INIT = "__init__.py"

SHOWN = 8
"""Hexadecimal digits of a hash that are shown, and the least that name a text."""


class ScriptStanding(StrEnum):
    """How a script stands in two places."""

    SAME = "same"
    DIFFERS = "differs"
    ONLY_HERE = "only here"
    ONLY_THERE = "only there"
    UNREADABLE = "unreadable"
    """In one of them at least, so nothing is known of its text."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One script in two places, by its hashes; None where it is not there, empty where it cannot be read."""

    path: str
    here: str | None
    there: str | None

    @property
    def standing(self) -> ScriptStanding:
        if self.here is None:
            return ScriptStanding.ONLY_THERE
        if self.there is None:
            return ScriptStanding.ONLY_HERE
        if not (self.here and self.there):
            return ScriptStanding.UNREADABLE
        return ScriptStanding.SAME if self.here == self.there else ScriptStanding.DIFFERS


class CopyState(StrEnum):
    """What became of one script."""

    NEW = "new"
    REPLACED = "replaced"
    SAME = "same"
    OLDER = "older"
    """What was to be copied grew into what is there already."""
    CONFLICT = "conflict"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CopyResult:
    """One script after it was to be copied.

    Attributes:
        path: As the target has it.
        sha256: Of the text that was to be there.
        before: Of the text that was there; None if there was none.
        problem: Why nothing was written, or what is wrong with what was, one sentence.
        needs_approval: It asks for what no administrator has approved there.
        status: Of HTTP, where an engine refused.
    """

    path: str
    state: CopyState
    sha256: str = ""
    before: str | None = None
    problem: str | None = None
    needs_approval: bool = False
    status: int = 0


class ScriptStore:
    """The scripts of one engine, read once each.

    Attributes:
        infos: By path, as they were when this was made.
    """

    def __init__(self, client: EngineClient, infos: Mapping[str, ScriptInfo], *, elsewhere: bool = False) -> None:
        self._client = client
        self._elsewhere = elsewhere
        self.infos = infos
        self._texts: dict[str, tuple[str, str]] = {}
        self._past: dict[str, frozenset[str]] = {}
        self._had: dict[tuple[str, str], bool] = {}

    @classmethod
    async def of(cls, client: EngineClient, *, elsewhere: bool = False) -> ScriptStore:
        """Ask an engine for its scripts.

        Args:
            client: Of the engine.
            elsewhere: It is not the caller's own: what it says of its past it has to prove.
        """
        found = await client.call(SCRIPTS_LIST)
        return cls(client, {info.path: info for info in found.scripts}, elsewhere=elsewhere)

    async def text(self, path: str) -> tuple[str, str]:
        """Return a script's text of now, and its hash.

        Raises:
            EngineError: It cannot be read, or is not there any longer.
        """
        if path not in self._texts:
            loaded = await self._client.call(SCRIPTS_LOAD, ScriptParams(path=path))
            if loaded.info.path != path:  # a name may mean a script of another folder
                raise EngineError("no_script", f"There is no script {path!r} any longer.", None, HTTPStatus.NOT_FOUND)
            digest = hashlib.sha256(loaded.text.encode("utf-8")).hexdigest()
            self._texts[path] = loaded.text, digest
        return self._texts[path]

    async def past(self, path: str) -> frozenset[str]:
        """Return the hashes of the texts that a script had; none where the caller may not see them."""
        if path not in self._past:
            try:
                found = await self._client.call(SCRIPTS_HISTORY, ScriptParams(path=path))
                self._past[path] = frozenset(version.sha256 for version in found.versions if version.reason != _REFUSED)
            except EngineError as error:
                if error.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                    raise
                self._past[path] = frozenset()
        return self._past[path]

    async def had(self, path: str, sha256: str) -> bool:
        """Return whether a script had the text of a hash: by its history, and of an engine elsewhere if it has it.

        A history that only names a hash proves nothing: who tells of it could have heard of the hash alone.
        """
        if not self._elsewhere or sha256 not in await self.past(path):
            return sha256 in await self.past(path)
        if (path, sha256) not in self._had:
            try:
                version = await self._client.call(SCRIPTS_VERSION, VersionParams(path=path, sha256=sha256))
                found = hashlib.sha256(version.text.encode("utf-8")).hexdigest() == sha256
            except EngineError:
                found = False
            self._had[path, sha256] = found
        return self._had[path, sha256]

    async def own(self) -> frozenset[str]:
        """Return the scripts but for those that came with Gatewright and are as they came: every engine has its own."""
        try:
            found = await self._client.call(DEFAULTS_LIST)
        except EngineError as error:
            if error.status != HTTPStatus.FORBIDDEN:  # a token for some scripts may not ask
                raise
            return frozenset(self.infos)
        return frozenset(self.infos) - {one.path for one in found.scripts if one.state in _AS_THEY_CAME}

    async def save(self, path: str, text: str, base: str | None) -> ScriptInfo:
        return await self._client.call(SCRIPTS_SAVE, ScriptParams(path=path), SaveRequest(text=text, base_sha256=base))

    async def with_shared_code(self, paths: Iterable[str]) -> list[str]:
        """Return scripts with the shared code that they import, that first: no script is without what it needs."""
        found: dict[str, None] = {}
        waiting = list(paths)
        while waiting:
            path = waiting.pop()
            if path in found or path not in self.infos:
                continue
            found[path] = None
            try:
                text, _ = await self.text(path)
            except EngineError:
                continue  # copying it will say so
            for module in wanted(text, _package(path)):
                waiting += _files(module, self.infos)
        return in_order(found)


def note_common(here: Mapping[str, ScriptInfo], there: Mapping[str, ScriptInfo], common: CommonTexts) -> None:
    """Note what is the same in two places."""
    for path, info in here.items():
        if info.sha256 and path in there and there[path].sha256 == info.sha256:
            common.note(path, info.sha256)


def in_order(paths: Iterable[str]) -> list[str]:
    """Return paths, those of shared code first."""
    return sorted(paths, key=lambda path: (not path.startswith(f"{LIB}/"), path))


def compare(
    here: Mapping[str, ScriptInfo], there: Mapping[str, ScriptInfo], paths: Collection[str] | None = None
) -> list[Compared]:
    """Return how scripts stand in two places, by path.

    Args:
        here: Of one engine.
        there: Of the other one.
        paths: Only these; None: all that are in either place.
    """
    wanted_paths = sorted(here.keys() | there.keys() if paths is None else paths)
    return [
        Compared(path, here[path].sha256 if path in here else None, there[path].sha256 if path in there else None)
        for path in wanted_paths
        if path in here or path in there
    ]


async def copy(
    path: str,
    origin: ScriptStore,
    target: ScriptStore,
    common: CommonTexts,
    *,
    over: Collection[str] = (),
    dry_run: bool = False,
    place: str = "there",
) -> CopyResult:
    """Copy one script, unless that would replace a text that neither the origin had nor the caller names.

    Args:
        path: The script.
        origin: Where it is copied from.
        target: Where it is copied to.
        common: What both had; it notes what both have now.
        over: Beginnings of hashes of texts that may be replaced: the caller has seen them.
        dry_run: Decide and write nothing.
        place: Where the target is, as sentences call it: here or there.
    """
    try:
        text, digest = await origin.text(path)
        there = target.infos.get(path)
        base = None if there is None else there.sha256
        if base == digest:
            common.note(path, digest)
            return CopyResult(path, CopyState.SAME, digest, base)
        if base is not None and not base.startswith(tuple(over)):
            seen = base == common.of(path) or await origin.had(path, base)
            if not seen and (digest == common.of(path) or digest in await target.past(path)):
                told = f"The text {place} ({base[:SHOWN]}) is newer: it grew out of the other one."
                return CopyResult(path, CopyState.OLDER, digest, base, told)
            if not seen:
                other = "there" if place == "here" else "here"
                told = f"The text {place} ({base[:SHOWN]}) is one that was never {other}."
                return CopyResult(path, CopyState.CONFLICT, digest, base, told)
        state = CopyState.NEW if base is None else CopyState.REPLACED
        if dry_run:
            return CopyResult(path, state, digest, base)
        info = await target.save(path, text, base)
        common.note(path, digest)
        return CopyResult(info.path, state, digest, base, info.problem, info.needs_approval)
    except EngineError as error:
        state = CopyState.CONFLICT if error.code == "conflict" else CopyState.FAILED
        return CopyResult(path, state, problem=error.message, status=error.status)


_AS_THEY_CAME = (DefaultState.CURRENT, DefaultState.LATER)

_REFUSED = "conflict"
"""Reason of a version that was never the script's text."""


def _package(path: str) -> str:
    """Return the package that a file of shared code is in, for its relative imports; empty for a script."""
    return path.rpartition("/")[0].replace("/", ".") if path.startswith(f"{LIB}/") else ""


def _files(module: Wanted, paths: Collection[str]) -> Iterator[str]:
    """Return the files that a module may be, and those of the packages that it is in, as far as they are there."""
    for name in (module.module, *(f"{module.module}.{name}" for name in module.names)):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            place = "/".join(parts[:count])
            yield from (file for file in (f"{place}.py", f"{place}/{INIT}") if file in paths)
