"""The interpreters of this host as a project uses them: what there is, what was added by its path, which one fits."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from engine.models.packages import EnvironmentInfo, PythonInfo, PythonList
from engine.pool.job import Environment
from engine.registry.packages import PYTHON_ADD, PYTHON_LIST, PYTHON_REMOVE, PYTHON_USE
from engine.sandbox.interpreters import (
    FoundInterpreters,
    Interpreter,
    UnusableInterpreter,
    check_interpreter,
    look_for_interpreters,
)
from engine.services.access import Actor, ServiceError
from engine.services.audit import AuditService
from engine.services.disk_space import SpaceCheck
from engine.services.operations import implements
from store import disk
from store.errors import StoreError, from_os_error

ADDED_FILE = "interpreters.json"
"""In the project's private folder: the paths that were added."""

LOOKED_FOR = 30.0
"""Seconds for which the versions that were found are taken to be there."""

MAX_ADDED = 50
MAX_FILE = 1 << 20


log = logging.getLogger(__name__)


class Interpreters:
    """Knows the interpreters of this host. Each is checked again whenever it is looked for.

    Args:
        private: The project's private folder.
        environments: Tells the environments, each with its name and interpreter, the default one first; blocks.
        audit: Is told of what was added and removed.
        space: Whether anything can be written.
    """

    use_python: Callable[[str, Interpreter, Actor, str], Awaitable[EnvironmentInfo]]
    """Builds an environment again on another interpreter (``PackageService``)."""

    def __init__(
        self, private: Path, environments: Callable[[], Iterable[Environment]], audit: AuditService, space: SpaceCheck
    ) -> None:
        self._private = private
        self._environments = environments
        self._audit = audit
        self._space = space
        self._versions: tuple[str, ...] = ()
        self._looked = -math.inf
        self._changing = asyncio.Lock()

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that scripts can run on, as of the last look."""
        return self._versions

    def known_versions(self) -> tuple[str, ...]:
        """Return the versions that scripts can run on, as of half a minute ago at most. Blocks."""
        if time.monotonic() - self._looked > LOOKED_FOR:
            try:
                self.look()
            except StoreError as error:  # its own list says so
                log.warning("the interpreters that were added are not known: %s", error)
                self._looked = time.monotonic()
        return self._versions

    def look(self) -> FoundInterpreters:
        """Return what there is now. Blocks."""
        found = look_for_interpreters(self._added(), [one.interpreter for one in self._environments()])
        self._versions, self._looked = tuple(one.version for one in found.usable), time.monotonic()
        return found

    def preferred(self) -> list[Interpreter]:
        """Return what scripts can run on, the one of the default environment first, then the newest. Blocks."""
        usual = next((environment.interpreter for environment in self._environments()), None)
        return sorted(self.look().usable, key=lambda one: one.path != usual)

    def named(self, python: str) -> Interpreter:
        """Return the interpreter of a version such as ``3.12``, or that of a path. Blocks.

        Raises:
            ServiceError: ``no_python`` or ``bad_python``.
        """
        if "/" in python:
            return _checked(python)
        wanted = python.strip().lower().removeprefix("python").strip()
        found = self.preferred()
        for one in found:
            if wanted and (one.version == wanted or one.version.startswith(f"{wanted}.")):
                return one
        known = ", ".join(dict.fromkeys(one.version for one in found)) or "none"
        raise ServiceError(
            "no_python",
            f"There is no Python {python[:40]!r} on this host that scripts could run on. There is: {known}.",
            hint="See gatewright python list; one in another place is added by gatewright python add PATH.",
            status=404,
        )

    @implements(PYTHON_LIST)
    async def all(self) -> PythonList:
        """List them, the newest first; what cannot be used comes last, with the reason."""
        return await asyncio.to_thread(self._all)

    @implements(PYTHON_USE)
    async def use(self, python: str, environment: str, actor: Actor, source: str) -> EnvironmentInfo:
        """Use another interpreter for an environment, with the same packages.

        It goes on when the caller leaves; cancelling its task ends it.

        Raises:
            ServiceError: ``no_python`` or ``bad_python``, or why it cannot be built; the environment is as it was.
        """
        one = await asyncio.to_thread(self.named, python)
        return await self.use_python(environment, one, actor, source)

    @implements(PYTHON_ADD)
    async def add(self, path: str, actor: Actor, source: str) -> PythonInfo:
        """Add an interpreter by its path, resolved; one that was added stays as it is.

        Raises:
            ServiceError: ``bad_python``: scripts cannot run on it. Nothing was added.
        """
        one = await asyncio.to_thread(_checked, path)

        def change(added: Sequence[Path]) -> Sequence[Path]:
            if one.path not in added and len(added) >= MAX_ADDED:
                raise ServiceError("too_many", f"There are {MAX_ADDED} added interpreters already.", status=409)
            return list(dict.fromkeys([*added, one.path]))

        await self._change(change, f"{one.path} was not added")
        self._audit.tell(actor, source, "python_add", str(one.path), version=one.version)
        return await asyncio.to_thread(lambda: _info(one, self._users(one.path)))

    @implements(PYTHON_REMOVE)
    async def remove(self, path: str, actor: Actor, source: str) -> PythonInfo:
        """Remove an interpreter that was added; it need not be there any longer.

        Raises:
            ServiceError: ``no_python``: none was added by this path. ``in_use``: an environment runs on it.
        """
        resolved = await asyncio.to_thread(_resolved, path)
        users = await asyncio.to_thread(self._users, resolved)
        if users:
            raise ServiceError(
                "in_use",
                f"{resolved} is the interpreter of {_counted(users)}.",
                hint=f"Give it another one first: gatewright python use 3.12 --environment {users[0]}",
                status=409,
            )

        def change(added: Sequence[Path]) -> Sequence[Path]:
            kept = [one for one in added if one not in (resolved, Path(path))]
            if len(kept) == len(added):
                raise ServiceError(
                    "no_python",
                    f"No interpreter was added by the path {path[:200]!r}.",
                    hint="gatewright python list says which ones were added.",
                    status=404,
                )
            return kept

        await self._change(change, f"{resolved} was not removed")
        self._audit.tell(actor, source, "python_remove", str(resolved))
        return PythonInfo(path=str(resolved), version="", source="added")

    def _all(self) -> PythonList:
        found = self.look()
        users: dict[Path, list[str]] = {}
        for environment in self._environments():
            users.setdefault(environment.interpreter, []).append(environment.name)
        everything: list[Interpreter | UnusableInterpreter] = [*found.usable, *found.unusable]
        return PythonList(interpreters=[_info(one, users.get(one.path, [])) for one in everything])

    def _users(self, path: Path) -> list[str]:
        return [environment.name for environment in self._environments() if environment.interpreter == path]

    async def _change(self, change: Callable[[Sequence[Path]], Sequence[Path]], failed: str) -> None:
        if self._space.read_only:
            why = self._space.short() or "the project cannot be written to"
            raise ServiceError("read_only", f"{failed}: {why}.", hint=self._space.hint, status=409)
        async with self._changing:
            try:
                await asyncio.shield(asyncio.to_thread(lambda: self._write(change(self._added()))))
            except StoreError as error:
                raise ServiceError("not_recorded", f"{failed}: {error}", hint=error.hint, status=507) from None
        await asyncio.to_thread(self.look)

    def _added(self) -> list[Path]:
        """Return the paths that were added; none where there is no such file.

        Raises:
            StoreError: The file cannot be read, or is not what was written.
        """
        file = self._private / ADDED_FILE
        try:
            with file.open("rb") as opened:
                given = json.loads(opened.read(MAX_FILE))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, f"read {file}") from None
        except ValueError:
            given = None
        if not isinstance(given, list) or not all(isinstance(path, str) and "\0" not in path for path in given):
            raise StoreError(f"{file} is no list of paths.", "Remove it, then add them again: gatewright python add")
        return [Path(path) for path in given]

    def _write(self, paths: Sequence[Path]) -> None:
        try:
            with disk.open_folder(self._private) as folder:
                disk.replace_file(folder, ADDED_FILE, json.dumps([*map(str, paths)], indent=1).encode(), 0o600)
        except OSError as error:
            raise from_os_error(error, f"write {self._private / ADDED_FILE}") from None


def fits(requires: str | None, version: str) -> bool:
    """Tell whether a Python of this version is what ``requires-python`` asks for (PEP 440, PEP 723)."""
    if not requires:
        return True
    try:
        return SpecifierSet(requires).contains(version, prereleases=True)
    except InvalidSpecifier:
        return False


def _info(one: Interpreter | UnusableInterpreter, users: list[str]) -> PythonInfo:
    return PythonInfo(
        path=_shown(str(one.path)),
        version=one.version,
        source=one.source,
        environments=users,
        problem=_shown(str(one)) if isinstance(one, UnusableInterpreter) else None,
    )


def _resolved(path: str) -> Path:
    return Path(path if "\0" in path else os.path.realpath(path))


def _shown(text: str) -> str:
    """Return a path as JSON can carry it: the name of a file need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _checked(path: str) -> Interpreter:
    try:
        return check_interpreter(Path(path))
    except UnusableInterpreter as problem:
        raise ServiceError(
            "bad_python",
            _shown(str(problem)),
            hint="gatewright python list shows what scripts can run on here.",
            status=422,
        ) from None


def _counted(names: Sequence[str]) -> str:
    return f"the environment {names[0]}" if len(names) == 1 else f"the environments {', '.join(names)}"
