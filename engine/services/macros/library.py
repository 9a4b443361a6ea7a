"""The project's macros: enabled scripts of kind macro, by the names that tags use, with the identity of what runs."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from engine.models.macros import ENTRYPOINT, MacroInfo, MacroUse
from engine.models.scripts import ScriptInfo
from engine.models.shared import SharedFile
from engine.pool.job import SharedModule
from engine.services.access import Actor, ServiceError
from engine.services.macros.executor import MacroSource
from engine.services.macros.parameters import normalised
from engine.services.runs.requests import Prepared, RequestChecks
from engine.services.scripts.service import ScriptService, ScriptSource
from engine.services.scripts.shared_code import SharedCode, shared_files, whole_sha256
from store.files.names import SUFFIX

KIND = "macro"

Prepare = Callable[[ScriptSource], Awaitable[Prepared]]
"""Makes of a script what a run of it as a macro needs."""

MAX_MISSING = 1_000
"""Names without a macro whose sentence is remembered."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro as it stands now. ``source`` is None where ``problem`` says why it cannot be called."""

    name: str
    info: ScriptInfo
    source: MacroSource | None = None
    problem: str | None = None

    @property
    def use(self) -> MacroUse:
        return MacroUse(name=self.name, script=self.info.path, sha256=self.source.sha256 if self.source else "")


class Macros:
    """The macros of one moment, by name."""

    def __init__(self, macros: Iterable[Macro]) -> None:
        self._macros = {macro.name: macro for macro in macros}
        self._missing: dict[str, str] = {}

    def __iter__(self) -> Iterator[Macro]:
        return iter(self._macros.values())

    def get(self, name: str) -> Macro | None:
        return self._macros.get(name)

    def use(self, name: str) -> MacroUse:
        """Return the identity of the macro that a tag names; without a script where there is none."""
        macro = self._macros.get(name)
        return MacroUse(name=name) if macro is None else macro.use

    def missing(self, name: str) -> str:
        """Say that there is no macro of that name."""
        if name not in self._missing:
            near = difflib.get_close_matches(name[:100], self._macros, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            if len(self._missing) >= MAX_MISSING:
                self._missing.clear()
            self._missing[name] = f"There is no macro {name}.{meant}"
        return self._missing[name]

    @property
    def shared(self) -> list[SharedFile]:
        """The shared code of all, each file once."""
        sources = [macro.source for macro in self if macro.source is not None]
        files = {file.path: file for source in sources for file in shared_files(source.shared)}
        return [files[path] for path in sorted(files)]

    @property
    def sha256(self) -> str:
        """One hash over the identities of all."""
        lines = (f"{macro.name} {macro.use.sha256}" for macro in self)
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


class MacroLibrary:
    """Finds the project's macros. There is no other place that any come from."""

    def __init__(self, scripts: ScriptService, checks: RequestChecks, shared: SharedCode) -> None:
        self._scripts = scripts
        self._checks = checks
        self._shared = shared

    async def macros(
        self, unsaved: tuple[str, str] | None = None, actor: Actor | None = None, *, wait: bool = False
    ) -> Macros:
        """Read all of them.

        Args:
            unsaved: The path of a script and a text that stands in for its saved one, whatever kind that is of.
            actor: In whose name the environments that they need are built; None: none is.
            wait: Wait until those are built.
        """
        infos = {info.path: info for info in (await self._scripts.list()).scripts if _is_macro(info)}
        given: ScriptSource | None = None
        if unsaved is not None:
            given = self._scripts.source_of(*unsaved)
            infos[given.info.path] = given.info
        by_name: dict[str, list[ScriptInfo]] = {}
        for info in infos.values():
            by_name.setdefault(macro_name(info.path), []).append(info)
        prepare = partial(self._checks.macro, actor=actor, wait=wait)
        return Macros([await self._macro(name, by_name[name], given, prepare) for name in sorted(by_name)])

    async def _macro(
        self, name: str, infos: Sequence[ScriptInfo], given: ScriptSource | None, prepare: Prepare
    ) -> Macro:
        info = infos[0]
        if len(infos) > 1:
            paths = ", ".join(one.path for one in infos)
            return Macro(name, info, problem=f"Several macros are called {name}: {paths}. Rename or disable one.")
        try:
            source = given if given is not None and given.info.path == info.path else None
            script = source or await self._scripts.source(info.path)
            return Macro(name, info, self._source(name, script, await prepare(script)))
        except ServiceError as error:
            return Macro(name, info, problem=error.message)

    def _source(self, name: str, script: ScriptSource, prepared: Prepared) -> MacroSource:
        sha256 = hashlib.sha256(script.data).hexdigest()
        # As a file of the shared code is: by a child that runs no script, for batches to come.
        [own] = self._shared.with_code([SharedModule(name, script.info.path, script.data, sha256)])
        return MacroSource(
            name=name,
            path=script.info.path,
            text=script.data,
            sha256=whole_sha256(sha256, shared_files(prepared.shared)),
            shared=prepared.shared,
            entrypoint=script.info.entrypoint or ENTRYPOINT,
            limits=prepared.limits,
            preloads=prepared.preloads,
            environment=prepared.environment,
            code=own.code,
        )


def macro_name(path: str) -> str:
    """Return the name by which tags call the script at ``path``: that of its file, in whatever folder it lies."""
    return normalised(path.rpartition("/")[2].removesuffix(SUFFIX))


def macro_info(macro: Macro) -> MacroInfo:
    info = macro.info
    return MacroInfo(
        name=macro.name,
        script=info.path,
        title=info.title,
        description=info.description,
        sha256=macro.use.sha256,
        problem=macro.problem or info.problem,
    )


def _is_macro(info: ScriptInfo) -> bool:
    return info.kind.lower() == KIND and info.enabled and not info.shared
