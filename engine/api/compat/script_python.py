"""The versions of Python that scripts can run on here, as the module's clients ask for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from engine.api.host import EngineHost
from engine.pool.environment import python_build
from engine.sandbox.interpreters import Interpreter
from engine.services.access import ServiceError

NO_PYTHON = "no_python"


class ChosenPython(NamedTuple):
    """What a call runs with that names a version; both empty: what scripts run with anyway.

    Attributes:
        environment: A named environment of that version.
        python: The version, where no environment has it: code runs without packages then.
    """

    environment: str = ""
    python: str = ""


class ScriptPython:
    """Tells which interpreters there are, and what the usual one says of itself, which is asked once."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host
        self._builds: dict[Path, str] = {}

    @property
    def path(self) -> str:
        return str(self._host.engine.pool.environment.interpreter)

    async def build(self) -> str:
        """Return its ``sys.version``."""
        interpreter = self._host.engine.pool.environment.interpreter
        if interpreter not in self._builds:
            self._builds[interpreter] = await python_build(interpreter)
        return self._builds[interpreter]

    async def full_version(self) -> str:
        """Return its version such as ``3.12.3``."""
        return (await self.build()).split()[0].rstrip("+")

    async def version(self) -> str:
        """Return the version by which clients choose it, such as ``3.12``."""
        return short(await self.full_version())

    async def offered(self) -> dict[str, Interpreter]:
        """Return the interpreters by the versions that clients choose them by, the usual one first."""
        usual = self._host.engine.pool.environment
        found = {short(usual.version): Interpreter(usual.interpreter, usual.version, "own")}
        for one in await asyncio.to_thread(self._host.engine.interpreters.preferred):
            found.setdefault(short(one.version), one)
        return found

    async def chosen(self, version: str) -> ChosenPython:
        """Return what a call with this version runs with.

        Raises:
            ServiceError: ``no_python``; the sentence names those that there are.
        """
        wanted = version.strip()
        if wanted.lower() in ("", "default") or _is(wanted, await self.full_version()):
            return ChosenPython()
        for environment in (await self._host.engine.packages.environments()).environments:
            if environment.problem is None and _is(wanted, environment.python):
                return ChosenPython(environment=environment.name)
        offered = await self.offered()
        for one in offered.values():
            if _is(wanted, one.version):
                return ChosenPython(python=one.version)
        raise ServiceError(
            NO_PYTHON,
            f"There is no Python {wanted[:40]!r} here. There is: {', '.join(offered)}.",
            hint="Leave the version out.",
        )


def short(version: str) -> str:
    """Return the version that clients choose by: ``3.12`` of ``3.12.3``."""
    return ".".join(version.split(".")[:2])


def _is(wanted: str, version: str) -> bool:
    return version == wanted or version.startswith(f"{wanted}.")
