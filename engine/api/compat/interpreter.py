"""The one Python that scripts run with here, as the module's clients ask for it by version."""

from __future__ import annotations

from pathlib import Path

from engine.api.host import EngineHost
from engine.pool.environment import python_build
from engine.services.access import ServiceError


class Interpreter:
    """Tells what the scripts' interpreter is; each is asked once."""

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
        return ".".join((await self.full_version()).split(".")[:2])

    async def require(self, version: str) -> None:
        """Refuse a version that is not there.

        Raises:
            ServiceError: ``no_version``; the sentence names the one there is.
        """
        wanted = version.strip()
        if wanted.lower() in ("", "default"):
            return
        full = await self.full_version()
        if wanted != full and not full.startswith(f"{wanted}."):
            raise ServiceError(
                "no_python",
                f"There is no Python {wanted[:40]!r} here; scripts run with {await self.version()} ({full}).",
                hint="Leave the version out.",
            )
